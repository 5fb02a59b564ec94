"""The record of a running execution: in order, once, and never in the way."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from coordinator.errors import LedgerUnavailable
from coordinator.record import Execution, ExecutionState, Progress, Sample, Series
from coordinator.scenarios.journal import Journal
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def journal_of(house: Fleet) -> Journal:
    """The journal of an accepted execution."""
    return Journal(await house.accepted(), house.ledger, house.clock)


async def stored(house: Fleet, journal: Journal) -> Execution:
    """As the disk has it."""
    found = await house.ledger.execution(journal.execution.id)
    assert found is not None
    return found


async def test_told_in_order_and_once() -> None:
    """What is told is written as it comes, in order, with its offset, also by two writers at once."""
    async with fleet() as house, anyio.create_task_group() as group:
        journal = await journal_of(house)
        await anyio.sleep(1)
        journal.begin()
        journal.set(phase="p")
        group.start_soon(journal.write_out)
        for number in range(20):
            journal.tell("counted", str(number), target="t")
            await anyio.sleep(0.5)
            group.start_soon(journal.flush)
        await anyio.sleep(1)
        timeline = (await stored(house, journal)).timeline
        assert [entry.text for entry in timeline] == [str(number) for number in range(20)]
        assert [entry.offset_s for entry in timeline[:3]] == [0.0, 0.5, 1.0]
        assert {(entry.phase, entry.target) for entry in timeline} == {("p", "t")}
        group.cancel_scope.cancel()


async def test_cancelled_while_writing_writes_nothing_twice() -> None:
    """A writer that is cancelled in the middle of an entry leaves it written exactly once."""
    async with fleet() as house:
        journal = await journal_of(house)
        for number in range(10):
            journal.tell("counted", str(number))
            async with anyio.create_task_group() as group:
                group.start_soon(journal.flush)
                for _ in range(number):
                    await checkpoint()
                group.cancel_scope.cancel()
        assert await journal.flush()
        assert [entry.text for entry in (await stored(house, journal)).timeline] == [str(n) for n in range(10)]


async def test_a_ledger_that_is_away_delays_only() -> None:
    """Telling never fails; what was told meanwhile is written when the ledger is back."""
    async with fleet() as house:
        journal = await journal_of(house)
        house.ledger.away = True
        journal.tell("first")
        assert not await journal.flush()
        journal.tell("second")
        assert not await journal.save()
        house.ledger.away = False
        assert await journal.flush()
        assert [entry.event for entry in (await stored(house, journal)).timeline] == ["first", "second"]


async def test_settling_goes_on_until_it_is_on_disk() -> None:
    """The last word is written again and again until the ledger takes it."""
    async with fleet() as house, anyio.create_task_group() as group:
        journal = await journal_of(house)
        house.ledger.away = True
        journal.set(state=ExecutionState.FINISHED)
        journal.tell("finished")
        group.start_soon(journal.settle)
        await anyio.sleep(5)
        house.ledger.away = False
        await anyio.sleep(1)
        found = await stored(house, journal)
        assert (found.state, [entry.event for entry in found.timeline]) == (ExecutionState.FINISHED, ["finished"])


async def test_samples_that_are_not_taken_are_given_back() -> None:
    """Whoever keeps samples learns that they were not written."""
    async with fleet() as house:
        journal = await journal_of(house)
        series = Series(probe="up", samples=(Sample(0.0, True),))
        await journal.keep(series, "1")
        assert await house.ledger.series(journal.execution.id) == {"up": series}
        house.ledger.away = True
        with pytest.raises(LedgerUnavailable):
            await journal.keep(series, "1")


async def test_the_view_has_all() -> None:
    """A watcher sees the execution with its timeline, faults and progress before any of it is on disk."""
    async with fleet() as house:
        journal = await journal_of(house)
        journal.set(state=ExecutionState.RUNNING)
        journal.tell("seen")
        view = journal.view((), Progress(phase="p"))
        assert (view.state, view.timeline[0].event) == (ExecutionState.RUNNING, "seen")
        assert view.progress is not None
        assert (await stored(house, journal)).state is ExecutionState.QUEUED


async def test_a_place_is_told_when_it_is_on_disk() -> None:
    """Whoever follows sees an entry only once it is written: after a crash its place is the same entry's."""
    async with fleet() as house, anyio.create_task_group() as group:
        journal = await journal_of(house)
        journal.tell("one")
        journal.tell("two")
        with anyio.move_on_after(5) as patience:
            await journal.after(0)
        assert patience.cancelled_caught
        group.start_soon(journal.flush)
        first = await journal.after(0)
        assert first
        rest = first if len(first) > 1 else first + await journal.after(1)
        assert [entry.event for entry in rest] == ["one", "two"]
        assert rest == (await stored(house, journal)).timeline[: len(rest)]
