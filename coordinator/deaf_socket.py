"""Gives up where only a fresh start helps: in a container, an engine's socket that refuses connections for a minute was
mounted before the engine restarted, and only the container's own restart mounts the new one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import anyio

from coordinator.logging import log

EXIT_DEAF: Final = 75
"""What `serve` then ends with (EX_TEMPFAIL of sysexits.h), so that a restart policy starts it again."""

PATIENCE_S: Final = 60.0
EVERY_S: Final = 5.0
REASON: Final = "the engine's socket refuses connections; a restart of this container mounts it anew"
_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


def in_container() -> bool:
    """Whether this process runs in a container, as Docker and Podman mark theirs."""
    return any(mark.exists() for mark in _MARKS)


async def watch_socket(
    refuses: Callable[[], Awaitable[bool]], give_up: Callable[[str], None], *, patience_s: float = PATIENCE_S
) -> None:
    """Return once connections were refused at every look for `patience_s` seconds, `give_up` told why."""
    every_s = min(EVERY_S, patience_s / 4)
    since: float | None = None
    while True:
        if not await refuses():
            since = None
        elif since is None:
            since = anyio.current_time()
        elif anyio.current_time() - since >= patience_s:
            log("engine:deaf", "ERROR", reason=REASON, seconds=round(anyio.current_time() - since, 1))
            give_up(REASON)
            return
        await anyio.sleep(every_s)
