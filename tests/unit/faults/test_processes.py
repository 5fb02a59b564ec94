"""Processes inside a container: what a helper is asked, how it is undone, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from coordinator.faults.catalogue import AnyFault
from coordinator.faults.commands import FAULT, MARK, batch
from coordinator.faults.looks import Succeeded
from coordinator.faults.processes import SIGNALS_PROGRAM, ProcessFault
from tests.unit.faults.test_limits import container

FAULTS: TypeAdapter[object] = TypeAdapter(AnyFault)


def fault(**fields: object) -> ProcessFault:
    """As a scenario writes it."""
    made = FAULTS.validate_python({"target": "t"} | fields)
    assert isinstance(made, ProcessFault)
    return made


def test_what_is_stopped_is_let_go_on_by_its_fault() -> None:
    """With the mark that says whose it is; the helper may signal others, and nothing more."""
    spec = fault(type="process_freeze", pattern="sleep [0-9]+")
    (target,) = spec.plan([container()]).filled({FAULT: "f-1", MARK: "expires=7"}).targets

    program = target.inject.argv.index(SIGNALS_PROGRAM)
    asked = ("put", "f-1", "pattern", "sleep [0-9]+", "expires=7", "c" * 64)
    assert target.inject.argv[program + 1 :] == asked
    assert target.undo is not None
    assert target.undo.command.argv[program + 1 :] == ("remove", "f-1", "c" * 64)
    assert [each for each in target.inject.argv[:program] if each.isalpha() and each.isupper()] == ["ALL", "KILL"]
    assert target.effect == Succeeded()


@pytest.mark.parametrize(("signal", "number"), [("SIGKILL", "9"), ("term", "15"), ("1", "1")])
def test_a_signal_is_sent_once_and_nothing_is_owed(signal: str, number: str) -> None:
    """Each container has an outcome of its own, so each has a command of its own."""
    spec = fault(type="process_kill", name="--", signal=signal)
    plan = spec.plan([container(), container().model_copy(update={"id": "d" * 64})])

    (first, second) = batch(target.inject for target in plan.targets)
    assert first.argv[-5:] == ("kill", "name", "--", number, "c" * 64)
    assert second.argv[-1] == "d" * 64
    assert plan.undos == ()


@pytest.mark.parametrize("kind", ["process_kill", "process_freeze"])
@pytest.mark.parametrize("state", ["exited", "paused"])
def test_what_does_not_run_is_left_alone(kind: str, state: str) -> None:
    """It is named with its state."""
    plan = fault(type=kind, name="sh").plan([container(state)])
    assert plan.targets == ()
    assert plan.untouched[0].why == f"is {state}, not running: left alone"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "process_kill"}, "name or pattern: one of them is due"),
        ({"type": "process_freeze", "name": "a", "pattern": "b"}, "name or pattern: one of them is due"),
        ({"type": "process_kill", "name": ""}, "at least 1 character"),
        ({"type": "process_kill", "name": "a\nb"}, "text that can be printed"),
        ({"type": "process_freeze", "pattern": "("}, "a regular expression"),
        ({"type": "process_freeze", "pattern": "x" * 257}, "at most 256"),
        ({"type": "process_freeze", "name": "a", "signal": "SIGTERM"}, "Extra inputs"),
        ({"type": "process_kill", "name": "a", "signal": "SIGSTOP"}, "one of SIGHUP"),
        ({"type": "process_kill", "name": "a", "on_target_restart": "reapply"}, "a signal is sent once"),
    ],
)
def test_what_is_no_choice_of_processes_is_refused(fields: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(**fields)
