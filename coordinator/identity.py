"""Who this coordinator is: from its names to its Postgres schema, Redis namespace, registry key and engine labels.
Pure text; knows nothing of where the names came from or who uses them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LABEL_PREFIX: Final = "test-coordinator."
LABEL_ROLE: Final = f"{LABEL_PREFIX}role"
LABEL_INSTANCE: Final = f"{LABEL_PREFIX}instance"
LABEL_EXECUTION: Final = f"{LABEL_PREFIX}execution"
LABEL_FAULT: Final = f"{LABEL_PREFIX}fault"
LABEL_EXPIRES: Final = f"{LABEL_PREFIX}expires"
LABEL_TARGET: Final = f"{LABEL_PREFIX}target"
"""On a user's container: `true` makes it a permitted target under the opt-in policy."""
LABEL_PROTECTED: Final = f"{LABEL_PREFIX}protected"
"""On a user's container: `true` makes it a forbidden target under the opt-out policy."""

NAME_ALLOWED: Final = "letters, digits and hyphens, starting and ending with a letter or digit, at most 63 characters"
SCHEMA_ALLOWED: Final = (
    "lower-case letters, digits and _, at most 63 characters; not public, information_schema or pg_*"
)
NAMESPACE_ALLOWED: Final = "letters, digits and _ . : -, not starting or ending with a colon; not services"
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_SCHEMA: Final = re.compile(r"[a-z0-9_]{1,63}")
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_.-](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_.-])?")
_REGISTRY: Final = "services"


@dataclass(frozen=True, slots=True)
class Identity:
    """One coordinator among others. `singleton`: it is the only one of its service (instance = service)."""

    service: str
    instance: str
    environment: str
    version: str
    postgres_schema: str
    redis_namespace: str

    @property
    def singleton(self) -> bool:
        """Whether the instance bears the service's own name."""
        return self.instance == self.service

    @property
    def registry_key(self) -> str:
        """The Redis hash in which this instance announces itself; the one key outside its namespace."""
        return registry_key(self.service, self.instance)


def is_name(text: str) -> bool:
    """Whether the text may be a service or instance name: NAME_ALLOWED."""
    return _NAME.fullmatch(text) is not None


def derive_schema(service: str, instance: str) -> str:
    """The Postgres schema: `test` for the singleton `test-coordinator`, else the instance in lower case with `_`."""
    if instance == service:
        return _first_part(service)
    return _underscored(instance)


def derive_namespace(service: str, instance: str) -> str:
    """The Redis namespace: as the schema, but service and suffix as written where the instance extends the service."""
    if instance == service:
        return _first_part(service)
    if instance.startswith(f"{service}-"):
        return f"{service.replace('-', '_')}:{instance.removeprefix(f'{service}-')}"
    return _underscored(instance)


def registry_key(service: str, instance: str) -> str:
    """The Redis hash in which an instance announces itself."""
    return f"{_REGISTRY}:{service}:{instance}"


def is_schema(text: str) -> bool:
    """Whether a schema may be ours: SCHEMA_ALLOWED."""
    reserved = text in {"public", "information_schema"} or text.startswith("pg_")
    return _SCHEMA.fullmatch(text) is not None and not reserved


def is_namespace(text: str) -> bool:
    """Whether a Redis namespace may be ours: NAMESPACE_ALLOWED."""
    return _NAMESPACE.fullmatch(text) is not None and text.split(":", maxsplit=1)[0] != _REGISTRY


def labels(role: str, instance: str, *, execution: str = "", fault: str = "", expires: str = "") -> dict[str, str]:
    """The labels of everything created on an engine; those that do not apply are left out."""
    optional = {LABEL_EXECUTION: execution, LABEL_FAULT: fault, LABEL_EXPIRES: expires}
    return {LABEL_ROLE: role, LABEL_INSTANCE: instance} | {name: value for name, value in optional.items() if value}


def _first_part(service: str) -> str:
    return service.split("-", maxsplit=1)[0].lower()


def _underscored(instance: str) -> str:
    return instance.lower().replace("-", "_")
