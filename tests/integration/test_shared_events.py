"""Redis as others see it: the registry and the stream of events, also where a right is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr

from actors.data_adapter import AdapterConfig, DataAdapterActor
from actors.data_adapter.presence import Announcement
from actors.ledger import LedgerActor
from coordinator.logging import Message, configure
from coordinator.settings import Settings
from coordinator.supervision import Backoff
from tests.integration.history_stage import living
from tests.integration.remembered import client_of, keys, streamed, told_in_order
from tests.integration.services import RedisServer
from tests.unit.ledger.living import alive, entry, ledger_in

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]
PASSWORD = "s3cret-of-limited"
EVENTS = ("+xadd", "+hget", "+hset", "+watch", "+multi", "+exec", "+unwatch")


@pytest.fixture
def name(redis_url: str) -> Iterator[str]:
    """An instance's name, and so its namespace; its keys are deleted at the end."""
    made = f"r{uuid4().hex[:8]}"
    yield made
    with client_of(redis_url) as client:
        mine = [key for key in keys(redis_url) if made in key]
        if mine:
            client.delete(*mine)
        client.acl_deluser(made)


def adapter(url: str, name: str, ledger: LedgerActor, *, announced: bool = True) -> DataAdapterActor:
    """An adapter in a hurry that announces itself."""
    config = AdapterConfig(
        service_name="test-coordinator", service_instance_name=name, environment="testing", redis_url=SecretStr(url)
    )
    made = DataAdapterActor(
        config,
        ledger,
        retention_days=7,
        ping_every_s=0.05,
        heartbeat_s=0.1,
        reconnect=Backoff(minimum_s=0.05, maximum_s=0.2),
        denied_retry_s=0.1,
    )
    if announced:
        made.announcement = Announcement("1.2.3", "127.0.0.1", 8080, 50051, lambda: "healthy")
    return made


async def until(holds: Callable[[], bool]) -> None:
    """Wait for another server's state, which sends no event; the caller's life bounds it."""
    while not await anyio.to_thread.run_sync(holds):  # noqa: ASYNC110 - as it says above
        await anyio.sleep(0.02)


def limited(url: str, name: str, *rights: str) -> str:
    """The URL of a user with these rights on its own keys and on the registry."""
    with client_of(url) as client:
        patterns = (f"~{name}:*", f"~services:test-coordinator:{name}")
        client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{PASSWORD}", *patterns, "-@all", *rights)
    return url.replace("redis://", f"redis://{name}:{PASSWORD}@")


async def test_events_come_in_order_and_once(tmp_path: Path, redis_url: str, name: str) -> None:
    """What happens while the adapter lives, and while it is stopped, is in the stream as the ledger has it; what was
    before its first life is not.
    """
    with anyio.fail_after(50):
        async with alive(ledger := ledger_in(tmp_path)):
            await ledger.append_timeline("execution-1", entry(0))
            for life in range(3):
                subject = adapter(redis_url, name, ledger)
                async with living(subject) as told:
                    await told.until(lambda subject=subject: subject.status["redis"] == "ok")  # type: ignore[misc]  # bound at once
                    for number in range(20):
                        await ledger.append_timeline("execution-1", entry(100 * life + number))
                await ledger.append_timeline("execution-1", entry(100 * life + 99))
            async with living(adapter(redis_url, name, ledger)):
                await until(lambda: len(streamed(redis_url, name)) == 63)
            found = streamed(redis_url, name)
    assert [event["uid"] for event in found] == told_in_order(tmp_path)[1:]
    assert found[0] == {
        "uid": found[0]["uid"], "execution": "execution-1", "at": "2026-01-02T03:04:05.678Z", "offset_s": "0.0",
        "event": "note", "text": "entry 0",
    }  # fmt: skip


async def test_a_late_session_adds_nothing(tmp_path: Path, redis_url: str, name: str) -> None:
    """Where Redis says that the stream was fed further than the adapter knows, it goes on from there."""
    with anyio.fail_after(50):
        async with alive(ledger := ledger_in(tmp_path)):
            subject = adapter(redis_url, name, ledger)
            async with living(subject) as told:
                await told.until(lambda: subject.status["redis"] == "ok")
                await ledger.append_timeline("execution-1", entry(1))
                await until(lambda: len(streamed(redis_url, name)) == 1)
                with client_of(redis_url) as client:
                    client.hset(f"{name}:feed", await ledger.ledger(), "2")
                await ledger.append_timeline("execution-1", entry(2))
                await ledger.append_timeline("execution-1", entry(3))
                await until(lambda: "entry 3" in [event["text"] for event in streamed(redis_url, name)])
    assert [event["text"] for event in streamed(redis_url, name)] == ["entry 1", "entry 3"]


async def test_the_registry_forgets_the_dead_and_those_who_leave(tmp_path: Path, redis_url: str, name: str) -> None:
    """An entry is refreshed while the adapter lives, expires when it is killed, and goes at once when it stops in
    order. A coordinator that takes no requests is not in it.
    """
    key = f"services:test-coordinator:{name}"
    with client_of(redis_url) as client, anyio.fail_after(50):
        async with alive(ledger := ledger_in(tmp_path)):
            async with living(adapter(redis_url, name, ledger)):
                await until(lambda: client.exists(key) == 1)
                before = client.hget(key, "last_heartbeat")
                await until(lambda: client.hget(key, "last_heartbeat") != before)
                client.delete(key)
                await until(lambda: client.exists(key) == 1)
                assert client.hget(key, "version") == "1.2.3"
            assert client.exists(key) == 0
            with anyio.CancelScope() as killed:
                async with living(adapter(redis_url, name, ledger)):
                    await until(lambda: client.exists(key) == 1)
                    assert client.pttl(key) > 0
                    killed.cancel()
            await until(lambda: client.exists(key) == 0)
            quiet = adapter(redis_url, name, ledger, announced=False)
            async with living(quiet) as life:
                await life.until(lambda: quiet.status["redis"] == "ok")
                assert client.exists(key) == 0


@pytest.mark.parametrize(
    ("rights", "lacks", "works"),
    [
        (("+ping", "+client|setname", *EVENTS), "no registry: ", "events"),
        (("+ping", *EVENTS, "+pexpire", "+del"), "", "both, unnamed"),
        (("+ping", "+client|setname", "+hset", "+pexpire", "+del", "+multi", "+exec"), "no events: ", "registry"),
    ],
)
async def test_a_missing_right_costs_only_its_part(
    tmp_path: Path, redis_url: str, name: str, rights: tuple[str, ...], lacks: str, works: str
) -> None:
    """It is told in the status and warned of once; the other part goes on."""
    url = limited(redis_url, name, *rights)
    seen: list[Message] = []
    with configure(Settings().identity, sinks=[seen.append]), anyio.fail_after(50):
        async with alive(ledger := ledger_in(tmp_path)):
            subject = adapter(url, name, ledger)
            async with living(subject) as life:
                wanted = f"degraded: {lacks}" if lacks else "ok"
                await life.until(lambda: subject.status["redis"].startswith(wanted))
                await ledger.append_timeline("execution-1", entry(1))
                if works != "registry":
                    await until(lambda: len(streamed(redis_url, name)) == 1)
                if works != "events":
                    await until(lambda: f"services:test-coordinator:{name}" in keys(redis_url))
                await anyio.sleep(0.5)
                assert subject.status["redis"].startswith(wanted)
    warned = [message for message in seen if message.get("message_type") == "data_adapter:forbidden"]
    assert len(warned) == (1 if lacks else 0)
    assert PASSWORD not in repr(seen)


async def test_a_wrong_password_is_one_clear_line(tmp_path: Path, redis_server: RedisServer, name: str) -> None:
    """It is an error that says what to correct, without the password; tried again, it mends by itself."""
    redis_server.start()
    right = limited(redis_server.url, name, "+@all")
    async with alive(ledger := ledger_in(tmp_path)):
        subject = adapter(right.replace(PASSWORD, f"{PASSWORD}-not"), name, ledger)
        async with living(subject) as life:
            await life.until(lambda: subject.status["redis"].startswith("error: "))
            told = subject.status["redis"]
            with client_of(redis_server.url) as client:
                client.execute_command("ACL", "SETUSER", name, f">{PASSWORD}-not")
            await life.until(lambda: subject.status["redis"] == "ok")
    assert told.endswith("; correct REDIS_URL or the server's users")
    assert "\n" not in told
    assert PASSWORD not in told
