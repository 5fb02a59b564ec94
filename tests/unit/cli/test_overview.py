import json

import pytest

from coordinator.cli.output import compact
from coordinator.cli.overview import Overview, actor_lines, look, overview_object, overview_text
from coordinator.record import Execution, ExecutionState, FaultState
from coordinator.supervision import ChildState, ChildView
from tests.unit.cli import played
from tests.unit.cli.scripted import ScriptedControl

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE)


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


def test_what_actors_failed_with_cannot_command_a_terminal() -> None:
    """An error with control characters is one harmless line."""
    assert "boom\x1b" not in actor_lines([view("chaos", last_error="boom\x1b[2J\nx")])[0]


@pytest.mark.anyio
async def test_without_a_coordinator_the_ledger_is_what_is_known() -> None:
    """No health and no actors; what is outstanding is told with how it is undone."""
    seen = await look(ScriptedControl([RUNNING], outstanding=[played.fault(FaultState.ACTIVE)]))
    assert (seen.running, seen.health, seen.actors) == (False, None, ())
    text = overview_text(seen)
    assert text.startswith("coordinator  not running here\n\nactive executions\n")
    assert played.UNDO in text
    assert text.endswith("\ntest-coordinator recover undoes them\n")


def test_of_a_coordinator_that_runs_all_is_told() -> None:
    """Where, health and checks, then the actors; nothing active and nothing outstanding is said."""
    seen = Overview("blue 1.0 at http://x", "degraded", {"redis": "error: gone"}, (view("chaos"),), (), ())
    assert overview_text(seen) == (
        "coordinator  blue 1.0 at http://x\nhealth       degraded\nredis        error: gone\n\n"
        "actors\n  chaos                   running\n\nno active executions\n\nno outstanding faults\n"
    )


def test_as_json_everything_is_as_the_api_shows_it() -> None:
    """Actors with their times, executions and faults."""
    seen = Overview("w", "healthy", {}, (view("chaos"),), (RUNNING,), (played.fault(FaultState.ACTIVE),))
    body = json.loads(compact(overview_object(seen)))
    assert (body["running"], body["health"], body["checks"]) == (True, "healthy", {})
    assert [(one["path"], one["since"]) for one in body["actors"]] == [("root/chaos", "1970-01-01T00:00:00.000Z")]
    assert [Execution.model_validate(one) for one in body["executions"]] == [RUNNING]
    assert [one["class"] for one in body["faults"]] == ["journal"]
