"""A ledger that lives as long as its object: same tables and queries, no file, no thread, no actor. For simulation."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable
from typing import TypeVar

from anyio.lowlevel import checkpoint

from actors.ledger.facade import LedgerCalls
from actors.ledger.outbox import OutboxCalls, Telling
from actors.ledger.store import Store
from actors.ledger.writes import Write

T = TypeVar("T")


class MemoryLedger(LedgerCalls, OutboxCalls):
    """Satisfies `coordinator.ports.Ledger` and `Outbox`. As with the real one, callers may be cancelled in a write."""

    def __init__(self) -> None:
        """Begin empty."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        # Not everybody closes it, and from Python 3.13 on a connection that is not closed is warned of.
        weakref.finalize(self, connection.close)
        self._store = Store(connection)
        self._telling = Telling()
        self._telling.tell(self._store.latest)

    def close(self) -> None:
        """Forget everything."""
        self._store.close()

    async def _write(self, write: Write) -> int:
        await checkpoint()
        (result,) = self._store.apply([write])
        self._telling.tell(self._store.latest)
        await checkpoint()
        if isinstance(result, Exception):
            raise result
        return result

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        await checkpoint()
        return self._store.ask(query)
