"""The SQLite file: opened, migrated, written in groups, read. Synchronous, for one thread at a time; waits for nobody.

WAL with synchronous=FULL: a commit that returned survives a power cut. Raises sqlite3.Error as it comes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from actors.ledger.schema import MIGRATIONS, VERSION
from actors.ledger.writes import (
    Acknowledge,
    AppendSeries,
    AppendTimeline,
    Compact,
    Purge,
    SaveExecution,
    SaveFault,
    Scanned,
    Write,
)
from coordinator.errors import Conflict, LedgerUnavailable

T = TypeVar("T")
Result = int | Conflict | LedgerUnavailable
"""What one write of a group led to: a count (of deletions, else 0), or why this one alone was not made."""

LEDGER_FILE: Final = "ledger.db"
JOURNAL_BYTES: Final = 2**24
"""Beyond this the write-ahead log is emptied into the file at the next write, however many read meanwhile."""
_BUSY_S: Final = 5.0
_OWES_SCAN: Final = 1
"""In the file's header, as its application id."""
_SIDE_FILES: Final = ("", "-wal", "-shm")
_ASIDE: Final = "ledger.corrupt-"
"""How the names of damaged files begin. While there is one, a ledger that has no tables yet takes the place of it."""
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CHECKED_UP_TO: Final = 256 * 2**20
"""Bytes of file that are read through at each opening; a bigger one is trusted until a query fails."""

_SAVE_EXECUTION: Final = """
    INSERT INTO executions
        (id, state, verdict, undo, created_at, finished_at, task, idempotency_key, submission, document, change)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, verdict = excluded.verdict, undo = excluded.undo, created_at = excluded.created_at,
        finished_at = excluded.finished_at, document = excluded.document, change = excluded.change,
        task = coalesce(excluded.task, task), submission = coalesce(excluded.submission, submission),
        idempotency_key = coalesce(excluded.idempotency_key, idempotency_key)
"""
_SAVE_FAULT: Final = """
    INSERT INTO faults (id, execution_id, type, class, state, engine_id, task, document, change)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET
        execution_id = excluded.execution_id, type = excluded.type, class = excluded.class, state = excluded.state,
        engine_id = excluded.engine_id, task = excluded.task, document = excluded.document, change = excluded.change
"""
_PURGEABLE: Final = """
    SELECT id FROM executions
    WHERE state = 'finished' AND finished_at < ? AND NOT EXISTS (
        SELECT 1 FROM faults WHERE execution_id = executions.id AND state NOT IN ('undone', 'not_injected')
    )
    ORDER BY seq LIMIT ?
"""
_PURGES: Final = (
    "DELETE FROM fault_targets WHERE fault_id IN (SELECT id FROM faults WHERE execution_id = ?)",
    "DELETE FROM faults WHERE execution_id = ?",
    "DELETE FROM timeline WHERE execution_id = ?",
    "DELETE FROM series WHERE execution_id = ?",
    "DELETE FROM executions WHERE id = ?",
)


class NewerLedger(sqlite3.Error):
    """The file was written by a later version of this program."""


class UntrustedLedger(sqlite3.Error):
    """The file is damaged, or began in place of a damaged one whose faults nobody has looked for on the engine yet."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, rather than the disk full, read-only or busy."""
    # The lower byte is the kind; the others say more of it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT


def open_or_renew(path: Path, now: datetime, *, durable: bool, thorough: bool = False) -> tuple[Store, Path | None]:
    """Open the ledger; a damaged file is set aside and a fresh one made. Returns where the damaged one is now.

    The fresh one owes a scan, however often the process dies between: what is set aside says so, until the new tables
    do. `durable=False` leaves out the flush to disk, for simulation; `thorough` reads even a
    big file through. Raises sqlite3.Error, OSError.
    """
    try:
        _refuse_half(path)
        return _opened(path, durable=durable, thorough=thorough), None
    except sqlite3.Error as error:
        if not is_corrupt(error):
            raise
    aside = path.with_name(f"{_ASIDE}{now:%Y%m%dT%H%M%S%fZ}")
    # The file itself goes first: a journal that stays behind alone is damage too, an old file without it would not be.
    for suffix in _SIDE_FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return _opened(path, durable=durable, thorough=False), aside


def open_to_look(path: Path, *, durable: bool, thorough: bool = False) -> Store:
    """Open the ledger for somebody who does not scan the engine: one that calls for it is left as it is.

    Raises UntrustedLedger, another sqlite3.Error, OSError.
    """
    try:
        _refuse_half(path)
        owes = _owes_scan(path, thorough=thorough)
    except sqlite3.Error as error:
        if not is_corrupt(error):
            raise
        raise UntrustedLedger(f"is damaged ({error})") from error
    if owes:
        raise UntrustedLedger(
            f"was damaged (kept as {kept_aside(path) or 'another file'}), and the engine is not scanned yet"
        )
    return _opened(path, durable=durable, thorough=False, checked=True)


def kept_aside(path: Path) -> Path | None:
    """The newest damaged file that is still beside the ledger."""
    found = sorted(each for each in path.parent.glob(f"{_ASIDE}*") if not each.name.endswith(_SIDE_FILES[1:]))
    return found[-1] if found else None


def _is_lost(path: Path) -> bool:
    return any(path.parent.glob(f"{_ASIDE}*"))


def _is_empty(path: Path) -> bool:
    return not path.exists() or not path.stat().st_size


def _refuse_half(path: Path) -> None:
    """Raise for a journal without its file: SQLite would begin anew, and delete it."""
    if _is_empty(path) and not _is_empty(path.with_name(path.name + _SIDE_FILES[1])):
        raise _corrupt("its journal is there, but the file is empty or gone")


def _owes_scan(path: Path, *, thorough: bool) -> bool:
    """Whether it began in place of a damaged file not yet scanned for. Changes nothing; raises sqlite3.Error."""
    if _is_empty(path):
        return _is_lost(path)
    # Without a journal to read, SQLite would make one.
    journal = not _is_empty(path.with_name(path.name + _SIDE_FILES[1]))
    with closing(_connect(path, mode="ro" if journal else "ro&immutable=1")) as connection:
        if thorough or path.stat().st_size <= _CHECKED_UP_TO:
            _check(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(mark == _OWES_SCAN) or (not version and _is_lost(path))


def _opened(path: Path, *, durable: bool, thorough: bool, checked: bool = False) -> Store:
    # SQLite gives its side files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with ExitStack() as unless_good:
        connection = unless_good.enter_context(closing(_connect(path)))
        if not path.stat().st_size:
            # Only now: a file that was begun without it keeps its free pages for later records.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_BYTES}")
        if not checked and (thorough or path.stat().st_size <= _CHECKED_UP_TO):
            _check(connection)
        store = Store(connection, in_place_of_damaged=_is_lost(path))
        unless_good.pop_all()
        return store


class Store:
    """The one connection that writes."""

    def __init__(self, connection: sqlite3.Connection, *, in_place_of_damaged: bool = False) -> None:
        """Take an open connection and bring its tables up to date. Raises sqlite3.Error.

        `in_place_of_damaged`: tables that are made now owe a scan.
        """
        self._connection = connection
        self._migrate(in_place_of_damaged=in_place_of_damaged)
        self._latest = int(connection.execute("SELECT latest FROM outbox").fetchone()[0])

    @property
    def latest(self) -> int:
        """The number of the latest change."""
        return self._latest

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Make all writes in one transaction, on disk when it returns. With none it proves that writing works."""
        with self._transaction():
            results = [self._one(write) for write in writes]
            if not writes:
                self._connection.execute(
                    "INSERT INTO heartbeat VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET beats = beats + 1"
                )
            # Kept apart from the records, so that no number is given out again when the latest of them is purged.
            self._connection.execute("UPDATE outbox SET latest = ? WHERE latest != ?", (self._latest, self._latest))
        return results

    @property
    def owes_scan(self) -> bool:
        """Whether it began in place of a damaged one, and the engine was not yet scanned for what that knew."""
        return bool(self._connection.execute("PRAGMA application_id").fetchone()[0] == _OWES_SCAN)

    def bound_journal(self, path: Path) -> None:
        """Empty a write-ahead log that has grown too big: SQLite itself gives way to readers, again and again."""
        journal = path.with_name(path.name + _SIDE_FILES[1])
        if journal.exists() and journal.stat().st_size > JOURNAL_BYTES:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Ask on the writing connection itself: the only one that a ledger in memory has."""
        return query(self._connection)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _migrate(self, *, in_place_of_damaged: bool) -> None:
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise NewerLedger(f"it is of version {found}, this program knows {VERSION}; use a later test-coordinator")
        if found < VERSION:
            with self._transaction():
                for statements in MIGRATIONS[found:]:
                    for statement in statements:
                        self._connection.execute(statement)
                if not found and in_place_of_damaged:
                    self._connection.execute(f"PRAGMA application_id = {_OWES_SCAN}")
                self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def _one(self, write: Write) -> Result:
        """Make one write; one that can never be stored fails alone, else it would be played again for ever."""
        self._connection.execute("SAVEPOINT one")
        try:
            return self._made(write)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, UnicodeError, OverflowError) as bad:
            self._connection.execute("ROLLBACK TO one")
            return LedgerUnavailable(f"the ledger cannot store this: {bad}")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE one")

    def _made(self, write: Write) -> Result:
        run = self._connection.execute
        match write:
            case SaveExecution():
                return self._save_execution(write)
            case SaveFault():
                self._save_fault(write)
            case AppendTimeline(uid, execution_id, document):
                run(
                    "INSERT OR IGNORE INTO timeline (uid, execution_id, document, change) VALUES (?, ?, ?, ?)",
                    (uid, execution_id, document, self._next()),
                )
            case AppendSeries(uid, execution_id, probe, samples):
                run(
                    "INSERT OR IGNORE INTO series (uid, execution_id, probe, samples, change) VALUES (?, ?, ?, ?, ?)",
                    (uid, execution_id, probe, samples, self._next()),
                )
            case Acknowledge(position):
                run("UPDATE outbox SET acknowledged = ?", (position,))
            case Purge(before, limit):
                ids = [(found[0],) for found in run(_PURGEABLE, (before, limit)).fetchall()]
                for statement in _PURGES:
                    self._connection.executemany(statement, ids)
                return len(ids)
            case Scanned():
                run("PRAGMA application_id = 0")
            case Compact(pages):
                return self._compact(pages)
        return 0

    def _compact(self, pages: int) -> int:
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (mode,) = self._connection.execute("PRAGMA auto_vacuum").fetchone()
        wanted = min(pages, free) if mode else 0
        for _ in range(wanted):
            # One at a time: of a statement without columns Python takes one step, and a step frees one page.
            self._connection.execute("PRAGMA incremental_vacuum(1)")
        return wanted

    def _next(self) -> int:
        """A number for a change; one that is not used in the end is never used."""
        self._latest += 1
        return self._latest

    def _save_execution(self, write: SaveExecution) -> Result:
        run = self._connection.execute
        if write.idempotency_key is not None:
            other = run(
                "SELECT id FROM executions WHERE idempotency_key = ? AND id != ?", (write.idempotency_key, write.id)
            ).fetchone()
            if other is not None:
                return Conflict(f"this Idempotency-Key was already used for execution {other[0]}")
        values = (write.id, write.state, write.verdict, write.undo, write.created_at, write.finished_at)
        accepted = (write.task, write.idempotency_key, write.submission)
        run(_SAVE_EXECUTION, (*values, *accepted, write.document, self._next()))
        return 0

    def _save_fault(self, write: SaveFault) -> None:
        run = self._connection.execute
        values = (write.id, write.execution_id, write.type, write.fault_class, write.state)
        run(_SAVE_FAULT, (*values, write.engine_id, write.task, write.document, self._next()))
        run("DELETE FROM fault_targets WHERE fault_id = ?", (write.id,))
        self._connection.executemany(
            "INSERT INTO fault_targets VALUES (?, ?, ?, ?, ?, ?)",
            [
                (write.id, target.container_id, target.name, target.started_at, target.pre_state, target.undo_command)
                for target in write.targets
            ],
        )


def read(path: Path, query: Callable[[sqlite3.Connection], T]) -> T:
    """Ask on a connection of its own, seeing what was committed when the query began. Raises sqlite3.Error."""
    with closing(_connect(path, mode="rw")) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        return query(connection)


def _connect(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    # One thread at a time uses it, not always the same one.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _corrupt(found)


def _corrupt(what: str) -> sqlite3.Error:
    damaged = sqlite3.DatabaseError(what)
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damaged
