"""Which containers a scenario may touch and does touch. Pure: the same facts, policy and seed select the same."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from coordinator.faults.facts import ContainerFacts, ContainerState, Value
from coordinator.faults.regex import Regex
from coordinator.quantities import Duration, Percent, parse_percent

ROLE_LABEL: Final = "test-coordinator.role"
TARGET_LABEL: Final = "test-coordinator.target"
PROTECTED_LABEL: Final = "test-coordinator.protected"
HELPER_ROLE: Final = "helper"
LIFTED: Final = "allow_self_dependencies: true lifts this"
ANY: Final = frozenset({"", "*"})
"""Label values that ask for the key alone."""

_MODEL = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def _labels(given: object) -> object:
    """A map as it is; `key=value` or a list of such texts as a map. Raises ValueError for anything but texts."""
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list | tuple):
        return given
    if not all(isinstance(entry, str) and entry.partition("=")[0].strip() for entry in given):
        message = "a map of labels, or a list of texts like key=value"
        raise ValueError(message)
    pairs = (entry.partition("=") for entry in given)
    return {key.strip(): value.strip() for key, _, value in pairs}


Labels = Annotated[
    dict[str, str],
    BeforeValidator(_labels),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"type": "string"}},
                {"type": "array", "items": {"type": "string"}},
                {"type": "string"},
            ],
            "description": "a map, or texts like key=value; an empty value or * asks for the key alone",
        }
    ),
]


class Target(BaseModel):
    """A selection of containers; all given criteria must match. `pick` is random with the execution's seed."""

    model_config = _MODEL

    names: tuple[str, ...] = ()
    name_regex: Regex | None = None
    labels: Labels = {}
    image: str | None = None
    compose_project: str | None = None
    compose_service: str | None = None
    network: str | None = None
    pick: str = Field(default="all", pattern=r"^(all|[1-9]\d*|\d+(\.\d+)?%)$", description="all, N or N%")
    allow_empty: bool = False
    allow_self_dependencies: bool = False

    @field_validator("pick")
    @classmethod
    def _picks(cls, pick: str) -> str:
        if pick.endswith("%") and parse_percent(pick) == 0:
            message = "all, N or N%, at least one container"
            raise ValueError(message)
        return pick

    @model_validator(mode="after")
    def _selects(self) -> Target:
        """A target without a criterion would be every container there is."""
        criteria = (self.names, self.name_regex, self.labels, self.image, self.compose_project,
                    self.compose_service, self.network)  # fmt: skip
        if not any(criteria):
            message = "at least one of names, name_regex, labels, image, compose_project, compose_service, network"
            raise ValueError(message)
        return self


class Limits(BaseModel):
    """The blast radius, over all targets together. `timeout` ends the execution (aborted)."""

    model_config = _MODEL

    max_targets: int | None = Field(default=None, ge=1)
    max_percent: Annotated[Percent, Field(gt=0)] | None = Field(
        default=None, description="of the containers that could be targets"
    )
    timeout: Duration | None = None


class Policy(Value):
    """What the coordinator allows. `own_hosts` and `own_ports` tell its own Postgres, Redis and engine: names, aliases
    and addresses on a network, and ports published on this host.
    """

    opt_in: bool
    own_hosts: tuple[str, ...] = ()
    own_ports: tuple[int, ...] = ()


class Selected(Value):
    """One resolved target: the containers chosen, and those that matched but may not be touched, with the reason."""

    containers: tuple[ContainerFacts, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def _own(container: ContainerFacts, policy: Policy) -> bool:
    """Whether it is the coordinator's own Postgres, Redis or engine, by any way it can be reached."""
    on_host = container.network_mode == "host"
    known = {container.name} | {network.ip for network in container.networks}
    known |= {network.ipv6 for network in container.networks}
    # Under host networking the host's own name is shown as the container's.
    known |= set() if on_host else {container.hostname}
    for network in container.networks:
        names = {container.name, container.hostname, *network.aliases} - {""}
        # Docker's resolver answers to NAME.NETWORK too.
        known |= names | {f"{name}.{network.name}" for name in names}
    hosts = {host.lower().strip("[]") for host in policy.own_hosts} - {""}
    if hosts & {name.lower() for name in known}:
        return True
    published = {port.host_port or (port.container_port if on_host else 0) for port in container.ports} - {0}
    return bool(published & set(policy.own_ports))


def sharers(container: ContainerFacts, among: Iterable[ContainerFacts]) -> tuple[ContainerFacts, ...]:
    """Those that use this container's network as theirs, helpers of ours aside."""
    shared = {f"container:{container.id}", f"container:{container.name}"}
    return tuple(one for one in among if one.network_mode in shared and one.labels.get(ROLE_LABEL) != HELPER_ROLE)


def why_not(
    container: ContainerFacts,
    policy: Policy,
    *,
    among: Iterable[ContainerFacts] = (),
    allow_self_dependencies: bool = False,
) -> str | None:
    """Why this container, `among` these, may not be a target, in words; None where it may."""
    labels = container.labels
    if ROLE_LABEL in labels:
        return f"it belongs to test-coordinator ({ROLE_LABEL}={labels[ROLE_LABEL]})"
    if labels.get(PROTECTED_LABEL, "").lower() == "true":
        return f"it is protected ({PROTECTED_LABEL}=true)"
    if policy.opt_in and labels.get(TARGET_LABEL, "").lower() != "true":
        return f"it is not labelled {TARGET_LABEL}=true (CHAOS_TARGET_POLICY is opt-in)"
    if allow_self_dependencies:
        return None
    if _own(container, policy):
        return f"it is the coordinator's own Postgres, Redis or engine ({LIFTED})"
    for one in sharers(container, among):
        if ROLE_LABEL in one.labels or _own(one, policy):
            whose = (
                "test-coordinator" if ROLE_LABEL in one.labels else "the coordinator's own Postgres, Redis or engine"
            )
            return f"{whose} ({one.name}) uses its network ({LIFTED})"
    return None


def _image_matches(image: str, wanted: str) -> bool:
    """`repo:tag` exactly, or `repo` with any tag or digest."""
    if image == wanted:
        return True
    rest = image.removeprefix(wanted)
    # The rest of a registry with a port, as in `host:5000/web`, is no tag.
    return rest != image and rest[:1] in {":", "@"} and "/" not in rest


def matches(target: Target, container: ContainerFacts) -> bool:
    """Whether every given criterion holds."""
    labels = container.labels
    return (
        (not target.names or container.name in target.names)
        and (target.name_regex is None or re.search(target.name_regex, container.name) is not None)
        and all(key in labels and (value in ANY or labels[key] == value) for key, value in target.labels.items())
        and (target.image is None or _image_matches(container.image, target.image))
        and (target.compose_project is None or container.compose_project == target.compose_project)
        and (target.compose_service is None or container.compose_service == target.compose_service)
        and (target.network is None or any(network.name == target.network for network in container.networks))
    )


def _picked(name: str, target: Target, eligible: Sequence[ContainerFacts], seed: int) -> tuple[ContainerFacts, ...]:
    """The pick of the eligible, sorted by name; from those that run, if any does."""
    ordered = sorted(eligible, key=lambda container: (container.name, container.id))
    if target.pick == "all" or not ordered:
        return tuple(ordered)
    running = [container for container in ordered if container.state is ContainerState.RUNNING]
    pool = running or ordered
    if target.pick.endswith("%"):
        wanted = max(1, math.ceil(parse_percent(target.pick) * len(pool) / 100))
    else:
        wanted = int(target.pick)
    source = random.Random(f"{seed}:{name}")  # noqa: S311  # a reproducible choice, not a secret
    chosen = source.sample(pool, min(wanted, len(pool)))
    return tuple(sorted(chosen, key=lambda container: (container.name, container.id)))


def resolve(
    targets: Mapping[str, Target], containers: Sequence[ContainerFacts], policy: Policy, seed: int
) -> dict[str, Selected]:
    """Every target's containers, sorted by name. The order in which the containers are given does not matter."""
    selection: dict[str, Selected] = {}
    for name, target in targets.items():
        matching = sorted((one for one in containers if matches(target, one)), key=lambda one: (one.name, one.id))
        allowed = target.allow_self_dependencies
        reasons = {one.id: why_not(one, policy, among=containers, allow_self_dependencies=allowed) for one in matching}
        selection[name] = Selected(
            containers=_picked(name, target, [one for one in matching if reasons[one.id] is None], seed),
            left_out=tuple((one.name, why) for one in matching if (why := reasons[one.id]) is not None),
        )
    return selection


def limit_refusals(
    touched: Collection[str], containers: Sequence[ContainerFacts], policy: Policy, limits: Limits
) -> tuple[str, ...]:
    """Why the blast radius is too large: `touched` are the ids of all containers that faults are aimed at."""
    count = len(set(touched))
    refusals = []
    if limits.max_targets is not None and count > limits.max_targets:
        refusals.append(f"limits.max_targets: {count} containers would be touched; allowed: {limits.max_targets}")
    if limits.max_percent is not None and count:
        eligible = {one.id for one in containers if why_not(one, policy, among=containers) is None} | set(touched)
        share = 100 * count / len(eligible)
        if share > limits.max_percent:
            refusals.append(
                f"limits.max_percent: {count} of {len(eligible)} possible targets ({share:.4g}%) would be touched; "
                f"allowed: {limits.max_percent:g}%"
            )
    return tuple(refusals)
