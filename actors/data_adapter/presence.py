"""This instance in the registry: announced while it lives, gone a few heartbeats after its death. Knows of no event."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import anyio

from coordinator.identity import registry_key
from coordinator.record import stamp

if TYPE_CHECKING:
    from redis.typing import EncodableT, FieldT

    from actors.data_adapter.config import AdapterConfig
    from actors.data_adapter.redis_store import RedisStore

HEARTBEAT_S: Final = 5.0
EXPIRES_AFTER: Final = 3
"""Heartbeats."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What others may know of an instance that takes requests. `status` is asked at each heartbeat."""

    version: str
    host: str
    http_port: int
    grpc_port: int
    status: Callable[[], str]


class Presence:
    """The registry's hash of this instance."""

    def __init__(
        self, redis: RedisStore, config: AdapterConfig, announcement: Announcement, every_s: float = HEARTBEAT_S
    ) -> None:
        """Write nothing yet."""
        self._redis = redis
        self._key = registry_key(config.service_name, config.service_instance_name)
        self._names: dict[FieldT, EncodableT] = {
            "name": config.service_name,
            "instance": config.service_instance_name,
            "environment": config.environment,
            "version": announcement.version,
            "host": announcement.host,
            "http_port": announcement.http_port,
            "grpc_port": announcement.grpc_port,
        }
        self._status = announcement.status
        self._every_s = every_s
        self._due = 0.0
        self._told = ""

    async def beat(self) -> None:
        """Write it all when it is time or the status is another: a registry that was emptied is soon whole again.

        Raises as RedisStore.asked.
        """
        status = self._status()
        if anyio.current_time() < self._due and status == self._told:
            return
        now = stamp(datetime.fromtimestamp(time.time(), UTC))
        told: dict[FieldT, EncodableT] = {**self._names, "status": status, "last_heartbeat": now}
        async with self._redis.asked() as client, client.pipeline(transaction=True) as together:
            together.hset(self._key, mapping=told)
            together.pexpire(self._key, int(EXPIRES_AFTER * self._every_s * 1000))
            await together.execute()
        self._due, self._told = anyio.current_time() + self._every_s, status

    async def leave(self) -> None:
        """Take it out. As RedisStore.asked."""
        async with self._redis.asked() as client:
            await client.delete(self._key)
