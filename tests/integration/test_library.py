"""Every scenario of the library, played for real against small systems: a front and the replicas that it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from coordinator.scenarios.parse import builtin_names
from tests.integration.coordinator_process import Coordinator, coordinator, eventually
from tests.integration.sandbox import Container, Sandbox

# All of them are played by the first test.
pytestmark = pytest.mark.timeout(300)

LANES = 4
WITHIN_S = 120.0
SERVICE = "/srv/service.py"
# Short, and with nothing asked of a machine that may be busy: what is to be seen is that each fault comes and goes.
SHORT = {
    name: "1s"
    for name in (
        "outage",
        "slow",
        "lossy",
        "starved",
        "pressed",
        "narrow",
        "split",
        "step",
        "trouble",
        "full",
        "skewed",
    )
}
LENIENT = {
    **dict.fromkeys(("availability", "when_slow", "when_lossy", "when_gone"), "0%"),
    **dict.fromkeys(("recovery", "p95", "longest_gap", "whole_again"), "60s"),
    **{"steady": "500ms", "pace": "200ms", "grace": "1s", "watch": "4s", "size": "16m", "limit": "24m"},
}


@dataclass(frozen=True, slots=True)
class System:
    """A front that restarts when it crashes, and three replicas."""

    front: Container
    replicas: tuple[Container, ...]
    label: str

    @classmethod
    def up(cls, containers: Sandbox, number: int) -> System:
        """Bring one up."""
        network = containers.network()
        label = f"{containers.label}-{number}"
        key, _, value = label.partition("=")
        replicas = tuple(
            containers.run(
                "replica", command=["python3", SERVICE, "replica", "r"], labels={f"{key}.lane": value},
                options=["--network", network],
            )
            for _ in range(3)
        )  # fmt: skip
        front = containers.run(
            "front", command=["python3", SERVICE, "front", *(each.name for each in replicas)],
            options=["--network", network, "--publish", "127.0.0.1::8000", "--restart", "on-failure"],
        )  # fmt: skip
        return cls(front, replicas, f"{key}.lane={value}")

    def variables(self, name: str) -> dict[str, str]:
        """What points a scenario at it."""
        dependency = name in {"stop-dependency", "slow-dependency", "cascading-failure"}
        first, second = self.replicas[:2]
        return {
            "url": f"http://127.0.0.1:{self.front.published(8000)}/",
            "container": (first if dependency else self.front).name,
            "dependency": first.name,
            "label": self.label,
            "first": first.name,
            "second": second.name,
            "host": first.address,
            "port": "8000",
        }


def definition(name: str) -> dict[str, object]:
    """The scenario with a steady state that a busy machine meets as well."""
    head = {"apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": name, "metadata": {"name": name}}
    return {**head, "steady_state": [{"probe": "api", "availability": ">= 1%", "for": "500ms"}]}


def play(made: Coordinator, system: System, name: str) -> dict[str, Any]:
    """One execution, from its beginning to its end."""
    declared = made.call("GET", f"/api/v1/scenarios/{name}").json()["variables"]
    wanted: Mapping[str, str] = {**SHORT, **LENIENT, **system.variables(name)}
    variables = {key: wanted[key] for key in declared if key in wanted}
    asked = {"definition": definition(name), "variables": variables, "seed": 1}
    answer = made.call("POST", "/api/v1/executions", json=asked)
    assert answer.status_code == 202, answer.text
    identity = answer.json()["id"]
    eventually(lambda: made.execution(identity)["state"] == "finished", f"the end of {name}", within_s=WITHIN_S)
    return made.execution(identity)


@pytest.fixture(scope="module")
def played(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[dict[str, Any]]]]:
    """All of them, side by side on systems of their own."""
    containers = Sandbox(image)
    try:
        with coordinator(tmp_path_factory.mktemp("library")) as made, ThreadPoolExecutor(LANES) as lanes:
            made.start()
            systems = list(lanes.map(lambda number: System.up(containers, number), range(LANES)))
            free = systems.copy()

            def next_one(name: str) -> dict[str, Any]:
                system = free.pop()
                try:
                    return play(made, system, name)
                finally:
                    free.append(system)

            yield {name: lanes.submit(next_one, name) for name in builtin_names()}
    finally:
        containers.close()


@pytest.mark.parametrize("name", builtin_names())
def test_a_scenario_of_the_library_is_played(played: Mapping[str, Future[dict[str, Any]]], name: str) -> None:
    """Every fault of it takes effect on every target, all is put back, and what it asserts holds."""
    execution = played[name].result()
    outcomes = [(one["type"], each["outcome"]) for one in execution["faults"] for each in one["targets"]]
    assert outcomes
    assert {outcome for _, outcome in outcomes} == {"effective"}, outcomes
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution["reason"]
