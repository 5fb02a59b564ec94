from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from actors.ledger import MemoryLedger
from coordinator.errors import Conflict
from coordinator.ports import Ledger
from coordinator.record import (
    AssertionResult,
    ExecutionState,
    FaultState,
    Sample,
    Series,
    Submission,
    TargetRef,
    UndoState,
    Verdict,
)
from tests.unit.ledger.living import BEGAN, alive, entry, execution, fault_row, ledger_in

pytestmark = pytest.mark.anyio
SUBMISSION = Submission(source="kind: Scenario", variables={"service": "web"}, seed=7)


@pytest.fixture(params=["memory", "inline", "threads"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """Each ledger there is."""
    if request.param == "memory":
        memory = MemoryLedger()
        yield memory
        memory.close()
    else:
        real = ledger_in(tmp_path, inline=request.param == "inline")
        async with alive(real):
            yield real


async def test_accepted_execution_is_found(ledger: Ledger) -> None:
    """What was accepted is read back: the execution, its submission, its task and its key."""
    await ledger.accept(execution(), SUBMISSION, "uuid@/2", "key")
    assert await ledger.execution("execution-1") == execution()
    assert await ledger.submission("execution-1") == SUBMISSION
    assert await ledger.task("execution-1") == "uuid@/2"
    assert await ledger.accepted_as("key") == "execution-1"


async def test_unknown_is_none(ledger: Ledger) -> None:
    """What nobody wrote is None or empty, not an error."""
    assert await ledger.execution("nobody") is None
    assert await ledger.submission("nobody") is None
    assert await ledger.task("nobody") is None
    assert await ledger.accepted_as("nothing") is None
    assert await ledger.fault("nobody") is None
    assert await ledger.series("nobody") == {}
    assert await ledger.faults(execution_id="nobody") == ()
    assert await ledger.executions() == ()


async def test_key_serves_one_execution(ledger: Ledger) -> None:
    """A second execution under a used key is a conflict that names the first, and is not stored; the first may come
    again, and no key is no key twice.
    """
    await ledger.accept(execution(1), SUBMISSION, "task", "key")
    with pytest.raises(Conflict, match="execution-1"):
        await ledger.accept(execution(2), SUBMISSION, "task", "key")
    assert await ledger.execution("execution-2") is None
    await ledger.accept(execution(1), SUBMISSION, "task", "key")
    await ledger.accept(execution(3), SUBMISSION, "task")
    await ledger.accept(execution(4), SUBMISSION, "task")
    assert [found.id for found in await ledger.executions()] == ["execution-4", "execution-3", "execution-1"]


async def test_saving_keeps_what_was_accepted(ledger: Ledger) -> None:
    """Saving replaces the execution as the API shows it, and leaves submission, task and key."""
    await ledger.accept(execution(), SUBMISSION, "task", "key")
    done = execution(finished=True).model_copy(
        update={
            "verdict": Verdict.PASSED,
            "undo": UndoState.COMPLETE,
            "targets": {"replica": (TargetRef(id="c", name="web-1"),)},
            "assertions": (AssertionResult(phase="p", on="api", metric="m", expected="1", actual="1", passed=True),),
        }
    )
    await ledger.save_execution(done)
    assert await ledger.execution("execution-1") == done
    assert await ledger.submission("execution-1") == SUBMISSION
    assert await ledger.task("execution-1") == "task"
    assert await ledger.accepted_as("key") == "execution-1"


async def test_lists_page_newest_first(ledger: Ledger) -> None:
    """Pages follow each other without gap or repetition, by state too, however often an execution was saved."""
    for number in range(1, 8):
        await ledger.accept(execution(number, finished=number % 2 == 0), SUBMISSION, "task")
    await ledger.save_execution(execution(1))
    first = await ledger.executions(limit=3)
    second = await ledger.executions(limit=3, after=first[-1].id)
    third = await ledger.executions(limit=3, after=second[-1].id)
    assert [found.seed for found in (*first, *second, *third)] == [7, 6, 5, 4, 3, 2, 1]
    finished = await ledger.executions({ExecutionState.FINISHED})
    assert [found.seed for found in finished] == [6, 4, 2]
    assert await ledger.executions(set()) == ()
    assert await ledger.executions(after="nobody") == ()


async def test_timeline_and_faults_belong_to_the_execution(ledger: Ledger) -> None:
    """One execution comes with its timeline in the order it was told and its faults in the order they were armed."""
    await ledger.accept(execution(), SUBMISSION, "task")
    for number in range(3):
        await ledger.append_timeline("execution-1", entry(number))
    await ledger.append_timeline("execution-2", entry(9))
    rows = [fault_row(2), fault_row(1), fault_row(3, of="execution-2")]
    for row in rows:
        await ledger.save_fault(row)
    found = await ledger.execution("execution-1")
    assert found is not None
    assert found.timeline == (entry(0), entry(1), entry(2))
    assert found.faults == (rows[0].fault, rows[1].fault)
    assert (await ledger.executions())[0].timeline == ()


async def test_same_entry_twice_is_two(ledger: Ledger) -> None:
    """Equal entries are different events."""
    await ledger.accept(execution(), SUBMISSION, "task")
    await ledger.append_timeline("execution-1", entry(1))
    await ledger.append_timeline("execution-1", entry(1))
    found = await ledger.execution("execution-1")
    assert found is not None
    assert found.timeline == (entry(1), entry(1))


async def test_what_is_written_again_under_its_id_is_there_once(ledger: Ledger) -> None:
    """Whoever did not hear that it was taken may ask for it once more."""
    await ledger.accept(execution(), SUBMISSION, "task")
    series = Series(probe="api", samples=(Sample(0.0, True, 0.01),))
    for _ in range(2):
        await ledger.append_timeline("execution-1", entry(1), "a")
        await ledger.append_series("execution-1", series, "b")
    found = await ledger.execution("execution-1")
    assert found is not None
    assert found.timeline == (entry(1),)
    assert await ledger.series("execution-1") == {"api": series}


async def test_fault_is_whole_again(ledger: Ledger) -> None:
    """A fault row is read back with its undos, pre-states, engine and task: recovery needs nothing else."""
    await ledger.save_fault(fault_row())
    assert await ledger.fault("fault-1") == fault_row()
    active = fault_row(state=FaultState.ACTIVE).model_copy(update={"attempts": 2, "last_error": "engine away"})
    await ledger.save_fault(active)
    assert await ledger.faults() == (active,)


async def test_outstanding_is_what_still_owes(ledger: Ledger) -> None:
    """Outstanding are the faults that are neither undone nor not injected, the stuck ones too."""
    for number, state in enumerate(FaultState):
        await ledger.save_fault(fault_row(number, state))
    owing = {row.fault.state for row in await ledger.faults(outstanding=True)}
    assert owing == set(FaultState) - {FaultState.UNDONE, FaultState.NOT_INJECTED}
    assert len(await ledger.faults(execution_id="execution-1")) == len(FaultState)
    assert await ledger.faults(execution_id="execution-2", outstanding=True) == ()


async def test_series_are_joined(ledger: Ledger) -> None:
    """Chunks of samples are one series per probe, in order, values and missing latencies as they were."""
    samples = (Sample(0.0, True, 0.01), Sample(0.1, False), Sample(0.2, True, 0.02, "5"), Sample(0.3, True, None, 5.0))
    await ledger.append_series("execution-1", Series(probe="api", samples=samples[:2]))
    await ledger.append_series("execution-1", Series(probe="db", samples=samples[:1]))
    await ledger.append_series("execution-1", Series(probe="api", samples=samples[2:]))
    found = await ledger.series("execution-1")
    assert found == {"api": Series(probe="api", samples=samples), "db": Series(probe="db", samples=samples[:1])}


async def test_purge_takes_only_what_is_over(ledger: Ledger) -> None:
    """Purging deletes what finished before and owes nothing, with all that hangs on it; nothing else."""
    for number in (1, 2, 3):
        await ledger.accept(execution(number, finished=True), SUBMISSION, "task", f"key-{number}")
    await ledger.accept(execution(4, ExecutionState.RUNNING), SUBMISSION, "task")
    await ledger.append_timeline("execution-1", entry(1))
    await ledger.append_series("execution-1", Series(probe="api", samples=(Sample(0.0, True, 0.01),)))
    await ledger.save_fault(fault_row(1, FaultState.UNDONE))
    await ledger.save_fault(fault_row(2, FaultState.STUCK, of="execution-2"))
    assert await ledger.purge(BEGAN) == 0
    assert await ledger.purge(BEGAN + timedelta(seconds=12, milliseconds=1)) == 1
    assert {found.id for found in await ledger.executions()} == {"execution-2", "execution-3", "execution-4"}
    assert await ledger.series("execution-1") == {}
    assert await ledger.faults(execution_id="execution-1") == ()
    assert await ledger.accepted_as("key-1") is None
    assert await ledger.purge(BEGAN + timedelta(days=1)) == 1


async def test_many_are_purged(ledger: Ledger) -> None:
    """Purging does not end with its first portion."""
    for number in range(120):
        await ledger.save_execution(execution(number, finished=True))
    assert await ledger.purge(BEGAN + timedelta(days=1)) == 120
    assert await ledger.executions() == ()


async def test_many_at_once(ledger: Ledger) -> None:
    """Concurrent writers each find their own writes, and each writer's are in its order."""

    async def produce(number: int) -> None:
        await ledger.accept(execution(number), SUBMISSION, "task")
        for step in range(5):
            await ledger.append_timeline(f"execution-{number}", entry(step))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(produce, number)
    for number in range(20):
        found = await ledger.execution(f"execution-{number}")
        assert found is not None
        assert found.timeline == tuple(entry(step) for step in range(5))
