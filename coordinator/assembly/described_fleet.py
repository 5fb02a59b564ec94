"""Containers as a person describes them in a file, or as an engine shows them: what a rehearsal is played on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from actors.docker.simulated import SimulatedEngine
from coordinator.errors import InvalidScenario, Problem
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.targeting import Labels

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

    @field_validator("containers")
    @classmethod
    def _named_once(cls, containers: tuple[DescribedContainer, ...]) -> tuple[DescribedContainer, ...]:
        names = [container.name for container in containers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"every name once; more than once: {', '.join(twice)}"
            raise ValueError(message)
        return containers


def read_fleet(text: bytes, file: str) -> DescribedFleet:
    """The fleet of a YAML or JSON text. Raises InvalidScenario with every problem."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as bad:
        mark = getattr(bad, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        what = getattr(bad, "problem", None) or " ".join(str(bad).split())
        raise InvalidScenario((Problem(file, line, "", f"is not YAML: {what}", ""),)) from bad
    if not isinstance(content, dict):
        raise InvalidScenario((Problem(file, None, "", "is no map", "containers: [{name: …}, …]"),))
    try:
        return DescribedFleet.model_validate(content)
    except ValidationError as bad:
        raise InvalidScenario(tuple(_problem(file, error) for error in bad.errors())) from bad


def _problem(file: str, error: Any) -> Problem:
    place = [str(part) for part in error["loc"]]
    field = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = list(DescribedFleet.model_fields if len(place) == 1 else DescribedContainer.model_fields)
        near = difflib.get_close_matches(place[-1], known, n=1)
        return Problem(file, None, field, "unknown field", ", ".join(known), near[0] if near else None)
    if error["type"] == "missing":
        return Problem(file, None, field, "is missing", "")
    return Problem(file, None, field, f"{error['input']!r}"[:80], str(error["msg"]))


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
