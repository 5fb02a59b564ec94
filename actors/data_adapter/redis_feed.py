"""Keeps Redis at what is so: the registry's entry and the stream of events. A missing right costs only its part."""

from __future__ import annotations

from typing import Final

import anyio

from actors.data_adapter.event_stream import EventStream
from actors.data_adapter.presence import Presence
from actors.data_adapter.redis_store import Forbidden, RedisStore
from coordinator.logging import log

ADVICE: Final = "see the rights in docs/reference/data.md"


class RedisFeed:
    """Satisfies `Keeper` for Redis. Without a presence nothing is announced: a command takes no requests."""

    name = "redis"

    def __init__(
        self, redis: RedisStore, presence: Presence | None, events: EventStream, *, ping_every_s: float
    ) -> None:
        """Open nothing yet."""
        self._redis = redis
        self._presence = presence
        self._events = events
        self._ping_every_s = ping_every_s
        self._asked_at = 0.0
        self._forbidden: dict[str, str] = {}
        """What this user may not do, by part, until the next connection."""

    async def open(self) -> None:
        """Connect and find the stream's position."""
        self._forbidden.clear()
        await self._redis.connect()
        self._asked_at = anyio.current_time()
        try:
            await self._events.open()
        except Forbidden as error:
            self._forbid("events", error)

    async def turn(self) -> bool:
        """Beat when it is time, send what is new, see that the server still answers."""
        if self._presence is not None and "registry" not in self._forbidden:
            try:
                await self._presence.beat()
            except Forbidden as error:
                self._forbid("registry", error)
        more = False
        if "events" not in self._forbidden:
            try:
                more = await self._events.send()
            except Forbidden as error:
                self._forbid("events", error)
        if anyio.current_time() - self._asked_at > self._ping_every_s:
            await self._redis.ping()
            self._asked_at = anyio.current_time()
        return more

    async def news(self) -> None:
        """Wait for changes; for ever where they may not be told."""
        if "events" in self._forbidden:
            await anyio.sleep_forever()
        await self._events.news()

    @property
    def impaired(self) -> str | None:
        """The parts that this user has no right for."""
        told = "; ".join(f"no {part}: {why}" for part, why in self._forbidden.items())
        return f"{told}; {ADVICE}" if told else None

    async def farewell(self) -> None:
        """Leave the registry."""
        if self._presence is not None and "registry" not in self._forbidden:
            try:
                await self._presence.leave()
            except Forbidden as error:
                self._forbid("registry", error)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.close()

    def _forbid(self, part: str, error: Forbidden) -> None:
        self._forbidden[part] = str(error)
        log("data_adapter:forbidden", "WARNING", part=part, reason=str(error))
