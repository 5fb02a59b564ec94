import os
import signal
from collections.abc import Iterator
from typing import Final

import anyio
import pytest

from coordinator.cli.interrupts import SIGNALS, Interrupts, heeded
from coordinator.cli.run import play
from coordinator.cli.tools import Tools, Where
from coordinator.record import Execution, ExecutionState, FaultState, Report, Submission, UndoState, Verdict
from tests.unit.cli import played
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl

pytestmark = pytest.mark.anyio

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE, undo=UndoState.PENDING, events=2)
SUBMISSION = Submission(source="")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Signals reach these tests also where the tests themselves were started to ignore them."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Remembered:
    """A display that remembers what it was given."""

    recent: Final = None

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seen: list[Execution] = []
        self.changed = anyio.Event()
        self.closed = 0

    def show(self, execution: Execution) -> None:
        self.seen.append(execution)
        self._change()

    def say(self, line: str) -> None:
        self.said.append(line)
        self._change()

    def close(self) -> None:
        self.closed += 1

    def _change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Unwilling(ScriptedControl):
    """A coordinator that takes a stop, and does not get on with its undo until it is let."""

    def __init__(self) -> None:
        super().__init__([RUNNING])
        self.undone = anyio.Event()

    async def execution(self, execution_id: str) -> Execution:
        return played.execution(verdict=Verdict.ABORTED) if self.undone.is_set() else RUNNING

    async def stop(self, execution_id: str, reason: str) -> Execution:
        self.stops.append(reason)
        return RUNNING


def never(code: int) -> None:
    """Leaving, where nobody asked for it."""
    pytest.fail(f"left with {code}")


async def until(display: Remembered, what: str) -> None:
    """Wait until something like it was said."""
    with anyio.fail_after(20):
        while not any(what in line for line in display.said):
            await display.changed.wait()


async def test_what_the_process_was_started_to_ignore_stays_ignored() -> None:
    """Under `nohup` a hang-up stops nothing."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert heeded() == (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_stops_and_waits_for_the_undo(number: signal.Signals) -> None:
    """Ctrl-C, TERM and HUP stop the execution, which is watched to its aborted end and reported."""
    control, display = ScriptedControl([RUNNING]), Remembered()
    reports: list[Report | None] = []

    async def go() -> None:
        tools = Tools(connect=ScriptedConnect(control))
        reports.append(await play(tools, Where(), SUBMISSION, display, never))

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await control.submitted.wait()
        while len(display.seen) < 2:
            await display.changed.wait()
        os.kill(os.getpid(), number)
    assert control.stops == [f"stopped by {number.name}"]
    assert reports[0] is not None
    assert reports[0].execution.verdict is Verdict.ABORTED
    assert display.said == [f"{number.name}: stopping, and undoing what was done"]
    assert display.closed


async def test_the_second_says_that_it_undoes_and_the_third_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    """Asked twice it goes on undoing; asked three times it tells what stays broken and ends with 5."""
    control, display = Unwilling(), Remembered()
    left: list[int] = []
    gone = anyio.Event()

    def leave(code: int) -> None:
        left.append(code)
        gone.set()

    async def go() -> None:
        await play(Tools(connect=ScriptedConnect(control)), Where(), SUBMISSION, display, leave)

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await control.submitted.wait()
        while len(display.seen) < 2:
            await display.changed.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await until(display, "stopping, and undoing")
        os.kill(os.getpid(), signal.SIGINT)
        await until(display, "still undoing")
        assert left == []
        os.kill(os.getpid(), signal.SIGINT)
        with anyio.fail_after(20):
            await gone.wait()
        control.undone.set()
    assert left == [5]
    assert control.stops == ["stopped by SIGINT"]
    assert f"  {played.UNDO}" in capfd.readouterr().err.splitlines()


async def test_before_there_is_an_execution_a_signal_just_ends_the_run() -> None:
    """While the coordinator is still sought there is nothing to undo: the scope is cancelled."""
    said: list[str] = []
    interrupts = Interrupts(said.append, pytest.fail)
    with interrupts.scope:
        interrupts.take("SIGINT")
        await anyio.sleep_forever()
    assert interrupts.scope.cancelled_caught
    assert said == ["SIGINT: nothing was begun"]


async def test_a_signal_while_it_is_being_submitted_waits_for_the_id() -> None:
    """Between asking for an execution and knowing it nothing is cancelled: it is stopped once it is known."""
    said: list[str] = []
    interrupts = Interrupts(said.append, pytest.fail)
    interrupts.submitting()
    interrupts.take("SIGTERM")
    assert interrupts.asked.is_set()
    assert not interrupts.scope.cancel_called
    assert interrupts.reason == "stopped by SIGTERM"
