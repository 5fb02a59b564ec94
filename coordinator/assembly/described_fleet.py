"""Containers as a person describes them in a file, or as an engine shows them: what a rehearsal is played on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from actors.docker.simulated import SimulatedEngine
from coordinator.errors import InvalidScenario, Problem
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.targeting import Labels
from coordinator.scenarios.document import Fields, described, entry, field, items, read, text_of
from coordinator.scenarios.parse import allowed_by, as_plain, located
from coordinator.scenarios.references import nearest

NAME: Final = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
_MODEL: Final = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class DescribedContainer(BaseModel):
    """One container that runs. `ignores_term`: it ends on SIGKILL alone."""

    model_config = _MODEL

    name: str = Field(pattern=NAME)
    image: str = "simulated:latest"
    labels: Labels = {}
    networks: tuple[str, ...] = ("bridge",)
    restart_policy: str = Field(default="no", pattern=r"^(no|always|unless-stopped|on-failure(:\d+)?)$")
    health_check: bool = False
    ignores_term: bool = False


class DescribedFleet(BaseModel):
    """A file for `rehearse --fleet`."""

    model_config = _MODEL

    containers: tuple[DescribedContainer, ...] = Field(min_length=1)


_ALLOWED: Final = {
    "containers": "a list of at least one container, as [{name: web-1}]",
    "containers.*.name": "a name as Docker allows: letters, digits, _, . and -, the first a letter or digit",
    "containers.*.restart_policy": "no, always, unless-stopped, on-failure or on-failure:N",
}
"""What may stand in fields of which a pattern or a bound says little to a person."""


def read_fleet(text: bytes, file: str) -> DescribedFleet:
    """The fleet of a YAML or JSON text. Raises InvalidScenario with every problem, told as those of a scenario are."""
    problems: list[Problem] = []
    root = read(text, file, problems)
    fleet = None if root is None else _typed(root, problems)
    if root is not None:
        problems += _named_twice(root)
    if problems or fleet is None:
        raise InvalidScenario(tuple(sorted(problems, key=lambda problem: problem.line or 0)))
    return fleet


def _typed(root: Fields, problems: list[Problem]) -> DescribedFleet | None:
    """The fleet, or None with what is wrong added to `problems`."""
    try:
        return DescribedFleet.model_validate(as_plain(root))
    except ValidationError as bad:
        # A list whose items are wrong complains of its length as well.
        length = len(items(entry(root, "containers")))
        found = [each for each in bad.errors(include_url=False) if each["type"] != "too_short" or not length]
        problems += (_problem(root, error) for error in found)
    return None


def _problem(root: Fields, error: ErrorDetails) -> Problem:
    """One of pydantic's errors with the line it is about."""
    location, kind = error["loc"], error["type"]
    node, path = located(root, location)
    if kind == "extra_forbidden":
        known = list((DescribedFleet if len(location) == 1 else DescribedContainer).model_fields)
        near = nearest(str(location[-1]), known)
        return Problem(node.file, node.line, field(path), "an unknown field", ", ".join(known), near)
    said = ".".join(step if isinstance(step, str) else "*" for step in location)
    found = described(node) if path == location else "missing"
    return Problem(node.file, node.line, field(location), found, _ALLOWED.get(said) or allowed_by(error))


def _named_twice(root: Fields) -> Iterator[Problem]:
    """Containers of a name that another has."""
    lines: dict[str, int] = {}
    for number, one in enumerate(items(entry(root, "containers"))):
        node = entry(one, "name")
        name = text_of(node)
        if node is None or name is None:
            continue
        if name in lines:
            allowed = f"each name once; it also stands on line {lines[name]}"
            yield Problem(node.file, node.line, f"containers[{number}].name", described(node), allowed)
        lines.setdefault(name, node.line)


def furnish(engine: SimulatedEngine, fleet: DescribedFleet | Sequence[ContainerFacts]) -> None:
    """Put the containers into a simulated engine: those that are shown with their own ids and states."""
    if isinstance(fleet, DescribedFleet):
        for number, one in enumerate(fleet.containers, 2):
            networks = {name: f"172.{17 + place}.0.{number}" for place, name in enumerate(one.networks)}
            ends_on = () if one.ignores_term else ("SIGTERM", "SIGINT")
            engine.add(
                one.name, image=one.image, labels=one.labels, networks=networks, ends_on=ends_on,
                restart_policy=one.restart_policy, health_check=one.health_check,
            )  # fmt: skip
        return
    for shown in fleet:
        up = shown.state in {ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING}
        engine.add(
            shown.name, image=shown.image, labels=shown.labels, identity=shown.id, ports=shown.ports,
            networks={network.name: network.ip for network in shown.networks},
            restart_policy=shown.restart_policy or "no", health_check=bool(shown.health), started=up,
        )  # fmt: skip
        if shown.state is ContainerState.PAUSED:
            engine.state.pause(shown.id)
