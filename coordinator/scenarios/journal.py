"""Keeps the record of one running execution: what it is now, and its timeline, written to the ledger in order.

Telling never waits and never fails: a ledger that is away delays the record, never the undo.
"""

from __future__ import annotations

from collections import deque
from typing import Final
from uuid import uuid4

import anyio

from coordinator.errors import LedgerUnavailable
from coordinator.logging import Level, log
from coordinator.ports import Clock, Ledger
from coordinator.record import Execution, Fault, Progress, Series, TimelineEntry

LEDGER_PATIENCE_S: Final = 10.0
RETRY_S: Final = 0.5


class Journal:
    """The execution as it is now, its timeline, and what of both is not on disk yet."""

    def __init__(self, execution: Execution, ledger: Ledger, clock: Clock) -> None:
        """Start from an accepted execution."""
        self._execution = execution
        self._ledger = ledger
        self._clock = clock
        self._started = clock.monotonic()
        self._timeline: list[TimelineEntry] = []
        self._unwritten: deque[tuple[str, TimelineEntry]] = deque()
        """Each with an id of its own: one that the ledger takes after it was given up is not written once more."""
        self._told = anyio.Event()
        self._news = anyio.Event()
        self._writing = anyio.Lock()

    @property
    def execution(self) -> Execution:
        """As it is now, without timeline, faults and progress."""
        return self._execution

    @property
    def started(self) -> float:
        """The execution's start on the monotonic clock: offsets count from here."""
        return self._started

    def begin(self) -> None:
        """Count offsets from now on."""
        self._started = self._clock.monotonic()

    def offset(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._started

    def set(self, **fields: object) -> None:
        """Change it in memory; `save` makes it durable."""
        self._execution = self._execution.model_copy(update=fields)

    async def save(self) -> bool:
        """Write the execution as it is now; whether it is on disk."""
        try:
            await self._ledger.save_execution(self._execution)
        except LedgerUnavailable as error:
            log("execution:not_recorded", "ERROR", state=self._execution.state, reason=str(error))
            return False
        return True

    def tell(
        self, event: str, text: str = "", *, fault: str | None = None, target: str | None = None, level: Level = "INFO"
    ) -> None:
        """Put it on the timeline and in the log, now."""
        entry = TimelineEntry(
            at=self._clock.now(),
            offset_s=round(self.offset(), 3),
            event=event,
            phase=self._execution.phase,
            fault=fault,
            target=target,
            text=text,
        )
        self._timeline.append(entry)
        self._unwritten.append((uuid4().hex, entry))
        details = {"fault": fault, "target": target, "text": text}
        log(f"execution:{event}", level, **{name: value for name, value in details.items() if value})
        self._told.set()

    async def after(self, count: int) -> tuple[TimelineEntry, ...]:
        """What is on disk after the first `count` entries; waits until there is something.

        Whoever goes on after an entry's place finds the same entries before it, also after a crash: one that was only
        in memory would be another one then.
        """
        while (written := len(self._timeline) - len(self._unwritten)) <= count:
            await self._news.wait()
        return tuple(self._timeline[count:written])

    async def write_out(self) -> None:
        """Write what is told as it comes, until cancelled."""
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            await self.flush()

    async def flush(self) -> bool:
        """Write all that is told and not yet written, in order; what the ledger does not take waits for the next."""
        async with self._writing:
            while self._unwritten:
                uid, entry = self._unwritten[0]
                with anyio.move_on_after(LEDGER_PATIENCE_S, shield=True):
                    try:
                        await self._ledger.append_timeline(self._execution.id, entry, uid)
                    except LedgerUnavailable as error:
                        log("execution:not_recorded", "ERROR", event=entry.event, reason=str(error))
                        return False
                    self._unwritten.popleft()
                    self._news.set()
                    self._news = anyio.Event()
                if self._unwritten and self._unwritten[0][0] == uid:
                    return False
        return True

    async def write(self) -> bool:
        """Write everything that is not on disk; whether all is now."""
        return await self.flush() and await self.save()

    async def settle(self) -> None:
        """Write everything, again and again until it is on disk. The caller sets the deadline."""
        while True:
            if await self.write():
                return
            await anyio.sleep(RETRY_S)

    async def keep(self, series: Series, uid: str) -> None:
        """Write a chunk of a probe's samples. Raises LedgerUnavailable: it is handed on again, with its `uid`."""
        await self._ledger.append_series(self._execution.id, series, uid)

    def view(self, faults: tuple[Fault, ...], progress: Progress | None) -> Execution:
        """The whole execution as somebody watching sees it."""
        return self._execution.model_copy(
            update={"timeline": tuple(self._timeline), "faults": faults, "progress": progress}
        )
