from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from actors.ledger import MemoryLedger
from actors.ledger.outbox import BATCH_BYTES
from coordinator.outbox import Change, EntryTold, ExecutionSaved, FaultSaved, Outbox, SamplesTaken
from coordinator.ports import Ledger
from coordinator.record import FaultState, Sample, Series, Submission
from tests.unit.ledger.living import BEGAN, alive, entry, execution, fault_row, ledger_in

pytestmark = pytest.mark.anyio
SUBMISSION = Submission(source="kind: Scenario")


class Told(Ledger, Outbox, Protocol):
    """A ledger that can be read as an outbox."""


@pytest.fixture(params=["memory", "inline", "threads"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Told]:
    """Each ledger there is."""
    if request.param == "memory":
        memory = MemoryLedger()
        yield memory
        memory.close()
    else:
        real = ledger_in(tmp_path, inline=request.param == "inline")
        async with alive(real):
            yield real


async def everything(ledger: Told, limit: int = 1000, after: int = 0, *, timeline_only: bool = False) -> list[Change]:
    """All changes after a position, read in batches of that size."""
    found: list[Change] = []
    while True:
        batch = await ledger.changes(after, limit, timeline_only=timeline_only)
        assert len(batch.changes) <= limit
        found += batch.changes
        after = batch.position
        if after == batch.latest:
            return found
        assert batch.changes


def texts(changes: list[Change]) -> list[str]:
    """What the timeline entries among them say."""
    return [change.entry.text for change in changes if isinstance(change, EntryTold)]


async def test_each_kind_is_told_in_the_order_it_was_written(ledger: Told) -> None:
    """Executions with their submission, faults, entries and samples come as they were written, and only once."""
    series = Series(probe="api", samples=(Sample(0.0, True, 0.01), Sample(0.1, False)))
    await ledger.accept(execution(), SUBMISSION, "task", "key")
    await ledger.append_timeline("execution-1", entry(1))
    await ledger.save_fault(fault_row())
    await ledger.append_series("execution-1", series)
    batch = await ledger.changes(0, 100)
    saved, told, fault, samples = batch.changes
    assert saved == ExecutionSaved(execution(), SUBMISSION)
    assert isinstance(told, EntryTold)
    assert (told.execution_id, told.entry) == ("execution-1", entry(1))
    assert fault == FaultSaved(fault_row().fault, 1)
    assert isinstance(samples, SamplesTaken)
    assert (samples.execution_id, samples.series) == ("execution-1", series)
    assert batch.ledger == await ledger.ledger()
    assert batch.position == batch.latest
    assert (await ledger.changes(batch.position, 100)).changes == ()


async def test_a_record_that_changed_comes_once_as_it_is_now(ledger: Told) -> None:
    """A record saved again moves behind what came between; who read it before is told again."""
    await ledger.accept(execution(), SUBMISSION, "task")
    await ledger.save_fault(fault_row())
    before = (await ledger.changes(0, 100)).position
    await ledger.append_timeline("execution-1", entry(1))
    await ledger.save_fault(fault_row(state=FaultState.UNDONE))
    await ledger.save_execution(execution(finished=True))
    whole = await everything(ledger)
    assert [type(change) for change in whole] == [EntryTold, FaultSaved, ExecutionSaved]
    assert whole[1:] == [
        FaultSaved(fault_row(state=FaultState.UNDONE).fault, 1),
        ExecutionSaved(execution(finished=True), SUBMISSION),
    ]
    assert await everything(ledger, after=before) == whole


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_batches_follow_each_other_without_gap(ledger: Told, limit: int) -> None:
    """Whatever the size of the batches, together they are everything, and reading again gives the same."""
    await ledger.accept(execution(), SUBMISSION, "task")
    for number in range(10):
        await ledger.append_timeline("execution-1", entry(number))
        await ledger.append_series("execution-1", Series(probe="api", samples=(Sample(float(number), True),)))
    whole = await everything(ledger)
    assert len(whole) == 21
    assert await everything(ledger, limit) == whole
    timeline = await everything(ledger, limit, timeline_only=True)
    assert timeline == [change for change in whole if isinstance(change, EntryTold)]
    assert texts(timeline) == [f"entry {number}" for number in range(10)]


async def test_a_batch_of_nothing_tells_where_the_end_is(ledger: Told) -> None:
    """Asked for no change, it stays where it is and says what the latest is."""
    assert (await ledger.changes(0, 0)).latest == 0
    await ledger.append_timeline("execution-1", entry(1))
    batch = await ledger.changes(0, 0)
    assert (batch.changes, batch.position, batch.latest) == ((), 0, 1)


async def test_big_records_make_small_batches(ledger: Told) -> None:
    """A batch ends soon after it has grown big, so that reading never takes much memory; nothing is skipped."""
    big = entry(0).model_copy(update={"text": "x" * (BATCH_BYTES // 2)})
    for _ in range(7):
        await ledger.append_timeline("execution-1", big)
    sizes = []
    batch = await ledger.changes(0, 100)
    while batch.changes:
        sizes.append(len(batch.changes))
        batch = await ledger.changes(batch.position, 100)
    assert max(sizes) <= 3
    assert sum(sizes) == 7


async def test_what_is_purged_is_not_told_and_its_numbers_stay_used(ledger: Told) -> None:
    """Purged records are gone from the outbox; what is written later still comes after every earlier position."""
    await ledger.accept(execution(finished=True), SUBMISSION, "task")
    await ledger.append_timeline("execution-1", entry(1))
    before = (await ledger.changes(0, 100)).position
    assert await ledger.purge(BEGAN + timedelta(days=1)) == 1
    assert await everything(ledger) == []
    await ledger.append_timeline("execution-2", entry(2))
    assert texts(await everything(ledger, after=before)) == ["entry 2"]


async def test_news_wake_every_reader(ledger: Told) -> None:
    """Readers at the end wait until something is written; one that is behind does not wait."""
    await ledger.append_timeline("execution-1", entry(1))
    position = (await ledger.changes(0, 100)).position
    woken: list[int] = []

    async def read(number: int) -> None:
        await ledger.news(position)
        woken.append(number)

    with anyio.fail_after(30):
        await ledger.news(0)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(read, number)
            await anyio.wait_all_tasks_blocked()
            assert woken == []
            await ledger.append_timeline("execution-1", entry(2))
    assert sorted(woken) == [0, 1, 2]


async def test_lag_is_what_changed_since_the_acknowledged(ledger: Told) -> None:
    """The lag counts records behind the acknowledged position, each once, and acknowledging is no change itself."""
    assert await ledger.lag() == 0
    await ledger.accept(execution(), SUBMISSION, "task")
    await ledger.append_timeline("execution-1", entry(1))
    await ledger.save_execution(execution(finished=True))
    assert await ledger.lag() == 2
    first = await ledger.changes(0, 1)
    await ledger.acknowledge(first.position)
    assert await ledger.lag() == 1
    await ledger.acknowledge(first.latest)
    assert await ledger.lag() == 0
    assert (await ledger.changes(0, 100)).latest == first.latest
