"""What can be known of the engine's machine without touching a container of others; see `ports.Machine`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from coordinator.faults.abilities import Abilities

LOOK_S: Final = 2.0
"""How long a look at a disk may take: one over a network may never answer."""


class EngineMachine:
    """Satisfies `ports.Machine`, from the engine's endpoint and what tries abilities there."""

    def __init__(self, endpoint: str, trying: Callable[[], Awaitable[Abilities]]) -> None:
        """Asks nobody yet."""
        self._endpoint = endpoint
        self._trying = trying

    async def abilities(self) -> Abilities:
        """See `ports.Machine`."""
        return await self._trying()

    async def disk(self, folder: str) -> int | None:
        """See `ports.Machine`. In a container, or without rights, the folders of the engine's machine are not seen."""
        if not self._endpoint.startswith("unix:"):
            return None
        with anyio.move_on_after(LOOK_S):
            return await anyio.to_thread.run_sync(_size, folder, abandon_on_cancel=True)
        return None


def _size(folder: str) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize
