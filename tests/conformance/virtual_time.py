"""Both event loops on a virtual clock: when nothing can run, time jumps to the next deadline instead of passing.

For code without threads and sockets only: the clock does not know that they are busy.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trio.testing import MockClock

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


Backend = tuple[str, dict[str, object]]


def virtual_backend(name: str) -> Backend:
    """Name and options of a backend for `anyio.run` and anyio's pytest plugin, on a fresh virtual clock."""
    if name == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}
