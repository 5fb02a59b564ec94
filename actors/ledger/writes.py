"""The writes of the ledger as values, already serialized: all idempotent, so that a write may be played twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from coordinator.record import Execution, FaultRow, Sample, Series, Submission, TimelineEntry, stamp

SAMPLES: TypeAdapter[tuple[Sample, ...]] = TypeAdapter(tuple[Sample, ...])


@dataclass(frozen=True, slots=True)
class SaveExecution:
    """Insert or replace; what was accepted (task, submission, key) stays where it is None."""

    id: str
    state: str
    verdict: str | None
    undo: str
    created_at: str
    finished_at: str | None
    document: str
    task: str | None = None
    submission: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """One container of a fault: which run of it, how it was before, what puts it back."""

    container_id: str
    name: str
    started_at: str
    pre_state: str
    undo_command: str


@dataclass(frozen=True, slots=True)
class SaveFault:
    """Insert or replace, targets included."""

    id: str
    execution_id: str
    type: str
    fault_class: str
    state: str
    engine_id: str
    task: str
    document: str
    targets: tuple[FaultTarget, ...]


@dataclass(frozen=True, slots=True)
class AppendTimeline:
    """Add once: `uid` makes a second play of the same write do nothing."""

    uid: str
    execution_id: str
    document: str


@dataclass(frozen=True, slots=True)
class AppendSeries:
    """Add once, as AppendTimeline."""

    uid: str
    execution_id: str
    probe: str
    samples: str


@dataclass(frozen=True, slots=True)
class Purge:
    """Delete at most `limit` executions that finished before and owe nothing."""

    before: str
    limit: int


@dataclass(frozen=True, slots=True)
class Compact:
    """Give at most so many free pages back to the disk; the result is how many."""

    pages: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """The engine was scanned for what a damaged ledger knew."""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Remember up to which change Postgres has everything."""

    position: int


Write = SaveExecution | SaveFault | AppendTimeline | AppendSeries | Purge | Compact | Scanned | Acknowledge


def save_execution(
    execution: Execution,
    submission: Submission | None = None,
    task: str | None = None,
    idempotency_key: str | None = None,
) -> SaveExecution:
    """The row of an execution; timeline, faults and progress live elsewhere or nowhere."""
    bare = execution.model_copy(update={"timeline": (), "faults": (), "progress": None})
    return SaveExecution(
        id=execution.id,
        state=execution.state.value,
        verdict=None if execution.verdict is None else execution.verdict.value,
        undo=execution.undo.value,
        created_at=stamp(execution.created_at),
        finished_at=None if execution.finished_at is None else stamp(execution.finished_at),
        document=bare.model_dump_json(by_alias=True),
        task=task,
        submission=None if submission is None else submission.model_dump_json(),
        idempotency_key=idempotency_key,
    )


def save_fault(row: FaultRow) -> SaveFault:
    """The row of a fault and one per container it is undone in."""
    fault = row.fault
    targets = {
        undo.container_id: FaultTarget(
            container_id=undo.container_id,
            name=undo.name,
            started_at=undo.started_at,
            pre_state=row.pre_states.get(undo.container_id, ""),
            undo_command=" && ".join(undo.shown()),
        )
        for undo in row.undos
    }
    return SaveFault(
        id=fault.id,
        execution_id=fault.execution_id,
        type=fault.type,
        fault_class=fault.fault_class.value,
        state=fault.state.value,
        engine_id=row.engine_id,
        task=row.task,
        document=row.model_dump_json(by_alias=True),
        targets=tuple(targets.values()),
    )


def append_timeline(uid: str, execution_id: str, entry: TimelineEntry) -> AppendTimeline:
    """A timeline row."""
    return AppendTimeline(uid, execution_id, entry.model_dump_json())


def append_series(uid: str, execution_id: str, series: Series) -> AppendSeries:
    """A chunk of samples."""
    return AppendSeries(uid, execution_id, series.probe, SAMPLES.dump_json(series.samples).decode())


def purge(before: datetime, limit: int) -> Purge:
    """Up to `limit` deletions."""
    return Purge(stamp(before), limit)
