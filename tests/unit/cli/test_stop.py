from coordinator.record import ExecutionState, FaultState, UndoState, Verdict
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedControl

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE)


def test_one_is_stopped_and_its_undo_awaited(call: Call) -> None:
    """`stop ID` tells how it ended and that it is undone."""
    control = ScriptedControl([RUNNING])
    said = call("stop", played.EXECUTION_ID, control=control)
    assert (said.code, said.out) == (0, f"{played.EXECUTION_ID}  aborted  undo complete\n")
    assert control.stops == ["stopped from the command line"]


def test_all_that_run_are_stopped(call: Call) -> None:
    """`stop --all` stops what has not finished."""
    control = ScriptedControl([RUNNING])
    assert call("stop", "--all", control=control).code == 0
    assert len(control.stops) == 1


def test_nothing_to_stop_is_no_error(call: Call) -> None:
    """`stop --all` where nothing runs says so and ends with 0."""
    said = call("stop", "--all", control=ScriptedControl([played.execution()]))
    assert (said.code, said.out, said.err) == (0, "", "no execution is running\n")


def test_an_incomplete_undo_ends_with_5(call: Call) -> None:
    """When something stays broken, `stop` says so by its exit code."""
    broken = played.execution(verdict=Verdict.ABORTED, undo=UndoState.INCOMPLETE)
    said = call("stop", played.EXECUTION_ID, control=ScriptedControl([RUNNING], when_stopped=broken))
    assert (said.code, said.out) == (5, f"{played.EXECUTION_ID}  aborted  undo incomplete\n")


def test_one_that_has_finished_cannot_be_stopped(call: Call) -> None:
    """Stopping a finished execution is a conflict, exit code 4."""
    said = call("stop", played.EXECUTION_ID, control=ScriptedControl([played.execution()]))
    assert (said.code, said.err) == (4, f"test-coordinator: execution {played.EXECUTION_ID}: is finished\n")


def test_an_id_and_all_exclude_each_other(call: Call) -> None:
    """Both are bad usage, as is neither."""
    assert call("stop", "x", "--all").code == 2
    assert call("stop").code == 2
