"""Connections that the probes of one execution keep between their samples and share: few to each server, none for ever.
Knows neither what is asked over them nor who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

import anyio

PER_SERVER: Final = 8
"""Connections to one server, as the same user; whoever would need one more waits, within its own timeout."""

MOST_IDLE: Final = 64
"""Kept connections of all servers; the longest unused is closed first."""

CLOSE_DEADLINE_S: Final = 2.0
"""Seconds in which those that are closed together are closed."""


class Connection(Protocol):
    """What is kept."""

    async def aclose(self) -> None:
        """Close it, also when it is broken already."""
        ...


C = TypeVar("C", bound=Connection)
T = TypeVar("T")


class Lost(ConnectionError):
    """The connection ended before the answer did; its cause says how."""


class Connections:
    """Those of one execution."""

    def __init__(self) -> None:
        """Open none."""
        self._idle: list[tuple[Hashable, Any]] = []
        self._places: dict[Hashable, anyio.CapacityLimiter] = {}

    async def ask(
        self, server: Hashable, connect: Callable[[], Awaitable[C]], question: Callable[[C], Awaitable[T]]
    ) -> T:
        """Ask over a kept connection, or a new one. What is raised or cancelled closes it, and those kept beside it.

        A kept one may have ended long before it was asked over: what is Lost on it is asked again on a new one.
        `server` names what `connect` connects to, as whom included. Raises what both raise.
        """
        async with self._places.setdefault(server, anyio.CapacityLimiter(PER_SERVER)):
            kept = self._taken(server)
            if kept is not None:
                with suppress(Lost):
                    return await self._asked(server, kept, question)
            return await self._asked(server, await connect(), question)

    async def aclose(self) -> None:
        """Close all that are kept."""
        await self._close(self._idle)

    def _taken(self, server: Hashable) -> Any | None:
        """The one used last."""
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at][0] == server:
                return self._idle.pop(at)[1]
        return None

    async def _asked(self, server: Hashable, connection: C, question: Callable[[C], Awaitable[T]]) -> T:
        answered = False
        try:
            answer = await question(connection)
            answered = True
        finally:
            if not answered:
                # A server that went away, or moved, leaves all of them as dead as this one.
                await self._close([(server, connection), *(entry for entry in self._idle if entry[0] == server)])
        self._idle.append((server, connection))
        await self._close(self._idle[: max(0, len(self._idle) - MOST_IDLE)])
        return answer

    async def _close(self, entries: Sequence[tuple[Hashable, Connection]]) -> None:
        """Close them side by side, whatever becomes of whoever waits."""
        self._idle = [entry for entry in self._idle if entry not in entries]
        if not entries:
            return
        with anyio.move_on_after(CLOSE_DEADLINE_S, shield=True):
            async with anyio.create_task_group() as group:
                for _, connection in entries:
                    group.start_soon(connection.aclose)
