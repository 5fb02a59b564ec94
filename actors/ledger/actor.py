"""The ledger as an actor: one writer that commits waiting writes in groups. Callers hold the object, whose mailbox
outlives every life of the actor; it decides nothing about what is written.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
from anyio import CapacityLimiter, move_on_after, to_thread
from anyio.lowlevel import checkpoint
from pydantic import ValidationError

from actors.ledger.facade import LedgerCalls
from actors.ledger.outbox import OutboxCalls, Telling
from actors.ledger.store import LEDGER_FILE, NewerLedger, Result, UntrustedLedger, is_corrupt, read
from actors.ledger.writer import Writer, Written
from actors.ledger.writes import Scanned, Write
from coordinator.data_dir_lock import DataDirLock
from coordinator.errors import LedgerDamaged, LedgerUnavailable
from coordinator.logging import log
from coordinator.record import LEDGER_RENEWED, SCAN_OWED
from coordinator.supervision import ChildContext

T = TypeVar("T")
GROUP_LIMIT: Final = 1000
"""Writes in one transaction."""
PATIENCE_S: Final = 30.0
"""How long a caller waits while nobody writes (the actor is between two lives, or the disk hangs)."""
RETRY_S: Final = 1.0
"""How often a ledger that cannot be written is tried again while nobody asks."""
_READERS: Final = 4
_CLOSE_S: Final = 2.0


@dataclass(slots=True, eq=False)
class _Waiting:
    """A write and whoever waits for it."""

    write: Write
    done: anyio.Event = field(default_factory=anyio.Event)
    result: Result = 0


class LedgerActor(LedgerCalls, OutboxCalls):
    """Satisfies `coordinator.ports.Ledger` and `Outbox`, and `actors.contract.Actor`.

    As an async context manager it holds DATA_DIR exclusively (raises DataDirInUse, InvalidSettings). A write that was
    not acknowledged when a life of the actor ended is played again by the next: its caller merely waits longer.
    """

    name = "ledger"
    critical = True

    def __init__(
        self,
        data_dir: Path,
        instance: str,
        *,
        role: str = "serve",
        renews: bool = True,
        inline: bool = False,
        patience_s: float = PATIENCE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Touch nothing yet. `renews` False, for who does not scan the engine: a damaged file stays where it is, and
        every call raises LedgerDamaged. `inline`: no threads, no flush to disk, for simulation under a virtual clock.
        """
        self.on_renewed: Callable[[], None] = lambda: None
        """Called when a damaged file was set aside, and at each start until `scanned`: only the engine can tell what it
        knew.
        """
        self.say: Callable[[str], object] = lambda _: None
        """Told, for a person, what `on_renewed` is called for."""
        self._scan_asked = False
        self.owes_scan = False
        """Whether the engine was not yet scanned for what a damaged file knew."""
        self._renews = renews
        self._damaged: str | None = None
        """Why nothing of it is to be trusted."""
        self._path = data_dir / LEDGER_FILE
        self._lock = DataDirLock(data_dir, instance, role)
        self._inline = inline
        self._patience_s = patience_s
        self._now = now
        self._queue: deque[_Waiting] = deque()
        self._group: list[_Waiting] = []
        self._wake = anyio.Event()
        self._tried = anyio.Event()
        self._closed = False
        self._trouble: str | None = None
        self._notice: str | None = None
        self._doubt = False
        """Whether a reader met damage, which the writer may never do."""
        # A life whose thread still writes when it is killed must not overtake, or be overtaken by, the next one.
        self._turn = threading.Lock()
        self._told: str | None = None
        self._telling = Telling()
        self._writers = CapacityLimiter(1)
        self._readers = CapacityLimiter(_READERS)

    async def __aenter__(self) -> Self:
        """Hold DATA_DIR."""
        self._lock.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tell whoever still waits that nothing will be written, and let DATA_DIR go."""
        self.close()

    def close(self) -> None:
        """Refuse what waits and what comes; idempotent."""
        self._closed = True
        for waiting in [*self._group, *self._queue]:
            waiting.result = LedgerUnavailable("the ledger is closed: the coordinator is stopping")
            waiting.done.set()
        self._group.clear()
        self._queue.clear()
        self._tried.set()
        self._lock.release()

    # ------------------------------------------------------------ a life

    async def run(self, life: ChildContext) -> None:
        """Write until asked to stop, then write what still waits."""
        writer = Writer(self._path, self._turn, self._now, durable=not self._inline, renews=self._renews)
        self._told = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._wake_at_end, life)
                # Even a life that is killed at once has then written what waited.
                await self._commit(writer, self._next_group(), life)
                life.ready()
                await self._serve(writer, life)
                group.cancel_scope.cancel()
        finally:
            with move_on_after(_CLOSE_S, shield=True):
                await self._closed_by(writer)

    async def _serve(self, writer: Writer, life: ChildContext) -> None:
        while True:
            group = self._next_group()
            if group or self._trouble or self._doubt:
                await self._commit(writer, group, life)
            if self._queue:
                continue
            if life.stopping.is_set():
                return
            await self._rest(life)

    async def _wake_at_end(self, life: ChildContext) -> None:
        await life.stopping.wait()
        self._wake.set()

    async def _rest(self, life: ChildContext) -> None:
        """Until there is something to do; while writing fails, until the next try."""
        self._wake = anyio.Event()
        if life.stopping.is_set():
            return
        with move_on_after(RETRY_S if self._trouble else math.inf):
            await self._wake.wait()

    def _next_group(self) -> list[_Waiting]:
        """What the last life left unacknowledged first, else all that waits."""
        if not self._group:
            while self._queue and len(self._group) < GROUP_LIMIT:
                self._group.append(self._queue.popleft())
        return list(self._group)

    async def _commit(self, writer: Writer, group: list[_Waiting], life: ChildContext) -> None:
        """Write a group and acknowledge it, or refuse it. An empty one only proves that writing works."""
        writes = [waiting.write for waiting in group]
        doubt, self._doubt = self._doubt, False
        try:
            written = await self._in_thread(lambda: writer.write(writes, doubt=doubt), self._writers)
        except (sqlite3.Error, OSError) as failed:
            self._tried.set()
            self._refuse(group, failed, life)
            return
        self._tried.set()
        self._notice_damage(written)
        if self._trouble is not None:
            log("ledger:mended", reason=self._trouble)
            self._trouble = None
        self._tell(self._notice, life)
        for waiting, result in zip(group, written.results, strict=True):
            waiting.result = result
        self._release(group)
        self._telling.tell(written.latest)

    def _refuse(self, group: list[_Waiting], failed: sqlite3.Error | OSError, life: ChildContext) -> None:
        reason = f"ledger {self._path}: {failed}; {_what_to_do(failed)}"
        if self._trouble is None:
            log("ledger:unavailable", "ERROR", reason=reason, writes=len(group))
        self._trouble = reason
        self._damaged = reason if isinstance(failed, UntrustedLedger) else None
        self._tell(reason, life)
        for waiting in group:
            waiting.result = LedgerDamaged(reason) if self._damaged else LedgerUnavailable(reason)
        self._release(group)

    def _release(self, group: list[_Waiting]) -> None:
        self._group.clear()
        for waiting in group:
            waiting.done.set()

    def _tell(self, reason: str | None, life: ChildContext) -> None:
        if reason != self._told:
            self._told = reason
            life.degraded(reason)

    def _notice_damage(self, written: Written) -> None:
        """Say it where one was damaged, loudly as long as nobody has looked for what it knew, and have that be done."""
        self.owes_scan = written.owes_scan
        renewed = written.aside is not None
        self._damaged = self._notice = None
        if renewed or written.owes_scan:
            kept = f"it is kept as {written.kept}, " if written.kept is not None else ""
            self._notice = (
                f"{LEDGER_RENEWED}: {kept}a new one was begun; what it knew of faults is lost, "
                f"and {SCAN_OWED} for them: see `recovery` in `test-coordinator status`, "
                "and `test-coordinator recover --scan`"
            )
        elif written.kept is not None:
            self._notice = (
                f"{LEDGER_RENEWED}: it is kept as {written.kept}, a new one was begun, and the engine was scanned for "
                "its faults; what it knew of executions is lost. Move that file elsewhere once you have seen to it"
            )
        if renewed or (written.owes_scan and not self._scan_asked):
            log("ledger:corrupt" if renewed else "ledger:scan_owed", "CRITICAL", reason=self._notice)
            self.say(self._notice or "")
            self._scan_asked = True
            self.on_renewed()

    # ------------------------------------------------------------ callers

    async def scanned(self) -> None:
        """Remember that the engine was scanned for what a damaged file knew. Raises LedgerUnavailable."""
        await self._write(Scanned())

    async def _write(self, write: Write) -> int:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed: the coordinator is stopping")
        waiting = _Waiting(write)
        self._queue.append(waiting)
        self._wake.set()
        with move_on_after(self._patience_s):
            await waiting.done.wait()
        if not waiting.done.is_set():
            raise LedgerUnavailable(self._given_up(waiting))
        if isinstance(waiting.result, Exception):
            raise waiting.result
        return waiting.result

    def _given_up(self, waiting: _Waiting) -> str:
        reason = f"the ledger did not write within {self._patience_s:g} s: see its state with `test-coordinator status`"
        if waiting in self._queue:
            self._queue.remove(waiting)
            return reason
        return f"{reason}; it may still be written later"

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        # Before the first try the tables may not exist.
        with move_on_after(self._patience_s):
            await self._tried.wait()
        if self._closed or not self._tried.is_set():
            raise LedgerUnavailable("the ledger is not open")
        if self._damaged:
            raise LedgerDamaged(self._damaged)
        try:
            return await self._in_thread(lambda: read(self._path, query), self._readers)
        except (sqlite3.Error, OSError) as failed:
            if isinstance(failed, sqlite3.Error) and is_corrupt(failed):
                self._doubt = True
                self._wake.set()
            raise LedgerUnavailable(f"ledger {self._path}: cannot be read: {failed}") from failed
        except ValidationError as failed:
            what = f"a record of it does not read ({failed.title}: {failed.error_count()} errors)"
            raise LedgerUnavailable(
                f"ledger {self._path}: {what}: was it written by another version, or by hand? "
                "Stop the coordinator, move the file away, then `test-coordinator recover --scan`"
            ) from failed

    async def _in_thread(self, function: Callable[[], T], limiter: CapacityLimiter) -> T:
        if self._inline:
            await checkpoint()
            return function()
        # Not abandoned when cancelled: a thread cannot be stopped, and what it does must be over before the next.
        return await to_thread.run_sync(function, limiter=limiter)

    async def _closed_by(self, writer: Writer) -> None:
        if self._inline:
            writer.close()
        else:
            await to_thread.run_sync(writer.close, limiter=self._writers, abandon_on_cancel=True)


def _what_to_do(failed: sqlite3.Error | OSError) -> str:
    if isinstance(failed, UntrustedLedger):
        return (
            "what it knew may still be broken: start `test-coordinator serve` or run `test-coordinator recover`, which "
            "keeps the file aside and puts back what the engine shows"
        )
    if isinstance(failed, NewerLedger):
        return "nothing is injected until then"
    if isinstance(failed, sqlite3.Error) and is_corrupt(failed):
        return "it is being set aside, and a new one begun"
    return "free space or mend the disk; nothing is injected until then"
