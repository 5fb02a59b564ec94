"""What of the ledger is told elsewhere, as a port: every record at its latest change. Satisfied by the ledger; read by
whoever tells Postgres and Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from coordinator.record import Execution, Fault, Series, Submission, TimelineEntry


@dataclass(frozen=True, slots=True)
class ExecutionSaved:
    """An execution as it is now, without timeline, faults and samples; what it was accepted with, where known."""

    execution: Execution
    submission: Submission | None


@dataclass(frozen=True, slots=True)
class FaultSaved:
    """A fault as it is now. `place` orders the faults of an execution as they were armed."""

    fault: Fault
    place: int


@dataclass(frozen=True, slots=True)
class EntryTold:
    """An entry of a timeline, never changed. `uid` names it for ever, `place` orders it among its execution's."""

    uid: str
    execution_id: str
    place: int
    entry: TimelineEntry


@dataclass(frozen=True, slots=True)
class SamplesTaken:
    """A chunk of a probe's samples, named and ordered as `EntryTold`."""

    uid: str
    execution_id: str
    place: int
    series: Series


Change = ExecutionSaved | FaultSaved | EntryTold | SamplesTaken


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Changes of one ledger in the order they were made. All up to `position` are in it, or were read before."""

    ledger: str
    changes: tuple[Change, ...]
    position: int
    latest: int
    """The position of the ledger's latest change; the batch was cut short where it is another than `position`."""


class Outbox(Protocol):
    """What of the ledger is to be told elsewhere: every record at its latest change, so a record changed twice comes
    once, as it is now, at its later place. Read it from any position, as often as needed: nothing is used up.

    Raises LedgerUnavailable.
    """

    async def ledger(self) -> str:
        """Names the ledger file for ever: positions in one say nothing about another."""
        ...

    async def changes(self, after: int, limit: int, *, timeline_only: bool = False) -> OutboxBatch:
        """The first `limit` changes after a position (fewer where they are big); position 0 is before all."""
        ...

    async def news(self, position: int) -> None:
        """Wait until the latest change is another than the one at this position."""
        ...

    async def acknowledge(self, position: int) -> None:
        """Everything up to it is in Postgres; kept with the ledger."""
        ...

    async def lag(self) -> int:
        """How many records have changed since the acknowledged position."""
        ...
