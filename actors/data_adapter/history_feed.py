"""Keeps Postgres at what the ledger says: reads the outbox from where the schema itself remembers to be, writes in
batches, forgets what is older than the retention. Decides nothing about what is worth remembering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from actors.data_adapter.config import AdapterConfig
from actors.data_adapter.database import Database, Statement
from actors.data_adapter.history_rows import statements, used_scenarios
from actors.data_adapter.schema import prepare
from actors.data_adapter.store import BadRecord, Unreachable
from coordinator.logging import log
from coordinator.outbox import Change, Outbox

BATCH: Final = 1000
PURGE_EVERY_S: Final = 3600.0
PURGE_CHUNK: Final = 200
_KNOWN_SCENARIOS: Final = 1000

_POSITION: Final = "SELECT position FROM feeds WHERE ledger = %s"
_BEGIN: Final = "INSERT INTO feeds (ledger, position) VALUES (%s, 0) ON CONFLICT DO NOTHING"
_ADVANCE: Final = "SELECT advance(%s, %s, %s)"
_HANGS_ON_IT: Final = ("phases", "faults", "observations", "assertions", "events")
# Those of a ledger that is no more will never be told to have ended.
_OLD: Final = """
    SELECT id FROM executions e
    WHERE state = 'finished' AND finished_at < now() - make_interval(days => %s) AND NOT EXISTS (
        SELECT FROM faults WHERE execution_id = e.id AND state NOT IN ('undone', 'not_injected')
    ) OR ledger <> %s AND created_at < now() - make_interval(days => %s)
    LIMIT %s
"""
_UNUSED_SCENARIOS: Final = """
    DELETE FROM scenarios s
    WHERE version < (SELECT max(version) FROM scenarios WHERE name = s.name)
      AND NOT EXISTS (SELECT FROM executions WHERE scenario = s.name AND scenario_version = s.version)
"""


class HistoryFeed:
    """Satisfies `Keeper` for Postgres."""

    name = "postgres"
    impaired = None

    def __init__(
        self, database: Database, config: AdapterConfig, outbox: Outbox, *, retention_days: int, ping_every_s: float
    ) -> None:
        """Open nothing yet."""
        self._database = database
        self._config = config
        self._outbox = outbox
        self._retention_days = retention_days
        self._ping_every_s = ping_every_s
        self._ledger = ""
        self._stored = 0
        """The position in Postgres."""
        self._read = 0
        """What was read up to; behind `stored` where the ledger was set back to an earlier copy of itself."""
        self._told = -1
        self._asked_at = 0.0
        self._purge_at = 0.0
        self._known: set[tuple[str, str]] = set()

    async def open(self) -> None:
        """Connect, make or mend the schema, find the position."""
        config, database = self._config, self._database
        await database.connect()
        await prepare(database, config.postgres_schema, config.service_name, config.service_instance_name)
        self._ledger = await self._outbox.ledger()
        await database.fetch(_BEGIN, self._ledger)
        ((self._stored,),) = await database.fetch(_POSITION, self._ledger)
        self._read = self._stored
        self._told = -1
        self._asked_at = anyio.current_time()
        self._known.clear()

    async def turn(self) -> bool:
        """Write one batch, or see that the server still answers."""
        batch = await self._outbox.changes(self._read, BATCH)
        if batch.ledger != self._ledger:
            raise Unreachable("the ledger is another one than before")
        if self._read > batch.latest:
            log("history:ledger_set_back", "WARNING", stored=self._stored, latest=batch.latest)
            self._read = 0
            return True
        if batch.changes or batch.position != self._stored:
            await self._write(batch.changes, batch.position)
        elif anyio.current_time() - self._asked_at > self._ping_every_s:
            await self._database.fetch("SELECT 1")
            self._asked_at = anyio.current_time()
        self._read = batch.position
        if self._told != batch.position:
            await self._outbox.acknowledge(batch.position)
            self._told = batch.position
        return batch.position != batch.latest or await self._purge()

    async def news(self) -> None:
        """Wait for changes."""
        await self._outbox.news(self._read)

    async def farewell(self) -> None:
        """Nothing is to be put in order."""

    async def close(self) -> None:
        """Drop the connection."""
        await self._database.close()

    async def _write(self, changes: Sequence[Change], position: int) -> None:
        try:
            await self._send(changes, position)
        except BadRecord:
            # One of them would be refused for ever; the others are not to wait for it.
            for change in changes:
                await self._write_or_leave_out(change)
            await self._send((), position)
        self._stored = position
        self._asked_at = anyio.current_time()
        if len(self._known) > _KNOWN_SCENARIOS:
            self._known.clear()
        self._known |= used_scenarios(changes)

    async def _write_or_leave_out(self, change: Change) -> None:
        try:
            await self._send((change,), self._stored)
        except BadRecord as error:
            log("history:left_out", "ERROR", kind=type(change).__name__, reason=str(error))

    async def _send(self, changes: Sequence[Change], position: int) -> None:
        advance = Statement(_ADVANCE, (self._ledger, self._stored, position))
        await self._database.run([advance, *statements(self._ledger, changes, self._known)])

    async def _purge(self) -> bool:
        """Delete a portion of what is too old, when it is time; whether there may be more."""
        if anyio.current_time() < self._purge_at:
            return False
        days = self._retention_days
        rows = await self._database.fetch(_OLD, days, self._ledger, days, PURGE_CHUNK)
        ids = [str(row[0]) for row in rows]
        if ids:
            gone = [Statement(f"DELETE FROM {table} WHERE execution_id = ANY (%s)", (ids,)) for table in _HANGS_ON_IT]  # noqa: S608 - a constant; every value is bound
            await self._database.run([*gone, Statement("DELETE FROM executions WHERE id = ANY (%s)", (ids,))])
            log("history:purged", executions=len(ids))
        if len(ids) == PURGE_CHUNK:
            return True
        await self._database.run([Statement(_UNUSED_SCENARIOS)])
        self._known.clear()
        self._purge_at = anyio.current_time() + PURGE_EVERY_S
        return False
