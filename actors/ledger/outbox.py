"""The outbox: the ledger's records in the order of their latest change, for whoever tells them elsewhere. Keeps no copy
of anything and does not know who reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from sqlite3 import Connection
from typing import Final, NamedTuple, TypeVar

import anyio

from actors.ledger.writes import SAMPLES, Acknowledge, Write
from coordinator.outbox import Change, EntryTold, ExecutionSaved, FaultSaved, OutboxBatch, SamplesTaken
from coordinator.record import Execution, FaultRow, Series, Submission, TimelineEntry

T = TypeVar("T")
BATCH_BYTES: Final = 2**20
"""A batch ends after the record with which it grows beyond this: a reader's memory is bounded whatever it reads."""

_TIMELINE: Final = """
    SELECT change, 'entry', uid, execution_id, seq, document, NULL FROM timeline WHERE change > :after
"""
_EVERYTHING: Final = """
    SELECT change, 'execution', id, id, seq, document, submission FROM executions WHERE change > :after
    UNION ALL SELECT change, 'fault', id, execution_id, seq, document, NULL FROM faults WHERE change > :after
    UNION ALL SELECT change, 'entry', uid, execution_id, seq, document, NULL FROM timeline WHERE change > :after
    UNION ALL SELECT change, 'samples', uid, execution_id, seq, samples, probe FROM series WHERE change > :after
"""
_LAG: Final = """
    SELECT (SELECT count(*) FROM executions WHERE change > acknowledged)
         + (SELECT count(*) FROM faults WHERE change > acknowledged)
         + (SELECT count(*) FROM timeline WHERE change > acknowledged)
         + (SELECT count(*) FROM series WHERE change > acknowledged)
    FROM outbox
"""


class _Row(NamedTuple):
    change: int
    kind: str
    name: str
    execution_id: str
    place: int
    document: str
    more: str | None

    def record(self) -> Change:
        match self.kind:
            case "execution":
                submission = None if self.more is None else Submission.model_validate_json(self.more)
                return ExecutionSaved(Execution.model_validate_json(self.document), submission)
            case "fault":
                return FaultSaved(FaultRow.model_validate_json(self.document).fault, self.place)
            case "entry":
                entry = TimelineEntry.model_validate_json(self.document)
                return EntryTold(self.name, self.execution_id, self.place, entry)
        series = Series(probe=self.more or "", samples=SAMPLES.validate_json(self.document))
        return SamplesTaken(self.name, self.execution_id, self.place, series)


class Telling:
    """Lets readers wait for changes."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._latest: int | None = None
        self._told = anyio.Event()

    def tell(self, latest: int) -> None:
        """These are on disk."""
        if latest != self._latest:
            self._latest = latest
            self._told.set()
            self._told = anyio.Event()

    async def news(self, position: int) -> None:
        """Wait until the latest change is known to be another one."""
        while self._latest is None or self._latest == position:
            await self._told.wait()


class OutboxCalls(ABC):
    """Satisfies `coordinator.outbox.Outbox` on the primitives of a ledger."""

    _telling: Telling

    @abstractmethod
    async def _write(self, write: Write) -> int:
        """Return when it is on disk. Raises LedgerUnavailable."""

    @abstractmethod
    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Ask. Raises LedgerUnavailable."""

    async def ledger(self) -> str:
        """See `outbox.Outbox`."""
        return await self._read(lambda connection: str(connection.execute("SELECT ledger FROM outbox").fetchone()[0]))

    async def changes(self, after: int, limit: int, *, timeline_only: bool = False) -> OutboxBatch:
        """See `outbox.Outbox`."""
        selected = _TIMELINE if timeline_only else _EVERYTHING
        return await self._read(lambda connection: _changes(connection, selected, after, limit))

    async def news(self, position: int) -> None:
        """See `outbox.Outbox`."""
        await self._telling.news(position)

    async def acknowledge(self, position: int) -> None:
        """See `outbox.Outbox`."""
        await self._write(Acknowledge(position))

    async def lag(self) -> int:
        """See `outbox.Outbox`."""
        return await self._read(lambda connection: int(connection.execute(_LAG).fetchone()[0]))


def _changes(connection: Connection, selected: str, after: int, limit: int) -> OutboxBatch:
    ledger, latest = connection.execute("SELECT ledger, latest FROM outbox").fetchone()
    rows = connection.execute(f"{selected} ORDER BY change LIMIT :most", {"after": after, "most": limit + 1})
    taken: list[_Row] = []
    size, cut = 0, False
    for row in map(_Row._make, rows):
        if len(taken) == limit or size > BATCH_BYTES:
            cut = True
            break
        taken.append(row)
        size += len(row.document) + len(row.more or "")
    position = latest if not cut else taken[-1].change if taken else after
    return OutboxBatch(ledger, tuple(row.record() for row in taken), position, latest)
