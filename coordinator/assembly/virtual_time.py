"""Time that passes only when nothing can run: an asyncio event loop that jumps to its next deadline, and the clock of
whatever loop runs. For code without threads and sockets only: the loop does not know that they are busy.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class _JumpingSelector(selectors.BaseSelector):
    """Looks at the real files without waiting, and lets a wait that would take time move the clock instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in virtual time; without a deadline, wait for real."""
        found = self._real.select(0 if timeout is not None else None)
        if not found and timeout is not None and timeout > 0:
            self.now += timeout
        return found

    def register(self, fileobj: FileDescriptorLike, events: int, data: object = None) -> selectors.SelectorKey:
        """As the real one does."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """As the real one does."""
        return self._real.unregister(fileobj)

    def close(self) -> None:
        """As the real one does."""
        self._real.close()

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """As the real one does."""
        return self._real.get_map()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on a virtual clock that starts at 0 seconds."""

    def __init__(self) -> None:
        """Take over the selector, which is where a loop waits."""
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now


class VirtualClock:
    """Satisfies `coordinator.ports.Clock`: wall time that passes exactly as the event loop's does."""

    def __init__(self, beginning: datetime) -> None:
        """`beginning` is the date, in UTC, at second 0 of the loop."""
        self._beginning = beginning

    def monotonic(self) -> float:
        """Seconds on the event loop's clock."""
        return anyio.current_time()

    def now(self) -> datetime:
        """The beginning plus the loop's time."""
        return self._beginning + timedelta(seconds=anyio.current_time())
