import json

import pytest

from coordinator.cli.status import actor_lines
from coordinator.cli.tools import Tools, Where
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.ports import Candidate
from coordinator.record import ExecutionState, FaultState
from coordinator.supervision import ChildState, ChildView
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE)
CANDIDATES = tuple(
    Candidate(container=ContainerFacts(id=name * 8, name=name, image="i", state=ContainerState.RUNNING), why_not=why)
    for name, why in (("web-1", None), ("db-1", "labelled test-coordinator.protected=true"))
)


def test_containers_say_which_may_be_a_target(call: Call) -> None:
    """Each container has its name, state, and why it may not be a target."""
    said = call("containers", control=ScriptedControl(candidates=CANDIDATES))
    assert (said.code, [line.split(None, 3) for line in said.out.splitlines()[1:]]) == (
        0,
        [
            ["web-1", "running", "i", "may be a target"],
            ["db-1", "running", "i", "labelled test-coordinator.protected=true"],
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


def view(
    name: str,
    state: ChildState = ChildState.RUNNING,
    *children: ChildView,
    degraded: str | None = None,
    last_error: str | None = None,
) -> ChildView:
    """An actor."""
    return ChildView(
        id=name, path=f"root/{name}", kind="worker", state=state, critical=True, incarnation=1,
        restarts=0 if state is ChildState.RUNNING else 3, since=0.0, children=children, degraded=degraded,
        last_error=last_error,
    )  # fmt: skip


def test_actors_are_an_indented_tree() -> None:
    """Children stand below and further in; restarts, reasons and errors are told."""
    tree = [
        view("chaos", degraded="no engine"),
        view("running", ChildState.RUNNING, view("e-1", ChildState.BACKOFF, last_error="boom")),
    ]
    assert [line.rstrip() for line in actor_lines(tree)] == [
        "  chaos                   running  degraded: no engine",
        "  running                 running",
        "    e-1                   backoff  restarts 3  last error: boom",
    ]


@pytest.mark.parametrize("argv", [["status"], ["executions"], ["containers"]])
def test_which_coordinator_is_meant_is_handed_on(call: Call, argv: list[str]) -> None:
    """--server and --token-file reach the connection."""
    connect = ScriptedConnect(ScriptedControl())
    call(*argv, "--server", "http://127.0.0.1:1", "--token-file", "kill.yaml", tools=Tools(connect=connect))
    where, recovery = connect.asked[0]
    assert (where.server, str(where.token_file), recovery) == ("http://127.0.0.1:1", "kill.yaml", False)
