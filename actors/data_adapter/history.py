"""Past executions read back from Postgres, on a connection of its own, made when somebody asks. Writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import anyio

from actors.data_adapter.database import Database
from actors.data_adapter.history_rows import SAMPLES
from actors.data_adapter.schema import check
from actors.data_adapter.store import BadRecord, Denied, Unreachable, Unusable
from coordinator.errors import HistoryUnavailable
from coordinator.record import Execution, ExecutionState, Fault, Sample, Series, TimelineEntry

CLOSE_WITHIN_S: Final = 1.0
# As text: what comes back is parsed here, as it was written.
_EXECUTION: Final = "SELECT document::text FROM executions WHERE id = %s"
_FAULTS: Final = "SELECT document::text FROM faults WHERE execution_id = %s ORDER BY place"
_EVENTS: Final = """
    SELECT at, offset_s, event, phase, fault, target, text FROM events WHERE execution_id = %s ORDER BY place
"""
_SERIES: Final = "SELECT probe, samples::text FROM observations WHERE execution_id = %s ORDER BY place"
_PAGE: Final = """
    SELECT document::text FROM executions
    WHERE (%s::text[] IS NULL OR state = ANY (%s::text[]))
      AND (%s::timestamptz IS NULL OR (created_at, id) < (%s::timestamptz, %s))
    ORDER BY created_at DESC, id DESC LIMIT %s
"""


class PastExecutions:
    """Satisfies `coordinator.ports.History`."""

    def __init__(
        self, connect: Callable[[], Database], schema: str, instance: str, away: Callable[[], str | None]
    ) -> None:
        """`away` says why it is of no use to try, if it is."""
        self._connect = connect
        self._schema = schema
        self._instance = instance
        self._away = away
        self._turn = anyio.Lock()

    async def execution(self, execution_id: str) -> Execution | None:
        """See `ports.History`."""
        async with self._asking() as database:
            rows = [] if database is None else await database.fetch(_EXECUTION, execution_id)
            if database is None or not rows:
                return None
            events = await database.fetch(_EVENTS, execution_id)
            faults = await database.fetch(_FAULTS, execution_id)
        return Execution.model_validate_json(rows[0][0]).model_copy(
            update={
                "timeline": tuple(_entry(*row) for row in events),
                "faults": tuple(Fault.model_validate_json(row[0]) for row in faults),
            }
        )

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, before: tuple[datetime, str] | None
    ) -> tuple[Execution, ...]:
        """See `ports.History`."""
        wanted = None if states is None else [state.value for state in states]
        at, name = (None, None) if before is None else before
        async with self._asking() as database:
            rows = [] if database is None else await database.fetch(_PAGE, wanted, wanted, at, at, name, limit)
        return tuple(Execution.model_validate_json(row[0]) for row in rows)

    async def series(self, execution_id: str) -> Mapping[str, Series]:
        """See `ports.History`."""
        async with self._asking() as database:
            rows = [] if database is None else await database.fetch(_SERIES, execution_id)
        samples: dict[str, list[Sample]] = {}
        for probe, chunk in rows:
            samples.setdefault(probe, []).extend(SAMPLES.validate_json(chunk))
        return {probe: Series(probe=probe, samples=tuple(found)) for probe, found in samples.items()}

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Database | None]:
        """A connection to a schema that is ours; None where there is no schema yet."""
        why = self._away()
        if why is not None:
            raise HistoryUnavailable(why)
        async with self._turn:
            database = self._connect()
            try:
                await database.connect()
                yield database if await check(database, self._schema, self._instance) else None
            except (Unreachable, Denied, Unusable, BadRecord) as error:
                raise HistoryUnavailable(f"the history in Postgres cannot be asked: {error}") from error
            finally:
                with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
                    await database.close()


def _entry(*row: Any) -> TimelineEntry:
    at, offset_s, event, phase, fault, target, text = row
    return TimelineEntry(at=at, offset_s=offset_s, event=event, phase=phase, fault=fault, target=target, text=text)
