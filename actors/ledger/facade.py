"""What callers hold of a ledger: the calls of `coordinator.ports.Ledger` as writes and queries. Knows no file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from sqlite3 import Connection
from typing import Final, TypeVar
from uuid import uuid4

from actors.ledger import reads, writes
from actors.ledger.writes import Write
from coordinator.record import (
    Execution,
    ExecutionState,
    FaultRow,
    Series,
    Submission,
    TimelineEntry,
)

T = TypeVar("T")
PURGE_CHUNK: Final = 50
"""Executions deleted in one transaction: a write that waits behind it waits milliseconds."""
COMPACT_CHUNK: Final = 256
"""Pages of 4 KiB given back in one transaction, for the same reason."""


class LedgerCalls(ABC):
    """Satisfies `coordinator.ports.Ledger` on two primitives."""

    @abstractmethod
    async def _write(self, write: Write) -> int:
        """Return when it is on disk. Raises LedgerUnavailable, Conflict."""

    @abstractmethod
    async def _read(self, query: Callable[[Connection], T]) -> T:
        """Ask. Raises LedgerUnavailable."""

    async def accept(
        self, execution: Execution, submission: Submission, task: str, idempotency_key: str | None = None
    ) -> None:
        """Insert a new execution. Raises Conflict where the key was used for another one."""
        await self._write(writes.save_execution(execution, submission, task, idempotency_key))

    async def save_execution(self, execution: Execution) -> None:
        """Insert or replace an execution (without its timeline, faults and series)."""
        await self._write(writes.save_execution(execution))

    async def save_fault(self, row: FaultRow) -> None:
        """Insert or replace a fault with its undos."""
        await self._write(writes.save_fault(row))

    async def append_timeline(self, execution_id: str, entry: TimelineEntry, uid: str = "") -> None:
        """Add to an execution's timeline; once for each `uid`, however often it is asked for."""
        await self._write(writes.append_timeline(uid or uuid4().hex, execution_id, entry))

    async def append_series(self, execution_id: str, series: Series, uid: str = "") -> None:
        """Add a chunk of a probe's samples; once for each `uid`, however often it is asked for."""
        await self._write(writes.append_series(uid or uuid4().hex, execution_id, series))

    async def purge(self, before: datetime) -> int:
        """Delete executions that finished before, all their faults undone; returns how many. The file shrinks."""
        purged = 0
        while True:
            deleted = await self._write(writes.purge(before, PURGE_CHUNK))
            purged += deleted
            if deleted < PURGE_CHUNK:
                break
        while await self._write(writes.Compact(COMPACT_CHUNK)) == COMPACT_CHUNK:
            pass
        return purged

    async def execution(self, execution_id: str) -> Execution | None:
        """One execution with its timeline and faults."""
        return await self._read(lambda connection: reads.execution(connection, execution_id))

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """Executions, newest first, without timeline and faults; `after` is the id of the last one seen."""
        return await self._read(lambda connection: reads.executions(connection, states, limit, after))

    async def series(self, execution_id: str) -> Mapping[str, Series]:
        """All samples of an execution by probe."""
        return await self._read(lambda connection: reads.series(connection, execution_id))

    async def faults(self, *, execution_id: str | None = None, outstanding: bool = False) -> tuple[FaultRow, ...]:
        """Fault rows in the order they were armed; `outstanding`: only those that still owe something."""
        return await self._read(lambda connection: reads.faults(connection, execution_id, outstanding=outstanding))

    async def fault(self, fault_id: str) -> FaultRow | None:
        """One fault row."""
        return await self._read(lambda connection: reads.fault(connection, fault_id))

    async def task(self, execution_id: str) -> str | None:
        """The serialized Eliot task id of an execution."""
        return await self._read(lambda connection: reads.task(connection, execution_id))

    async def submission(self, execution_id: str) -> Submission | None:
        """What an execution was accepted with."""
        return await self._read(lambda connection: reads.submission(connection, execution_id))

    async def accepted_as(self, idempotency_key: str) -> str | None:
        """The id of the execution accepted with this key."""
        return await self._read(lambda connection: reads.accepted_as(connection, idempotency_key))
