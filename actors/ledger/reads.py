"""What is asked of the ledger, as queries on an open connection, and rows as records again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from sqlite3 import Connection

from actors.ledger.writes import SAMPLES
from coordinator.record import (
    Execution,
    ExecutionState,
    FaultRow,
    Sample,
    Series,
    Submission,
    TimelineEntry,
)

_OUTSTANDING = "state NOT IN ('undone', 'not_injected')"


def execution(connection: Connection, execution_id: str) -> Execution | None:
    """One execution with timeline and faults."""
    found = _one(connection, "SELECT document FROM executions WHERE id = ?", execution_id)
    if found is None:
        return None
    entries = connection.execute("SELECT document FROM timeline WHERE execution_id = ? ORDER BY seq", (execution_id,))
    return Execution.model_validate_json(found).model_copy(
        update={
            "timeline": tuple(TimelineEntry.model_validate_json(document) for (document,) in entries),
            "faults": tuple(row.fault for row in faults(connection, execution_id, outstanding=False)),
        }
    )


def executions(
    connection: Connection, states: Collection[ExecutionState] | None, limit: int, after: str | None
) -> tuple[Execution, ...]:
    """A page, newest first. A cursor that was purged meanwhile has nothing after it: it was among the oldest."""
    conditions = ["1"]
    values: list[str] = []
    if states is not None:
        conditions.append(f"state IN ({', '.join('?' * len(states))})")
        values.extend(state.value for state in states)
    if after is not None:
        conditions.append("seq < (SELECT seq FROM executions WHERE id = ?)")
        values.append(after)
    query = f"SELECT document FROM executions WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - every value is bound
    rows = connection.execute(query, (*values, limit))
    return tuple(Execution.model_validate_json(document) for (document,) in rows)


def series(connection: Connection, execution_id: str) -> Mapping[str, Series]:
    """All samples by probe, in the order they were appended."""
    samples: dict[str, list[Sample]] = {}
    rows = connection.execute("SELECT probe, samples FROM series WHERE execution_id = ? ORDER BY seq", (execution_id,))
    for probe, chunk in rows:
        samples.setdefault(probe, []).extend(SAMPLES.validate_json(chunk))
    # Not checked once more: each is a sample already, and there may be a million.
    return {probe: Series.model_construct(probe=probe, samples=tuple(found)) for probe, found in samples.items()}


def faults(connection: Connection, execution_id: str | None, *, outstanding: bool) -> tuple[FaultRow, ...]:
    """Fault rows in the order they were first saved."""
    owes = _OUTSTANDING if outstanding else "1"
    mine, values = ("1", ()) if execution_id is None else ("execution_id = ?", (execution_id,))
    rows = connection.execute(f"SELECT document FROM faults WHERE {owes} AND {mine} ORDER BY seq", values)  # noqa: S608 - every value is bound
    return tuple(FaultRow.model_validate_json(document) for (document,) in rows)


def fault(connection: Connection, fault_id: str) -> FaultRow | None:
    """One fault row."""
    found = _one(connection, "SELECT document FROM faults WHERE id = ?", fault_id)
    return None if found is None else FaultRow.model_validate_json(found)


def task(connection: Connection, execution_id: str) -> str | None:
    """The serialized Eliot task."""
    return _one(connection, "SELECT task FROM executions WHERE id = ?", execution_id)


def submission(connection: Connection, execution_id: str) -> Submission | None:
    """What it was accepted with."""
    found = _one(connection, "SELECT submission FROM executions WHERE id = ?", execution_id)
    return None if found is None else Submission.model_validate_json(found)


def accepted_as(connection: Connection, idempotency_key: str) -> str | None:
    """The execution accepted with this key."""
    return _one(connection, "SELECT id FROM executions WHERE idempotency_key = ?", idempotency_key)


def _one(connection: Connection, query: str, value: str) -> str | None:
    row = connection.execute(query, (value,)).fetchone()
    return None if row is None or row[0] is None else str(row[0])
