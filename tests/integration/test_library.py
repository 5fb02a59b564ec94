"""Scenarios of the library, played for real against small systems: a front and the replicas that it asks. All of them
are rehearsed in tests/unit/cli/test_rehearse.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from coordinator.scenarios.parse import builtin_names, builtin_text, parse
from tests.integration.coordinator_process import Coordinator, coordinator
from tests.integration.sandbox import Container, Sandbox
from tests.integration.services import free_port

# All of them are played by the first test.
pytestmark = pytest.mark.timeout(300)

LANES = 5
LONG = ("game-day", "oom-kill", "cascading-failure", "rolling-restart")
HAS_ITS_FAULTS = {
    "kill-one-replica": "game-day",
    "pause-service": "game-day",
    "stop-dependency": "cascading-failure",
    "restart-service": "rolling-restart",
}
PLAYED_BY_OTHERS = {"crash-and-recover": "tests/integration/test_crash.py", **HAS_ITS_FAULTS}
PLAYED = tuple(name for name in builtin_names() if name not in PLAYED_BY_OTHERS)
WHERE_AND_WHEN = frozenset({"target", "at", "lasts"})
SERVICE = "/srv/service.py"
# Short, and with nothing asked of a machine that may be busy: what is to be seen is that each fault comes and goes.
SHORT = dict.fromkeys(
    ("outage", "slow", "lossy", "starved", "pressed", "narrow", "split", "step", "trouble", "full", "skewed"), "1s"
)
LENIENT = {
    **dict.fromkeys(("availability", "when_slow", "when_lossy", "when_gone"), "0%"),
    **dict.fromkeys(("recovery", "p95", "longest_gap", "whole_again"), "60s"),
    # Long enough for three good samples in a row.
    "steady": "1s",
    "pace": "250ms",
    "size": "16m",
    "limit": "40m",
    "path": "/dev/shm",  # a file system that only this container uses
    "grace": "1s",
    "watch": "8s",
}


@dataclass(frozen=True, slots=True)
class System:
    """A front that restarts when it crashes, and two replicas."""

    front: Container
    replicas: tuple[Container, ...]
    lane: str

    @classmethod
    def up(cls, containers: Sandbox, number: int) -> System:
        """Bring one up."""
        network, lane = containers.network(), f"{containers.tag}-{number}"

        def run(role: str, *names: str, options: Sequence[str] = ()) -> Container:
            labels = {"lane": lane, "role": f"{lane}-{role}"}
            command = ["python3", SERVICE, role, *names]
            return containers.run(role, command=command, labels=labels, options=["--network", network, *options])

        replicas = (run("replica", "a"), run("replica", "b"))
        # A port that the engine chooses is another one after a restart.
        published = ("--publish", f"127.0.0.1:{free_port()}:8000", "--restart", "on-failure")
        return cls(run("front", *(each.name for each in replicas), options=published), replicas, lane)

    def variables(self, name: str) -> dict[str, str]:
        """What points a scenario at it."""
        dependency = name in {"stop-dependency", "slow-dependency", "cascading-failure"}
        first, second = self.replicas
        return {
            "url": f"http://127.0.0.1:{self.front.published(8000)}/",
            "container": (first if dependency else self.front).name,
            "dependency": first.name,
            "label": f"lane={self.lane}" if name == "split-brain" else f"role={self.lane}-replica",
            "first": first.name,
            "second": second.name,
            "host": first.address,
            "port": "8000",
        }


def definition(name: str) -> dict[str, object]:
    """The scenario with a steady state that a busy machine meets as well."""
    head = {"apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": name, "metadata": {"name": name}}
    return {**head, "steady_state": [{"probe": "api", "availability": ">= 0%", "for": "500ms"}]}


def play(made: Coordinator, system: System, name: str) -> dict[str, Any]:
    """One execution, from its beginning to its end."""
    declared = made.call("GET", f"/api/v1/scenarios/{name}").json()["variables"]
    wanted: Mapping[str, str] = {**SHORT, **LENIENT, **system.variables(name)}
    variables = {key: wanted[key] for key in declared if key in wanted}
    asked = {"definition": definition(name), "variables": variables, "seed": 1}
    answer = made.call("POST", "/api/v1/executions", json=asked)
    assert answer.status_code == 202, answer.text
    identity = answer.json()["id"]
    # Ends with the execution: nobody asks again and again on a machine that has enough to do.
    made.call("GET", f"/api/v1/executions/{identity}/events")
    return made.execution(identity)


@pytest.fixture(scope="module")
def played(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[dict[str, Any]]]]:
    """All of them, side by side on systems of their own."""
    containers = Sandbox(image)
    try:
        with coordinator(tmp_path_factory.mktemp("library")) as made, ThreadPoolExecutor(LANES) as lanes:
            made.start()
            free = [System.up(containers, number) for number in range(LANES)]

            def next_one(name: str) -> dict[str, Any]:
                system = free.pop()
                try:
                    return play(made, system, name)
                finally:
                    free.append(system)

            # The longest first, so that the lanes end together.
            names = sorted(PLAYED, key=lambda name: name not in LONG)
            yield {name: lanes.submit(next_one, name) for name in names}
    finally:
        containers.close()


@pytest.mark.parametrize("name", PLAYED)
def test_a_scenario_of_the_library_is_played(played: Mapping[str, Future[dict[str, Any]]], name: str) -> None:
    """Every fault of it takes effect on every target, all is put back, and what it asserts holds."""
    execution = played[name].result()
    outcomes = [(one["type"], each["outcome"]) for one in execution["faults"] for each in one["targets"]]
    assert outcomes
    assert [one for one in outcomes if not one[1].startswith("effective")] == []
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution["reason"]


def faults_of(name: str) -> set[tuple[str, frozenset[str]]]:
    """The faults of a scenario: type, and which parameters are given."""
    phases = parse(builtin_text(name), file=name).scenario.phases
    return {(one.type, frozenset(one.model_fields_set) - WHERE_AND_WHEN) for each in phases for one in each.faults}


@pytest.mark.parametrize("name", HAS_ITS_FAULTS)
def test_what_is_played_in_its_stead_has_its_faults(name: str) -> None:
    """With the same parameters, so that all of it has been tried on a real engine."""
    assert faults_of(name) <= faults_of(HAS_ITS_FAULTS[name])
