"""The adapter beside real servers that go down and come up again."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import anyio.to_thread
import psycopg2
import pytest
import redis
from pydantic import SecretStr

from actors.data_adapter.actor import DataAdapterActor
from actors.data_adapter.config import AdapterConfig
from actors.data_adapter.postgres import STATEMENT_TIMEOUT_S, Postgres
from coordinator.identity import Identity
from coordinator.logging import Message, configure
from coordinator.outbox import OutboxBatch
from coordinator.supervision import Backoff
from tests.integration.services import PostgresServer, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PATIENCE_S = 30
INSTANCE = "test-coordinator-Chaos1"
ALL_OK = {"postgres": "ok", "redis": "ok"}


class Life:
    """What an actor is given, and what it said."""

    path = "root/data_adapter"

    def __init__(self, incarnation: int = 1) -> None:
        self.incarnation = incarnation
        self.stopping = anyio.Event()
        self.up = anyio.Event()
        self.impaired: str | None = None
        self._said = anyio.Event()

    def ready(self, value: object = None) -> None:
        """It is up."""
        assert value is None
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        """It is impaired, or no longer."""
        self.impaired = reason
        self._said.set()
        self._said = anyio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the actor to say something after which it holds."""
        with anyio.fail_after(PATIENCE_S):
            while not holds():
                await self._said.wait()


@dataclasses.dataclass
class Lives:
    """An adapter that is run, one life after another."""

    adapter: DataAdapterActor
    count: int = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Life]:
        """A life that is asked to stop at the end, and does."""
        self.count += 1
        life = Life(self.count)
        with anyio.fail_after(3 * PATIENCE_S):
            async with anyio.create_task_group() as tree:
                tree.start_soon(self.adapter.run, life)
                await life.up.wait()
                yield life
                life.stopping.set()


class NothingToTell:
    """The outbox of a ledger in which nothing happens."""

    async def ledger(self) -> str:
        """Its name."""
        return "quiet"

    async def changes(self, after: int, limit: int, *, timeline_only: bool = False) -> OutboxBatch:
        """None."""
        await anyio.lowlevel.checkpoint()
        return OutboxBatch("quiet", (), after, after)

    async def news(self, position: int) -> None:
        """Never any."""
        await anyio.sleep_forever()

    async def acknowledge(self, position: int) -> None:
        """Nothing was read."""
        assert position == 0

    async def lag(self) -> int:
        """Nothing waits."""
        return 0


def lives(postgres_url: str, redis_url: str) -> Lives:
    """An adapter that looks often."""
    config = AdapterConfig(
        service_name="test-coordinator",
        service_instance_name=INSTANCE,
        environment="testing",
        postgres_url=postgres_url,
        redis_url=redis_url,
    )
    adapter = DataAdapterActor(
        config,
        NothingToTell(),
        retention_days=7,
        ping_every_s=0.05,
        reconnect=Backoff(minimum_s=0.05, maximum_s=0.2),
    )
    return Lives(adapter)


def sessions(url: str) -> list[int]:
    """The process ids of the sessions that bear our instance's name."""
    connection = psycopg2.connect(url, application_name="observer")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [INSTANCE])
            return [int(row[0]) for row in cursor.fetchall()]
    finally:
        connection.close()


def clients(url: str) -> list[str]:
    """The names of the clients of a Redis."""
    with redis.Redis.from_url(url) as observer:
        return [str(client["name"]) for client in observer.client_list()]


async def test_up_while_both_are_down_then_connects_then_survives_an_outage(
    postgres: PostgresServer, redis_server: RedisServer
) -> None:
    """Up and degraded with both servers down; ok once they run; degraded when they stop; ok again by itself."""
    postgres.start()
    redis_server.start()
    subject = lives(postgres.url, redis_server.url)
    adapter = subject.adapter
    postgres.stop()
    redis_server.stop()
    try:
        async with subject.one() as life:
            for _ in range(2):
                await life.until(lambda: all("unreachable" in status for status in adapter.status.values()))
                told = life.impaired or ""
                assert "postgres: unreachable: " in told
                assert "redis: unreachable: " in told
                for server in (postgres, redis_server):
                    await anyio.to_thread.run_sync(server.start)
                await life.until(lambda: adapter.status == ALL_OK)
                assert life.impaired is None
                for server in (postgres, redis_server):
                    await anyio.to_thread.run_sync(server.stop)
    finally:
        postgres.start()
        redis_server.start()


async def test_one_outage_leaves_the_other_store_alone(postgres_url: str, redis_server: RedisServer) -> None:
    """With Redis down Postgres stays ok, and only Redis is named."""
    redis_server.start()
    subject = lives(postgres_url, redis_server.url)
    try:
        async with subject.one() as life:
            await life.until(lambda: subject.adapter.status == ALL_OK)
            await anyio.to_thread.run_sync(redis_server.stop)
            await life.until(lambda: subject.adapter.status["redis"] != "ok")
            assert subject.adapter.status["postgres"] == "ok"
            assert life.impaired is not None
            assert life.impaired.startswith("redis: ")
    finally:
        redis_server.start()


async def test_a_restart_connects_anew_and_leaves_no_session(postgres_url: str, redis_url: str) -> None:
    """Each life has sessions of its own under the instance's name; a stopped and a cancelled one leave none."""
    subject = lives(postgres_url, redis_url)
    seen: set[int] = set()
    for _ in range(2):
        async with subject.one() as life:
            await life.until(lambda: subject.adapter.status == ALL_OK)
            mine = await anyio.to_thread.run_sync(sessions, postgres_url)
            assert len(mine) == 1
            seen.add(mine[0])
            assert (await anyio.to_thread.run_sync(clients, redis_url)).count(INSTANCE) == 1
        assert set(subject.adapter.status.values()) == {"degraded: not running"}

    crashed = Life(3)
    async with anyio.create_task_group() as tree:
        tree.start_soon(subject.adapter.run, crashed)
        await crashed.until(lambda: subject.adapter.status == ALL_OK)
        tree.cancel_scope.cancel()
    assert len(seen) == 2
    with anyio.fail_after(PATIENCE_S):  # the servers notice a closed connection in their own time
        while await anyio.to_thread.run_sync(sessions, postgres_url) or INSTANCE in clients(redis_url):
            await anyio.lowlevel.checkpoint()


async def test_a_session_cut_by_the_server_is_made_anew(postgres_url: str) -> None:
    """A session that an administrator ends is replaced without a restart of the actor."""
    subject = lives(postgres_url, "")
    async with subject.one() as life:
        await life.until(lambda: subject.adapter.status["postgres"] == "ok")
        before = (await anyio.to_thread.run_sync(sessions, postgres_url))[0]
        end_session(postgres_url, before)
        await life.until(lambda: subject.adapter.status["postgres"] != "ok")
        await life.until(lambda: subject.adapter.status["postgres"] == "ok")
        assert (await anyio.to_thread.run_sync(sessions, postgres_url))[0] != before


async def test_the_server_ends_queries_that_nobody_waits_for(postgres_url: str) -> None:
    """A session carries a statement timeout, as cancelling a client leaves its query running."""
    store = Postgres(SecretStr(postgres_url), "blue", INSTANCE)
    await store.connect()
    try:
        assert await store.fetch("SHOW statement_timeout") == [(f"{STATEMENT_TIMEOUT_S:g}s",)]
    finally:
        await store.close()


async def test_what_is_not_configured_is_not_a_defect() -> None:
    """Without URLs the actor is up, not degraded, and says so."""
    subject = lives("", "")
    async with subject.one() as life:
        assert life.impaired is None
        assert subject.adapter.status == {"postgres": "not configured", "redis": "not configured"}


async def test_the_received_identity_is_logged_once(postgres_url: str) -> None:
    """One message per life tells the names the adapter works under, derived ones included, and no secret."""
    lines: list[Message] = []
    identity = Identity("s", "i", "testing", "1", "schema", "namespace")
    subject = lives(postgres_url.replace("tester@", "tester:s3cret@"), "redis://:s3cret@127.0.0.1:1/0")
    with configure(identity, sinks=[lines.append]):
        lines.clear()  # Eliot hands over what was logged before anybody listened
        async with subject.one() as life:
            await life.until(lambda: "unreachable" in subject.adapter.status["redis"])
    told = [line["received"] for line in lines if line.get("message_type") == "data_adapter:identity"]
    assert told == [
        {
            "service_name": "test-coordinator",
            "service_instance_name": INSTANCE,
            "environment": "testing",
            "postgres_schema": "test_coordinator_chaos1",
            "redis_namespace": "test_coordinator:Chaos1",
        }
    ]
    assert "s3cret" not in repr(lines)
    assert "s3cret" not in repr(subject.adapter.config)


@pytest.mark.parametrize(
    ("postgres_url", "redis_url"),
    [
        ("postgresql://user:s3cret@1@no-such-host.invalid/db", "redis://:s3cret@no-such-host.invalid:6379/0"),
        ("postgresql://user:s3/cret@127.0.0.1:1/db", "redis://:s3cret@127.0.0.1:s3cret/0"),
        ("nonsense s3cret", "s3cret://127.0.0.1"),
        ("postgresql://user:s3cret@127.0.0.1:s3cret/db", "redis://user:s3cret@127.0.0.1:6379/0?socket_timeout=s3cret"),
    ],
)
async def test_no_password_is_in_any_text(postgres_url: str, redis_url: str) -> None:
    """Whatever a library says about a URL it cannot use, the password is in no status, no reason and no log line."""
    lines: list[Message] = []
    subject = lives(postgres_url, redis_url)
    with configure(Identity("s", "i", "testing", "1", "a", "b"), sinks=[lines.append]):
        async with subject.one() as life:
            await life.until(
                lambda: all(status != "degraded: connecting" for status in subject.adapter.status.values())
            )
            statuses = dict(subject.adapter.status)
            told = f"{statuses}{life.impaired}{lines}"
    assert "cret" not in told
    assert all(status.startswith(("degraded: ", "error: ")) for status in statuses.values())


def end_session(url: str, pid: int) -> None:
    """As an administrator would."""
    connection = psycopg2.connect(url, application_name="observer")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        connection.close()
