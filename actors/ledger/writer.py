"""The writing side of one life of the ledger: opens when it must, writes groups, begins anew after a failure.

Synchronous, run in a worker thread (or inline); knows nothing of who waits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from actors.ledger.store import Result, Store, is_corrupt, kept_aside, open_or_renew, open_to_look
from actors.ledger.writes import Write


class Written(NamedTuple):
    """A result per write, where a damaged file was set aside if one was, and the number of the latest change.

    `owes_scan`: the engine was not yet scanned for what a damaged file knew. `kept`: the newest of those, wherever set
    aside, that was still beside the ledger when that was opened.
    """

    results: list[Result]
    aside: Path | None
    latest: int
    owes_scan: bool
    kept: Path | None


class Writer:
    """One life's connection. `turn` is shared by all lives: a late thread of an earlier one cannot interfere."""

    def __init__(
        self, path: Path, turn: Lock, now: Callable[[], datetime], *, durable: bool, renews: bool = True
    ) -> None:
        """Touch nothing yet. `renews` False leaves a damaged file where it is, and raises UntrustedLedger."""
        self._path = path
        self._turn = turn
        self._now = now
        self._durable = durable
        self._renews = renews
        self._kept: Path | None = None
        self._store: Store | None = None
        self._suspect = False
        self._inode = 0

    def write(self, writes: Sequence[Write], *, doubt: bool = False) -> Written:
        """All of them on disk when it returns, none when it raises sqlite3.Error or OSError.

        `doubt`: the file is opened anew and read through before, and set aside where it is damaged.
        """
        with self._turn:
            if doubt:
                self._suspect = True
                self._let_go()
            aside: Path | None = None
            if self._store is None:
                self._store, aside = self._opened()
                self._inode = self._path.stat().st_ino
                self._kept = kept_aside(self._path)
            try:
                self._check_place()
                results = self._store.apply(writes)
                self._store.bound_journal(self._path)
                return Written(results, aside, self._store.latest, self._store.owes_scan, self._kept)
            except (sqlite3.Error, OSError) as error:
                self._suspect = isinstance(error, sqlite3.Error) and is_corrupt(error)
                # A connection may not recover from a disk that was away: the next try begins anew.
                self._let_go()
                raise

    def _opened(self) -> tuple[Store, Path | None]:
        if self._renews:
            return open_or_renew(self._path, self._now(), durable=self._durable, thorough=self._suspect)
        return open_to_look(self._path, durable=self._durable, thorough=self._suspect), None

    def _check_place(self) -> None:
        """SQLite would go on writing into a file that nobody will find again."""
        if not self._path.exists() or self._path.stat().st_ino != self._inode:
            raise OSError("the file was moved or deleted while it was open")

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
