"""The settings of SPEC 1, from environment, `.env` and defaults, checked and completed before anything starts.
Decides what is allowed; opens nothing and knows nothing of what the settings are for.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, computed_field, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from coordinator import __version__, identity
from coordinator.errors import InvalidSettings
from coordinator.identity import Identity

Environment = Literal["development", "testing", "production", "docker"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
T = TypeVar("T")
TargetPolicy = Literal["opt-in", "opt-out"]

_DEFAULT_DOCKER: Final = "unix:///var/run/docker.sock"
_DOCKER_SCHEMES: Final = ("unix://", "tcp://")
_USERINFO: Final = re.compile(r"^(?P<start>[a-zA-Z][\w+.-]*://[^:@/?#]*):.*@(?P<rest>[^@]*)$", re.DOTALL)
_QUERY_PASSWORD: Final = re.compile(r"(?i)([?&][^=&]*password=)[^&]*")
_HOST: Final = re.compile(r"[A-Za-z0-9_.:%\[\]-]+")
TOKEN: Final = re.compile(r"[\x21-\x7e]+")
"""What a bearer token is made of."""
_FAULT_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*")


def masked(url: str | SecretStr) -> str:
    """A URL for people: the password shown as `***`, the whole text where no part can be told to be harmless."""
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    if not text:
        return ""
    if "://" not in text:
        return "***"
    # Everything up to the last @ is taken for the password: one with a raw / or @ in it must not slip through.
    return _QUERY_PASSWORD.sub(r"\1***", _USERINFO.sub(r"\g<start>:***@\g<rest>", text))


def _setting(default: Any, meaning: str, *, allowed: str = "", shown: str | None = None, **limits: Any) -> Any:
    """A field with what a person is told of it: `shown` replaces the default in the reference table."""
    told = {"allowed": allowed, "shown": str(default) if shown is None else shown}
    return Field(default=default, description=meaning, json_schema_extra=dict(told), **limits)


def _refused(value: object, allowed: str = "") -> PydanticCustomError:
    """An error that carries what may be shown of the value."""
    parts = ",".join(map(str, value)) if isinstance(value, tuple) else value
    shown = masked(parts) if isinstance(parts, SecretStr) else "" if parts is None else str(parts)
    return PydanticCustomError("setting", "{value} is not allowed here", {"value": shown, "allowed": allowed})


def _checked(value: T, allowed: bool, *, derived_from: str = "") -> T:  # noqa: FBT001 - a guard reads as `value, rule`
    if not allowed:
        raise _refused(value, f"another {derived_from}, or set this one" if derived_from else "")
    return value


class Settings(BaseSettings):
    """All settings, fields named as the variables. Raises ValidationError; `load` tells it to a person instead.

    An empty variable counts as unset. Derived values are filled in: what is read here is what holds.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=None,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    service_name: str = _setting("test-coordinator", "The service.", allowed=identity.NAME_ALLOWED)
    service_instance_name: str = _setting(
        "", "The named instance, e.g. `test-coordinator-Chaos1`.", allowed=identity.NAME_ALLOWED, shown="SERVICE_NAME"
    )
    service_version: str = _setting(
        __version__, "The version told to others.", allowed="a text", shown="the package's version", min_length=1
    )
    environment: Environment = _setting(
        "development", "Where it runs.", allowed="development, testing, production, docker"
    )
    debug: bool = _setting(False, "More detail for a developer.", allowed="true or false", shown="false")
    host: str = _setting(
        "127.0.0.1", "Address of HTTP and gRPC; the image sets 0.0.0.0.", allowed="an IP address or a host name"
    )
    http_port: int = _setting(8080, "Port of HTTP.", allowed="1 to 65535; 0 = any free port", ge=0, le=65535)
    grpc_port: int = _setting(
        50051, "Port of gRPC.", allowed="1 to 65535, another than HTTP_PORT; 0 = any free port", ge=0, le=65535
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Further host names accepted in the Host header, beside `localhost` and IP literals.",
        allowed="host names, separated by commas",
        shown="",
    )
    log_level: LogLevel = _setting(
        "INFO", "The least level that is logged.", allowed="DEBUG, INFO, WARNING, ERROR, CRITICAL; any case"
    )
    log_format: Literal["json", "console"] = _setting(
        "json", "What `serve` prints: Eliot lines, or lines for a person.", allowed="json, console"
    )
    data_dir: Path = _setting(
        Path(),
        "Folder of ledger, reports, logs, token and secrets; the image sets `/var/lib/test-coordinator`.",
        allowed="a folder",
        shown="`$XDG_STATE_HOME` (else `~/.local/state`) `/test-coordinator/` instance",
    )
    postgres_url: SecretStr = _setting(
        SecretStr(""),
        "Postgres for the history; a driver suffix (`postgresql+asyncpg://`) is ignored. Empty: embedded store only.",
        allowed="postgresql://…",
        shown="",
    )
    redis_url: SecretStr = _setting(
        SecretStr(""),
        "Redis for registry and shared events. Empty: neither.",
        allowed="redis://…, rediss://… or unix://…",
        shown="",
    )
    postgres_schema: str = _setting("", "Postgres schema.", allowed=identity.SCHEMA_ALLOWED, shown="derived")
    redis_namespace: str = _setting(
        "", "First part of every Redis key.", allowed=identity.NAMESPACE_ALLOWED, shown="derived"
    )
    docker_socket: str = _setting(
        _DEFAULT_DOCKER, "The engine's socket, where DOCKER_HOST is not set.", allowed="a path or unix://…"
    )
    docker_host: str = _setting(
        "", "The engine; `docker context` is ignored.", allowed="unix://… or tcp://…", shown="DOCKER_SOCKET"
    )
    helper_image: str = _setting(
        "",
        "Image of helpers; built at first need, never pulled.",
        allowed="an image reference",
        shown="own image when in a container, else `test-coordinator:<version>`",
    )
    chaos_injection_enabled: bool = _setting(
        True, "false: every injection is refused, all else works.", allowed="true or false", shown="true"
    )
    chaos_target_policy: TargetPolicy = _setting(
        "",
        "opt-in: only containers labelled `test-coordinator.target=true`; opt-out: all but those labelled"
        " `test-coordinator.protected=true`.",
        allowed="opt-in, opt-out",
        shown="opt-in in production, else opt-out",
    )
    faults_disabled: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Fault types (and so exec probes) that are refused, e.g. `exec,container_crash`.",
        allowed="fault types, separated by commas",
        shown="",
    )
    scenario_timeout_seconds: float = _setting(
        3600, "Ceiling of one execution.", allowed="seconds, more than 0", gt=0, allow_inf_nan=False
    )
    shutdown_deadline_seconds: float = _setting(
        8, "Undo and stop within this on SIGTERM.", allowed="seconds, more than 0", gt=0, allow_inf_nan=False
    )
    undo_deadline_seconds: float = _setting(
        300,
        "After this an execution ends with `undo: incomplete`; the ledger goes on trying.",
        allowed="seconds, more than 0",
        gt=0,
        allow_inf_nan=False,
    )
    docker_timeout_factor: float = _setting(
        1,
        "How many times as long as usual the engine and docker commands may take: for slow or emulated machines.",
        allowed="a number, 1 to 100",
        ge=1,
        le=100,
        allow_inf_nan=False,
    )
    scenario_results_retention_days: int = _setting(
        7, "Older results are purged.", allowed="days, 1 to 36500", ge=1, le=36500
    )
    max_concurrent_executions: int = _setting(
        10, "Further executions are queued.", allowed="a whole number, at least 1", ge=1
    )
    api_token: SecretStr = _setting(
        SecretStr(""),
        "The bearer token; wins over API_TOKEN_FILE. It is as good as root on the engine's host.",
        allowed="visible ASCII characters without spaces",
        shown="generated at first start into `DATA_DIR/api-token`",
    )
    api_token_file: Path | None = _setting(None, "A file that holds the bearer token.", allowed="a file", shown="")
    http_tls_cert: Path | None = _setting(None, "TLS certificate of HTTP.", allowed="a file, with its key", shown="")
    http_tls_key: Path | None = _setting(None, "Its key.", allowed="a file, with HTTP_TLS_CERT", shown="")
    grpc_tls_cert: Path | None = _setting(None, "TLS certificate of gRPC.", allowed="a file, with its key", shown="")
    grpc_tls_key: Path | None = _setting(None, "Its key.", allowed="a file, with GRPC_TLS_CERT", shown="")
    grpc_tls_client_ca: Path | None = _setting(
        None, "The authority that signs gRPC clients (mTLS).", allowed="a file, with GRPC_TLS_CERT", shown=""
    )

    @computed_field(description="The service's version.")  # type: ignore[prop-decorator]  # pydantic's documented way
    @property
    def version(self) -> str:
        """The same as `service_version`."""
        return self.service_version

    @property
    def identity(self) -> Identity:
        """Who this coordinator is."""
        return Identity(
            service=self.service_name,
            instance=self.service_instance_name,
            environment=self.environment,
            version=self.service_version,
            postgres_schema=self.postgres_schema,
            redis_namespace=self.redis_namespace,
        )

    @model_validator(mode="before")
    @classmethod
    def _take_version(cls, data: dict[str, Any]) -> dict[str, Any]:
        return data if "version" not in data else {"service_version": data["version"], **data}

    @field_validator("service_name", "service_instance_name")
    @classmethod
    def _name(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "service_instance_name":
            return str(info.data.get("service_name", ""))
        return _checked(value, identity.is_name(value))

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return _checked(value, _HOST.fullmatch(value) is not None)

    @field_validator("grpc_port")
    @classmethod
    def _other_port(cls, value: int, info: ValidationInfo) -> int:
        return _checked(value, value == 0 or value != info.data.get("http_port"))

    @field_validator("allowed_hosts", "faults_disabled", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(tuple(host.lower() for host in value), all(_HOST.fullmatch(host) for host in value))

    @field_validator("faults_disabled")
    @classmethod
    def _fault_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _checked(value, all(_FAULT_TYPE.fullmatch(name) for name in value))

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        known = isinstance(value, str) and value.strip().upper() in get_args(LogLevel)
        return str(value).strip().upper() if known else value

    @field_validator("data_dir")
    @classmethod
    def _data_dir(cls, value: Path, info: ValidationInfo) -> Path:
        if value != Path():
            return value.expanduser().absolute()
        state = Path(os.environ.get("XDG_STATE_HOME", ""))
        try:
            # The XDG rules say that a relative path there is to be ignored.
            root = state if state.is_absolute() else Path.home() / ".local" / "state"
        except RuntimeError as without_home:
            raise _refused("", "a folder; none can be derived, as this user has no home") from without_home
        return root / "test-coordinator" / str(info.data.get("service_instance_name", ""))

    @field_validator("postgres_url")
    @classmethod
    def _postgres(cls, value: SecretStr) -> SecretStr:
        url = re.sub(r"^postgres(?:ql)?(?:\+\w+)?://", "postgresql://", value.get_secret_value())
        return _checked(SecretStr(url), not url or url.startswith("postgresql://"))

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        return _checked(value, not url or url.startswith(("redis://", "rediss://", "unix://")))

    @field_validator("postgres_schema")
    @classmethod
    def _schema(cls, value: str, info: ValidationInfo) -> str:
        if not value and {"service_name", "service_instance_name"} - info.data.keys():
            return value
        schema = value or identity.derive_schema(info.data["service_name"], info.data["service_instance_name"])
        return _checked(schema, identity.is_schema(schema), derived_from="" if value else "SERVICE_INSTANCE_NAME")

    @field_validator("redis_namespace")
    @classmethod
    def _namespace(cls, value: str, info: ValidationInfo) -> str:
        if not value and {"service_name", "service_instance_name"} - info.data.keys():
            return value
        namespace = value or identity.derive_namespace(info.data["service_name"], info.data["service_instance_name"])
        return _checked(
            namespace, identity.is_namespace(namespace), derived_from="" if value else "SERVICE_INSTANCE_NAME"
        )

    @field_validator("docker_socket")
    @classmethod
    def _socket(cls, value: str) -> str:
        endpoint = f"unix://{value}" if value.startswith("/") else value
        return _checked(endpoint, endpoint.startswith("unix:///"))

    @field_validator("docker_host")
    @classmethod
    def _docker(cls, value: str, info: ValidationInfo) -> str:
        endpoint = value or str(info.data.get("docker_socket", _DEFAULT_DOCKER))
        return _checked(endpoint, endpoint.startswith(_DOCKER_SCHEMES))

    @field_validator("chaos_target_policy", mode="before")
    @classmethod
    def _policy(cls, value: object, info: ValidationInfo) -> object:
        # Where the environment itself is wrong, the stricter policy holds until that is mended.
        lenient = info.data.get("environment", "production") != "production"
        return value or ("opt-out" if lenient else "opt-in")

    @field_validator("api_token")
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        return _checked(value, not value or TOKEN.fullmatch(value.get_secret_value()) is not None)

    @field_validator("http_tls_key", "grpc_tls_key")
    @classmethod
    def _pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get(str(info.field_name).replace("key", "cert"))
        return _checked(value, (value is None) == (certificate is None))

    @field_validator("grpc_tls_client_ca")
    @classmethod
    def _client_ca(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return _checked(value, value is None or info.data.get("grpc_tls_cert") is not None)


def load(*, env_file: bool) -> Settings:
    """Read the environment, and `.env` of the working folder where `env_file`. Raises InvalidSettings, a line each."""
    try:
        return Settings(_env_file=".env" if env_file else None)
    except ValidationError as invalid:
        # The chain is cut: pydantic's own error holds the values, secrets included.
        raise InvalidSettings("\n".join(_told(error) for error in invalid.errors(include_url=False))) from None
    except (OSError, UnicodeDecodeError) as unreadable:
        raise InvalidSettings(f".env: cannot be read: {unreadable}; mend or remove the file") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of `serve`, read once; `get_settings.cache_clear()` makes the next call read again."""
    return load(env_file=True)


def reference_table() -> str:
    """All settings as a Markdown table, in the order of the fields."""
    rows = ["| variable | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        extra = _extra(name)
        cells = (f"`{name.upper()}`", extra["shown"] or "empty", extra["allowed"], field.description)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def _extra(name: str) -> dict[str, str]:
    extra = Settings.model_fields[name].json_schema_extra
    return {key: str(value) for key, value in extra.items()} if isinstance(extra, dict) else {}


def _told(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    context = error.get("ctx", {})
    secret = Settings.model_fields[name].annotation is SecretStr
    value = str(context["value"]) if error["type"] == "setting" else "***" if secret else str(error["input"])
    if name == "api_token":
        value = "***"
    allowed = context.get("allowed") or _extra(name)["allowed"]
    return f"{name.upper()}: {value or 'empty'} is not allowed; allowed: {allowed}"
