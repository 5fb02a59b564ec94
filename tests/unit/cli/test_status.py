import json

import pytest

from coordinator.cli import watching
from coordinator.cli.tools import Tools, Where
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.ports import Candidate
from coordinator.record import ExecutionState, FaultState
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE)
CANDIDATES = tuple(
    Candidate(
        container=ContainerFacts(id=name * 8, name=name, image="i", labels=labels, state=ContainerState.RUNNING),
        why_not=why,
    )
    for name, labels, why in (
        ("web-1", {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}, None),
        ("db-1", {}, "labelled test-coordinator.protected=true"),
    )
)


def test_containers_say_which_may_be_a_target(call: Call) -> None:
    """Each container has its name, state, Compose project and service, and why it may not be a target."""
    said = call("containers", control=ScriptedControl(candidates=CANDIDATES))
    assert (said.code, [line.split(None, 4) for line in said.out.splitlines()[1:]]) == (
        0,
        [
            ["web-1", "running", "i", "shop/web", "may be a target"],
            ["db-1", "running", "i", "-", "labelled test-coordinator.protected=true"],
        ],
    )


def test_containers_as_json_are_a_list_as_of_the_api(call: Call) -> None:
    """`--json` gives items with the container's facts and the reason, null where there is none."""
    listed = json.loads(call("containers", "--json", control=ScriptedControl(candidates=CANDIDATES)).out)
    assert listed["next"] is None
    assert [(item["container"]["name"], item["why_not"]) for item in listed["items"]] == [
        ("web-1", None),
        ("db-1", "labelled test-coordinator.protected=true"),
    ]


def test_executions_are_listed(call: Call) -> None:
    """Id, time, scenario, state, verdict and undo, a line each; JSON on demand; states choose."""
    said = call("executions", control=ScriptedControl([played.execution()]))
    assert said.out.splitlines()[1].split() == [
        played.EXECUTION_ID, "2026-01-02T03:04:05.678Z", "kill-one-replica", "finished", "passed", "complete",
    ]  # fmt: skip
    listed = json.loads(call("executions", "--json", control=ScriptedControl([played.execution()])).out)
    assert [item["id"] for item in listed["items"]] == [played.EXECUTION_ID]
    none = call("executions", "--state", "running", control=ScriptedControl([played.execution()]))
    assert len(none.out.splitlines()) == 1


def test_status_without_a_coordinator_looks_and_undoes_nothing(call: Call) -> None:
    """Nobody runs: the ledger is only looked at, and what is outstanding is told with what undoes it."""
    connect = ScriptedConnect(ScriptedControl(outstanding=[played.fault(FaultState.ACTIVE)]))
    said = call("status", tools=Tools(connect=connect))
    assert said.code == 0
    assert said.out.splitlines()[0] == "coordinator  not running here"
    assert played.UNDO in said.out
    assert said.out.endswith("test-coordinator recover undoes them\n")
    assert connect.asked == [(Where(), False)]


def test_status_as_json(call: Call) -> None:
    """`--json` has active executions, outstanding faults, actors and checks."""
    body = json.loads(
        call("status", "--json", control=ScriptedControl([RUNNING], outstanding=[played.fault(FaultState.ACTIVE)])).out
    )
    assert (body["running"], body["executions"][0]["id"], body["faults"][0]["class"]) == (
        False, played.EXECUTION_ID, "journal",
    )  # fmt: skip


def test_status_of_one_execution(call: Call) -> None:
    """With an id: its state, faults, assertions and events."""
    said = call("status", played.EXECUTION_ID, control=ScriptedControl([played.execution()]))
    for part in (
        "state      finished",
        "verdict    passed",
        "container_kill",
        "recovers_within <= 20s",
        "fault undone",
    ):
        assert part in said.out


def test_an_unknown_execution_is_an_error(call: Call) -> None:
    """An id that does not exist ends with 2."""
    said = call("status", "nonsuch", control=ScriptedControl([played.execution()]))
    assert (said.code, said.err) == (2, "test-coordinator: execution nonsuch: there is none\n")


@pytest.mark.parametrize("argv", [["status"], ["executions"], ["containers"]])
def test_which_coordinator_is_meant_is_handed_on(call: Call, argv: list[str]) -> None:
    """--server and --token-file reach the connection."""
    connect = ScriptedConnect(ScriptedControl())
    call(*argv, "--server", "http://127.0.0.1:1", "--token-file", "kill.yaml", tools=Tools(connect=connect))
    where, recovery = connect.asked[0]
    assert (where.server, str(where.token_file), recovery) == ("http://127.0.0.1:1", "kill.yaml", False)


def test_watching_prints_what_changes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a terminal `--watch` prints the first picture; a signal ends it with 0."""
    looks: list[bool] = []

    async def watch(tools: Tools, where: Where, screen: watching.Screen) -> None:
        looks.append(isinstance(screen, watching.Printed))

    monkeypatch.setattr(watching, "watch", watch)
    assert (call("status", "--watch").code, call("status", "--watch", "--json").code, looks) == (0, 0, [True, True])


def test_one_execution_is_watched_to_its_end(call: Call) -> None:
    """With an id the events are shown as they come, then the summary."""
    said = call("status", played.EXECUTION_ID, "--watch", control=ScriptedControl([played.execution()]))
    assert said.code == 0
    assert [line.split()[0] for line in said.err.splitlines()] == ["3.0s", "4.1s", "14.0s", "16.0s"]
    assert said.out.startswith("verdict    passed\n")


def test_an_execution_that_nobody_plays_is_shown_once(call: Call) -> None:
    """Where no coordinator runs there is nothing to wait for."""
    said = call("status", played.EXECUTION_ID, "--watch", control=ScriptedControl([RUNNING]))
    assert (said.code, said.out) == (0, f"{played.EXECUTION_ID} running\n")


def test_watching_one_that_does_not_exist(call: Call) -> None:
    """An unknown id ends with 2 and says so; JSON of one that is watched there is none."""
    said = call("status", "nonsuch", "--watch", control=ScriptedControl([played.execution()]))
    assert (said.code, said.err) == (2, "test-coordinator: execution nonsuch: there is none\n")
    assert call("status", "nonsuch", "--watch", "--json").code == 2
