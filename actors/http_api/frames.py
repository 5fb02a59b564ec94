"""The events of executions as bytes on their way to many clients: asked for once, encoded once, and handed on a few
clients at a time, so that whoever asks something else meanwhile is answered in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import anyio

from coordinator.ports import Control
from coordinator.record import TimelineEntry

AT_ONCE: Final = 4
"""Clients that are woken in one turn of the event loop, however much there is to tell. Each then wakes the next."""

TOGETHER: Final = 64
"""Events that are sent in one piece, to a client that has many to catch up with."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """A client that has seen all there is."""

    place: int
    woken: anyio.Event = field(default_factory=anyio.Event)


class Frames:
    """Those of one execution, for all who follow it. One of them waits for the next event on behalf of all."""

    def __init__(self, control: Control, execution_id: str, ending: anyio.Event) -> None:
        """Ask for nothing yet. Nothing more is told once `ending` is set."""
        self._control = control
        self._id = execution_id
        self._ending = ending
        self._frames: list[bytes] = []
        self._over = False
        self._asking = False
        self._waiting: dict[_Waiter, None] = {}
        self._under_way = 0
        """Clients that are woken and have not had their turn yet."""
        self.followers = 0

    async def after(self, place: int) -> list[bytes]:
        """What came after the first `place` events, at most TOGETHER; waits until there is something.

        Empty when nothing more will come. Raises what `Control.timeline` raises.
        """
        while len(self._frames) <= place and not self._over:
            if self._asking:
                await self._wait(place)
            else:
                await self._ask()
        return self._frames[place : place + TOGETHER]

    async def _wait(self, place: int) -> None:
        waiter = _Waiter(place)
        self._waiting[waiter] = None
        woken = False
        try:
            await waiter.woken.wait()
            woken = True
        finally:
            if waiter in self._waiting:
                del self._waiting[waiter]
            else:
                self._under_way -= 1
                self._wake()
                if not woken:
                    self._replace()

    async def _ask(self) -> None:
        """Wait for the next events, or the end of the API; whoever gives up is replaced by one who waits."""
        self._asking = True
        entries: tuple[TimelineEntry, ...] | None = None
        try:
            async with anyio.create_task_group() as group:

                async def until_told() -> None:
                    nonlocal entries
                    entries = await self._control.timeline(self._id, len(self._frames))
                    group.cancel_scope.cancel(reason="told")

                group.start_soon(until_told)
                await self._ending.wait()
                group.cancel_scope.cancel(reason="the API is stopping")
        finally:
            self._asking = False
            self._frames += (framed(at, entry) for at, entry in enumerate(entries or (), len(self._frames) + 1))
            self._over = self._over or self._ending.is_set() or entries == ()
            self._wake()
            if entries is None:
                self._replace()

    def _wake(self) -> None:
        """Have AT_ONCE of those on their way for whom there is something, the longest waiting first."""
        ready = (one for one in self._waiting if self._over or one.place < len(self._frames))
        for waiter in tuple(islice(ready, max(0, AT_ONCE - self._under_way))):
            self._set(waiter)

    def _replace(self) -> None:
        """Have another one ask, if nobody does."""
        if not self._asking and self._waiting:
            self._set(next(iter(self._waiting)))

    def _set(self, waiter: _Waiter) -> None:
        del self._waiting[waiter]
        self._under_way += 1
        waiter.woken.set()


class Broadcasts:
    """The frames of all executions that are followed now."""

    def __init__(self, control: Control, ending: anyio.Event) -> None:
        """Nobody follows yet."""
        self._control = control
        self._ending = ending
        self._frames: dict[str, Frames] = {}

    @contextmanager
    def following(self, execution_id: str) -> Iterator[Frames]:
        """The frames of an execution; forgotten when the last one leaves."""
        frames = self._frames.get(execution_id)
        if frames is None:
            frames = self._frames[execution_id] = Frames(self._control, execution_id, self._ending)
        frames.followers += 1
        try:
            yield frames
        finally:
            frames.followers -= 1
            if not frames.followers:
                del self._frames[execution_id]


def framed(place: int, entry: TimelineEntry) -> bytes:
    """An event as it is sent."""
    return f"id: {place}\nevent: {entry.event}\ndata: {entry.model_dump_json()}\n\n".encode()
