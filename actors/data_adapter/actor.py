"""Keeps Postgres and Redis connected and up to date: up at once, degraded while one is away, reconnecting by itself.
Knows neither tables nor keys. asyncio-only: aiopg and redis.asyncio run on nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import anyio

from actors.data_adapter.config import AdapterConfig
from actors.data_adapter.history import PastExecutions
from actors.data_adapter.presence import HEARTBEAT_S, Announcement, Presence
from actors.data_adapter.store import Denied, Keeper, OfAnother, Place, Unreachable, Unusable
from coordinator.errors import LedgerUnavailable
from coordinator.logging import log
from coordinator.outbox import Outbox
from coordinator.supervision import Backoff, ChildContext

if TYPE_CHECKING:
    from actors.data_adapter.database import Database

PING_EVERY_S: Final = 5.0
CLOSE_WITHIN_S: Final = 2.0
FLUSH_WITHIN_S: Final = 1.0
"""How long an orderly stop may go on telling the stores what they lack; the rest waits in the ledger."""
LOOK_EVERY_S: Final = 1.0
"""How long nothing new to tell may keep the adapter from its turn: heartbeats and pings come due."""
PACE_S: Final = 0.1
"""Between two turns when the first took all there was: what happens meanwhile goes in one batch."""
LAG_EVERY_S: Final = 1.0
RECONNECT: Final = Backoff(minimum_s=0.2, maximum_s=10.0)
DENIED_RETRY_S: Final = 30.0
LEDGER_RETRY_S: Final = 1.0
OK: Final = "ok"
NOT_CONFIGURED: Final = "not configured"
NOT_RUNNING: Final = "degraded: not running"
CONNECTING: Final = "degraded: connecting"


class DataAdapterActor:
    """The actor that holds the connections. `status` and `history` outlive its incarnations."""

    name = "data_adapter"
    critical = False

    def __init__(
        self,
        config: AdapterConfig,
        outbox: Outbox,
        *,
        retention_days: int,
        on_lag: Callable[[int], None] = lambda _: None,
        ping_every_s: float = PING_EVERY_S,
        heartbeat_s: float = HEARTBEAT_S,
        reconnect: Backoff = RECONNECT,
        denied_retry_s: float = DENIED_RETRY_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Open nothing yet; `on_lag` is told how many records wait for Postgres, where there is one.

        `draw` gives floats in [0, 1) for the jitter of reconnecting.
        """
        self.config = config
        self.announcement: Announcement | None = None
        """What the registry says of us; None: nothing."""
        self.on_other_owner: Callable[[str], None] = lambda _: None
        """Told, with the reason, when the schema turns out to be another instance's."""
        self._outbox = outbox
        self._streamed = Place()
        self._retention_days = retention_days
        self._on_lag = on_lag
        self._ping_every_s = ping_every_s
        self._heartbeat_s = heartbeat_s
        self._reconnect = reconnect
        self._denied_retry_s = denied_retry_s
        self._draw = draw
        urls = {"postgres": config.postgres_url, "redis": config.redis_url}
        self._status = {name: NOT_RUNNING if url.get_secret_value() else NOT_CONFIGURED for name, url in urls.items()}
        self.history = PastExecutions(
            self._database, config.postgres_schema, config.service_instance_name, self._no_history
        )

    @property
    def status(self) -> Mapping[str, str]:
        """How `postgres` and `redis` stand: `ok`, `degraded: …`, `error: …` or `not configured`. A live view."""
        return MappingProxyType(self._status)

    async def run(self, life: ChildContext) -> None:
        """Live once: up at once, then connect and keep up until asked to stop."""
        config = self.config
        log(
            "data_adapter:identity",
            received={
                "service_name": config.service_name,
                "service_instance_name": config.service_instance_name,
                "environment": config.environment,
                "postgres_schema": config.postgres_schema,
                "redis_namespace": config.redis_namespace,
            },
            status=dict(self._status),
        )
        with self._down_at_the_end():
            async with anyio.create_task_group() as connections:
                for keeper in self._keepers():
                    self._tell(life, keeper.name, CONNECTING)
                    connections.start_soon(self._keep, keeper, life)
                if self._status["postgres"] != NOT_CONFIGURED:
                    connections.start_soon(self._watch_lag, life)
                life.ready()
                self._show(life)
                await life.stopping.wait()
                connections.cancel_scope.deadline = anyio.current_time() + FLUSH_WITHIN_S

    # The drivers are imported where a store is configured: they are a tenth of the process's memory.
    def _database(self) -> Database:
        from actors.data_adapter.postgres import Postgres

        config = self.config
        return Postgres(config.postgres_url, config.postgres_schema, config.service_instance_name)

    def _keepers(self) -> Iterator[Keeper]:
        """For the stores that are configured, made anew for each life."""
        config, ping_every_s = self.config, self._ping_every_s
        if self._status["postgres"] != NOT_CONFIGURED:
            from actors.data_adapter.history_feed import HistoryFeed

            yield HistoryFeed(
                self._database(), config, self._outbox, retention_days=self._retention_days, ping_every_s=ping_every_s
            )
        if self._status["redis"] != NOT_CONFIGURED:
            from actors.data_adapter.event_stream import EventStream
            from actors.data_adapter.redis_feed import RedisFeed
            from actors.data_adapter.redis_store import RedisStore

            redis = RedisStore(config.redis_url, config.service_instance_name)
            announced = self.announcement
            presence = None if announced is None else Presence(redis, config, announced, self._heartbeat_s)
            events = EventStream(redis, config.redis_namespace, self._outbox, self._streamed)
            yield RedisFeed(redis, presence, events, ping_every_s=ping_every_s)

    async def _keep(self, keeper: Keeper, life: ChildContext) -> None:
        """Connect, keep up, and begin again when it breaks."""
        failures, delay_s = 0, 0.0
        while not life.stopping.is_set():
            try:
                await keeper.open()
                while True:
                    more = await keeper.turn()
                    failures = 0
                    impaired = keeper.impaired
                    self._tell(life, keeper.name, OK if impaired is None else f"degraded: {impaired}")
                    if more:
                        continue
                    if life.stopping.is_set():
                        await keeper.farewell()
                        return
                    await self._rest(keeper, life)
            except Unreachable as error:
                failures += 1
                delay_s = self._reconnect.delay_s(failures, self._draw())
                self._tell(life, keeper.name, f"degraded: unreachable: {error}")
            except LedgerUnavailable:
                # It says so itself; the connection may be as good as ever.
                delay_s = LEDGER_RETRY_S
            except Denied as error:
                delay_s = self._denied_retry_s
                self._tell(life, keeper.name, f"error: {error}")
                if isinstance(error, OfAnother):
                    self.on_other_owner(str(error))
            except Unusable as error:
                self._tell(life, keeper.name, f"error: {error}")
                return
            finally:
                with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
                    await keeper.close()
            with anyio.move_on_after(delay_s):
                await life.stopping.wait()

    async def _rest(self, keeper: Keeper, life: ChildContext) -> None:
        """Until there is news, at most until something else may be due; then a moment more."""
        with anyio.move_on_after(min(self._ping_every_s, self._heartbeat_s, LOOK_EVERY_S)):
            await _first(keeper.news, life.stopping.wait)
        with anyio.move_on_after(PACE_S):
            await life.stopping.wait()

    async def _watch_lag(self, life: ChildContext) -> None:
        while not life.stopping.is_set():
            # A ledger that is away says so itself, and the last figure stands.
            with suppress(LedgerUnavailable):
                self._on_lag(await self._outbox.lag())
            with anyio.move_on_after(LAG_EVERY_S):
                await life.stopping.wait()

    def _tell(self, life: ChildContext, store: str, status: str) -> None:
        """Publish a store's state; a change is logged."""
        if self._status[store] == status:
            return
        self._status[store] = status
        log("data_adapter:store", level="INFO" if status == OK else "WARNING", store=store, status=status)
        self._show(life)

    def _show(self, life: ChildContext) -> None:
        wrong = [
            f"{name}: {status.removeprefix('degraded: ').removeprefix('error: ')}"
            for name, status in self._status.items()
            if status not in {OK, NOT_CONFIGURED}
        ]
        life.degraded("; ".join(wrong) or None)

    def _no_history(self) -> str | None:
        status = self._status["postgres"]
        if status in {OK, NOT_RUNNING, CONNECTING}:
            return None
        return f"there is no history to ask: postgres is {status}"

    @contextmanager
    def _down_at_the_end(self) -> Iterator[None]:
        """However a life ends, nothing is said to be connected after it."""
        try:
            yield
        finally:
            for name, status in self._status.items():
                if status != NOT_CONFIGURED:
                    self._status[name] = NOT_RUNNING


async def _first(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait until one of them returns; the others are cancelled."""
    async with anyio.create_task_group() as group:

        async def wait(one: Callable[[], Awaitable[object]]) -> None:
            await one()
            group.cancel_scope.cancel(reason="another came first")

        for one in waits:
            group.start_soon(wait, one)
