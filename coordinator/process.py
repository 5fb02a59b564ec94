"""The running process: signals, the order and deadlines of its end, and the exit status. Knows no actor by name."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import anyio

from coordinator.errors import LedgerUnavailable, leaves
from coordinator.logging import log
from coordinator.supervision import Escalated, StartFailed, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_LEFT_BROKEN: Final = 5
EXIT_KILLED: Final = 130
TREE_SHARE: Final = 0.25
"""The part of the shutdown deadline kept for stopping the actors once the faults are undone."""

WATCHDOG_MARGIN_S: Final = 1.5
"""How long after the deadline a process that still hangs ends itself; Docker's grace of 10 s stands behind 8 s."""


class Process:
    """Runs a supervision tree until a signal or `stop` ends it in order: drain, then the actors in reverse."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        drain: Callable[[str], Awaitable[bool]],
        on_started: Callable[[], Awaitable[None]],
        deadline_s: float,
    ) -> None:
        """`drain` takes no more work, undoes and says whether all is put back, or raises LedgerUnavailable when nobody
        knows; `deadline_s` is for all of it.
        """
        self._supervisor = supervisor
        self._drain = drain
        self._on_started = on_started
        self._deadline_s = deadline_s
        self._asked = anyio.Event()
        self._hurried = anyio.Event()
        self._reason = ""
        self._signals = 0
        self._status = EXIT_OK
        self.stopping = False
        """Whether an end has begun: from then on the process is not ready."""

    def stop(self, reason: str, *, status: int = EXIT_OK) -> None:
        """Begin an orderly end that exits with `status`; idempotent."""
        if not self.stopping:
            self.stopping = True
            self._reason = reason
            self._status = status
            self._asked.set()

    async def run(self, *, take_signals: bool = True) -> int:
        """Live; returns the exit status. A second signal cuts the grace short, a third ends the process at once."""
        try:
            async with anyio.create_task_group() as group:
                # First of all, so that a signal during the start is not lost.
                if take_signals:
                    await group.start(self._watch_signals)
                group.start_soon(self._end_when_asked)
                await self._live()
                group.cancel_scope.cancel(reason="the tree has stopped")
        except* (Escalated, StartFailed) as failures:
            log("process:failed", "CRITICAL", reason="; ".join(str(failure) for failure in leaves(failures)))
            self._status = EXIT_FAILED
        log("process:stopped", status=self._status)
        return self._status

    async def _live(self) -> None:
        # Not `group.start`: a tree that is stopped while it starts ends without ever having been up, and is no error.
        up = _Up()
        async with anyio.create_task_group() as group:
            group.start_soon(self._say_when_up, up)
            await self._supervisor.run(task_status=up)
            group.cancel_scope.cancel(reason="the tree has stopped")

    async def _say_when_up(self, up: _Up) -> None:
        await up.event.wait()
        await self._on_started()
        log("process:started")

    async def _watch_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(*ending_signals()) as signals:
            task_status.started()
            async for number in signals:
                self._signals += 1
                log("process:signal", "WARNING", signal=signal.Signals(number).name, count=self._signals)
                if self._signals == 1:
                    self.stop(signal.Signals(number).name)
                elif self._signals == 2:  # noqa: PLR2004 - the second
                    self._hurried.set()
                else:
                    os._exit(EXIT_KILLED)

    async def _end_when_asked(self) -> None:
        await self._asked.wait()
        log("process:stopping", reason=self._reason, deadline_s=self._deadline_s)
        with watchdog(self._deadline_s + WATCHDOG_MARGIN_S):
            begun = anyio.current_time()
            if not await self._drained():
                # Whoever asked for a status of its own knows that something may be left.
                self._status = self._status or EXIT_LEFT_BROKEN
                log("process:left_broken", "CRITICAL", reason="not everything is known to be put back")
            left_s = max(self._deadline_s - (anyio.current_time() - begun), self._deadline_s * TREE_SHARE)
            self._supervisor.request_stop(self._reason, grace_s=left_s / 2)
            abandoned: tuple[str, ...] = ()
            with anyio.move_on_after(left_s) as late:
                abandoned = await self._supervisor.wait_stopped()
            if late.cancelled_caught or abandoned:
                log("process:held", "CRITICAL", abandoned=list(abandoned), reason="an actor does not end")
                # There is no brutal kill inside one process: only its end frees what an abandoned child holds.
                os._exit(self._status or EXIT_FAILED)

    async def _drained(self) -> bool:
        drained = False
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_when_hurried, group.cancel_scope)
                with anyio.move_on_after(self._deadline_s * (1 - TREE_SHARE)):
                    drained = await self._drain(self._reason)
                group.cancel_scope.cancel(reason="drained")
        except* LedgerUnavailable as failures:
            log("process:not_drained", "ERROR", reason=str(next(leaves(failures))))
        return drained

    async def _cancel_when_hurried(self, scope: anyio.CancelScope) -> None:
        await self._hurried.wait()
        scope.cancel(reason="second signal")


def ending_signals() -> tuple[signal.Signals, ...]:
    """Those that end the process; SIGHUP, the end of its terminal, unless it was started to outlive that (`nohup`)."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hangup)


class _Up:
    """Satisfies anyio's TaskStatus: sets an event."""

    def __init__(self) -> None:
        self.event = anyio.Event()

    def started(self, value: object = None) -> None:  # noqa: ARG002  # the Protocol's signature
        """Say that the tree is up."""
        self.event.set()


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """End the process from a thread if the block takes longer: a blocked event loop cannot end itself."""
    if math.isinf(seconds):
        yield
        return
    timer = threading.Timer(seconds, os._exit, args=(EXIT_FAILED,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
