"""Both event loops on a virtual clock: when nothing can run, time jumps to the next deadline instead of passing.

For code without threads and sockets only: the clock does not know that they are busy.
"""

from __future__ import annotations

from trio.testing import MockClock

from coordinator.assembly.virtual_time import VirtualLoop

Backend = tuple[str, dict[str, object]]


def virtual_backend(name: str) -> Backend:
    """Name and options of a backend for `anyio.run` and anyio's pytest plugin, on a fresh virtual clock."""
    if name == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualLoop}
