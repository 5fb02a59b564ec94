"""In which order faults of a phase are undone, and when one gives way to others: on virtual time."""

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.faults.commands import Command, Outcome
from coordinator.record import UndoState
from coordinator.scenarios.undo import FAILING_S
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

DEADLINE_S = 60.0
EXEC = "{{type: exec, target: t, at: {0}s, command: [do, '{0}'], undo_command: [undo, '{0}']}}"
CALL = "{type: http_call, target: t, at: 2s, inject: {port: 80}, undo: {method: DELETE, port: 80}}"
ENDED_S = 5.0
"""When the phase ends, and with it all that is in it."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def scenario(*faults: str) -> str:
    """All in one phase, on one container."""
    return f"targets: {{t: {{names: [web]}}}}\nphases: [{{name: p, duration: 5s, faults: [{', '.join(faults)}]}}]\n"


def undone(house: Fleet) -> dict[str, float]:
    """When each undo was first tried, in seconds after the phase began."""
    began = next(at for at, text in house.runner.ran if text.startswith("exec "))
    first: dict[str, float] = {}
    for at, text in house.runner.ran:
        verb, *_, what = text.split()
        what = "call" if verb == "curl" and "DELETE" in text else what if verb == "exec" and " undo " in text else ""
        if what:
            first.setdefault(what, at - began)
    return first


async def test_one_that_keeps_failing_gives_way_to_those_of_another_type() -> None:
    """What is fired last has its turn first; where its undo fails on and on, another type need not wait for it. One of
    its own type, which it may have found already there, waits for half of the deadline.
    """
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:
        house.engine.script(("undo", "3"), ExecResult(exit_code=1, stderr="no"))
        execution = await house.play(scenario(EXEC.format(0), CALL, EXEC.format(3)))
        assert execution.undo is UndoState.INCOMPLETE
        at = undone(house)
        assert at["3"] == pytest.approx(ENDED_S, abs=0.5)
        assert at["call"] == pytest.approx(ENDED_S + FAILING_S, abs=3.0)
        assert at["0"] == pytest.approx(ENDED_S + DEADLINE_S / 2, abs=0.5)
        (left,) = await house.ledger.faults(outstanding=True)
        assert left.last_error == "no"


async def test_one_that_takes_its_time_is_waited_for() -> None:
    """Slow is not failing: the order is kept."""
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:
        house.engine.script(("undo", "3"), ExecResult(takes_s=3 * FAILING_S))
        execution = await house.play(scenario(EXEC.format(0), CALL, EXEC.format(3)))
        assert execution.undo is UndoState.COMPLETE
        at = undone(house)
        assert at["0"] > at["call"] > ENDED_S + 3 * FAILING_S


async def test_one_that_fails_at_first_is_waited_for() -> None:
    """Once it succeeds the next has its turn."""
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:

        def heal() -> None:
            house.engine.script(("undo", "3"), ExecResult())

        house.engine.script(("undo", "3"), ExecResult(exit_code=1, stderr="not yet", takes_s=1.0, then=heal))
        execution = await house.play(scenario(EXEC.format(0), CALL, EXEC.format(3)))
        assert execution.undo is UndoState.COMPLETE
        assert list(undone(house)) == ["3", "call", "0"]


async def test_a_pause_that_cannot_be_ended_is_waited_for() -> None:
    """What was hit while it was frozen shows that only when it goes on: until then its undo would see nothing to do."""
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:
        real, began = house.runner.runner, anyio.current_time()

        class Unwilling:
            async def run(self, command: Command) -> Outcome:
                if command.argv[0] == "unpause" and anyio.current_time() < began + ENDED_S + 3 * FAILING_S:
                    return Outcome(exit_code=1, stderr="cannot")
                return await real.run(command)

        house.runner.runner = Unwilling()
        execution = await house.play(scenario(EXEC.format(0), CALL, "{type: container_pause, target: t, at: 3s}"))
        assert execution.undo is UndoState.COMPLETE
        at = undone(house)
        assert at["0"] > at["call"] > 3 * FAILING_S


async def test_an_engine_that_is_away_changes_no_order() -> None:
    """Nothing can be undone then, and what is fired last still comes first when it is back."""
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:
        away = {"from": ENDED_S - 0.5, "to": ENDED_S + 4 * FAILING_S}

        async def outage() -> None:
            await anyio.sleep(away["from"])
            house.engine.down()
            await anyio.sleep(away["to"] - away["from"])
            house.engine.up()

        async with anyio.create_task_group() as group:
            group.start_soon(outage)
            execution = await house.play(scenario(EXEC.format(0), CALL, EXEC.format(3)))
        assert execution.undo is UndoState.COMPLETE
        at = undone(house)
        assert list(at) == ["3", "call", "0"]
        assert at["3"] > ENDED_S + 3 * FAILING_S


async def test_a_call_to_one_that_another_fault_took_down_does_not_hold_it_down() -> None:
    """It waits for the container to be up, which the other's undo brings about, and that is not kept waiting long."""
    stop = "{type: container_stop, target: t, at: 2s}"
    async with fleet("web", undo_deadline_s=DEADLINE_S) as house:
        execution = await house.play(scenario(EXEC.format(0), stop, CALL))
        assert execution.undo is UndoState.COMPLETE
        began = next(at for at, text in house.runner.ran if text.startswith("exec "))
        started = next(at - began for at, text in house.runner.ran if text.startswith("start "))
        assert started == pytest.approx(ENDED_S + FAILING_S, abs=3.0)
