from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import pytest

from actors.ledger import MemoryLedger
from coordinator.errors import HistoryUnavailable, NotFound
from coordinator.past import Past
from coordinator.record import Execution, ExecutionState, Report, Sample, Series, Submission
from tests.unit.ledger.living import entry, execution

pytestmark = pytest.mark.anyio
SUBMISSION = Submission(source="")


@dataclass
class Known:
    """What the executions actor tells of a ledger in which nothing runs."""

    ledger: MemoryLedger

    async def execution(self, execution_id: str) -> Execution:
        """One."""
        found = await self.ledger.execution(execution_id)
        if found is None:
            message = f"there is no execution {execution_id}"
            raise NotFound(message)
        return found

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """A page."""
        return await self.ledger.executions(states, limit, after)

    async def report(self, execution_id: str) -> Report:
        """All."""
        execution = await self.execution(execution_id)
        return Report(execution=execution, probes=dict(await self.ledger.series(execution_id)))


@dataclass
class Remembered:
    """A history that is another ledger; `away` is why it cannot be asked."""

    ledger: MemoryLedger
    away: str = ""

    async def execution(self, execution_id: str) -> Execution | None:
        """One."""
        self._check()
        return await self.ledger.execution(execution_id)

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, before: tuple[datetime, str] | None
    ) -> tuple[Execution, ...]:
        """A page by time."""
        self._check()
        found = await self.ledger.executions(states, 1000)
        return tuple(one for one in found if before is None or (one.created_at, one.id) < before)[:limit]

    async def series(self, execution_id: str) -> Mapping[str, Series]:
        """All samples."""
        self._check()
        return await self.ledger.series(execution_id)

    def _check(self) -> None:
        if self.away:
            raise HistoryUnavailable(self.away)


@pytest.fixture
async def ledgers() -> AsyncIterator[tuple[MemoryLedger, MemoryLedger]]:
    """What is known (4 to 6, of which 6 runs), and what is remembered (1 to 5; of 5 as it was while it ran)."""
    known, remembered = MemoryLedger(), MemoryLedger()
    for number in (1, 2, 3, 4):
        await remembered.accept(execution(number, finished=True), SUBMISSION, "task")
    await remembered.accept(execution(5, ExecutionState.RUNNING), SUBMISSION, "task")
    for number in (4, 5):
        await known.accept(execution(number, finished=True), SUBMISSION, "task")
    await known.accept(execution(6, ExecutionState.RUNNING), SUBMISSION, "task")
    yield known, remembered
    known.close()
    remembered.close()


def numbers(page: tuple[Execution, ...]) -> list[int]:
    """Which executions these are."""
    return [one.seed for one in page]


@pytest.mark.parametrize("limit", range(1, 8))
async def test_pages_go_on_into_the_past(ledgers: tuple[MemoryLedger, MemoryLedger], limit: int) -> None:
    """Pages of any size follow each other without gap or repetition, and are full but for the last."""
    known, remembered = ledgers
    past = Past(Known(known), known, Remembered(remembered))
    found: list[int] = []
    page = await past.executions(None, limit, None)
    while page:
        found += numbers(page)
        assert len(page) == limit or len(found) == 6
        page = await past.executions(None, limit, page[-1].id)
    assert found == [6, 5, 4, 3, 2, 1]


async def test_what_is_known_wins(ledgers: tuple[MemoryLedger, MemoryLedger]) -> None:
    """An execution that the history still believes to run is listed as the ledger knows it."""
    known, remembered = ledgers
    past = Past(Known(known), known, Remembered(remembered))
    assert numbers(await past.executions({ExecutionState.RUNNING}, 50, None)) == [6]
    assert numbers(await past.executions({ExecutionState.FINISHED}, 50, None)) == [5, 4, 3, 2, 1]
    assert (await past.execution("execution-5")).state is ExecutionState.FINISHED


async def test_a_report_is_remembered_whole(ledgers: tuple[MemoryLedger, MemoryLedger]) -> None:
    """The report of a past execution has its timeline and its samples."""
    known, remembered = ledgers
    series = Series(probe="api", samples=(Sample(0.0, True, 0.01),))
    await remembered.append_timeline("execution-1", entry(1))
    await remembered.append_series("execution-1", series)
    report = await Past(Known(known), known, Remembered(remembered)).report("execution-1")
    assert report.execution.timeline == (entry(1),)
    assert report.probes == {"api": series}


async def test_what_nobody_knows_is_not_found(ledgers: tuple[MemoryLedger, MemoryLedger]) -> None:
    """Not in the ledger and not in the history: not found, with the reason where the history could not be asked."""
    known, remembered = ledgers
    past = Past(Known(known), known, Remembered(remembered))
    with pytest.raises(NotFound, match=r"^there is no execution nobody$"):
        await past.execution("nobody")
    assert await past.executions(None, 5, "nobody") == ()
    away = Past(Known(known), known, Remembered(remembered, away="postgres is away"))
    with pytest.raises(NotFound, match="no execution execution-1 in the ledger; postgres is away"):
        await away.report("execution-1")
    assert numbers(await away.executions(None, 5, None)) == [6, 5, 4]


async def test_without_a_history_only_what_is_known(ledgers: tuple[MemoryLedger, MemoryLedger]) -> None:
    """Where there is no Postgres the ledger alone answers."""
    known, _ = ledgers
    past = Past(Known(known), known, None)
    assert numbers(await past.executions(None, 5, None)) == [6, 5, 4]
    with pytest.raises(NotFound, match=r"^there is no execution execution-1$"):
        await past.execution("execution-1")
