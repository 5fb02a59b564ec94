"""Postgres and Redis go away in every way there is while executions run: nobody notices, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg2
import pytest
import redis
from redis.exceptions import RedisError

from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.remembered import asking, command, in_ledger, in_postgres, streamed, told_in_order
from tests.integration.sandbox import Container, Sandbox
from tests.integration.services import PostgresServer, RedisServer

KILLS = int(os.environ.get("OUTAGE_KILLS", "5"))
"""How often each server is killed."""
ALL_OK = {"postgres": "ok", "redis": "ok"}
LOOK_S = 0.02


@dataclass
class Stage:
    """A coordinator between its stores, and two containers to break."""

    served: Coordinator
    postgres: PostgresServer
    redis: RedisServer
    targets: tuple[Container, Container]
    forgetful: bool = False
    """Whether Redis has lost what it held at least once."""
    ids: list[str] = field(default_factory=list)

    def stores(self) -> dict[str, str]:
        """How both stand."""
        checks = self.served.call("GET", "/api/v1/ready").json()["checks"]
        return {name: checks[name] for name in ALL_OK}

    def play(self) -> list[str]:
        """Start an execution on each container."""
        probe = {"type": "container", "target": "t", "every": "50ms", "expect": {"state": "running"}}
        ids = [
            self.served.submit(
                scenario(
                    [{"type": "container_kill", "at": "300ms", "for": "500ms"}], names=[target.name],
                    duration="1200ms", probes={"c": probe}, targets={"t": {"names": [target.name]}},
                )
            )
            for target in self.targets
        ]  # fmt: skip
        self.ids += ids
        return ids

    def ended(self, ids: list[str]) -> None:
        """Wait for their right verdict."""
        for one in ids:
            eventually(lambda one=one: self.served.execution(one)["state"] == "finished", "the end")  # type: ignore[misc]  # bound at once
            found = self.served.execution(one)
            assert (found["verdict"], found["undo"]) == ("passed", "complete"), found["reason"]
            assert [fault["state"] for fault in found["faults"]] == ["undone"]

    def settled(self) -> None:
        """Wait until both stores are well and hold what the ledger says, each record once and in order."""
        eventually(lambda: self.stores() == ALL_OK, f"both stores ({self.stores()})")
        # Redis may have been told everything before it lost its memory: it is to hear something new.
        sign = self.served.submit(scenario([], names=[self.targets[0].name], duration="10ms"))
        eventually(lambda: self.served.execution(sign)["state"] == "finished", "a sign of life")
        eventually(
            lambda: self.stream()[-1:] == told_in_order(self.served.data_dir)[-1:], "Redis to have the last event"
        )
        written = told_in_order(self.served.data_dir)
        # What a Redis without a disk has forgotten is gone; what it has is whole.
        there = self.stream()
        assert there == written[len(written) - len(there) :]
        assert self.forgetful or there == written
        eventually(
            lambda: in_postgres(self.postgres.url, "test") == in_ledger(self.served.data_dir), "Postgres to have it all"
        )

    def stream(self) -> list[str]:
        """The names of the events in Redis."""
        return [event["uid"] for event in streamed(self.redis.url, "test")]


@pytest.fixture(scope="module")
def stage(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One coordinator for all outages: what one leaves behind would harm the next."""
    with ExitStack() as stack:
        stores = (PostgresServer(), RedisServer())
        for server in stores:
            stack.callback(server.close)
            server.start()
        sandbox = Sandbox(image)
        stack.callback(sandbox.close)
        urls = {"POSTGRES_URL": stores[0].url, "REDIS_URL": stores[1].url}
        served = stack.enter_context(coordinator(tmp_path_factory.mktemp("outages"), **urls))
        served.start()
        yield Stage(served, *stores, (sandbox.run("a"), sandbox.run("b")))
        actors = served.call("GET", "/api/v1/actors").json()["items"]
        assert {actor["id"]: actor["restarts"] for actor in actors if actor["restarts"]} == {}
        served.signal(15)
        assert served.wait() == 0


@pytest.fixture(autouse=True)
def watched(stage: Stage) -> Iterator[None]:
    """All the while health and ready answer 200."""
    over, wrong, looks = threading.Event(), list[str](), 0

    def look() -> None:
        nonlocal looks
        with httpx.Client(base_url=stage.served.url, trust_env=False, timeout=10) as client:
            while True:
                for path in ("/api/v1/health", "/api/v1/ready"):
                    answer = client.get(path)
                    if answer.status_code != 200:
                        wrong.append(answer.text)
                    looks += 1
                if over.wait(0.1):
                    return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert wrong == []
    assert looks > 0


def pause(draw: random.Random, longest_s: float) -> None:
    """A random while: the moment of the outage is what is tried."""
    time.sleep(draw.random() * longest_s)


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed(stage: Stage, seed: int) -> None:
    """SIGKILL of both servers at random moments of running executions."""
    draw = random.Random(seed)
    ids = stage.play()
    servers: list[PostgresServer | RedisServer] = [stage.postgres, stage.redis]
    draw.shuffle(servers)
    for server in servers:
        pause(draw, 0.8)
        server.kill()
    stage.forgetful = True
    pause(draw, 0.5)
    for server in servers:
        server.start()
    stage.ended(ids)
    stage.settled()


def test_stopped_for_whole_executions(stage: Stage) -> None:
    """Both servers stop in order, executions begin and end without them, and they come back."""
    before = stage.play()
    for server in (stage.postgres, stage.redis):
        server.stop()
    stage.forgetful = True
    stage.ended(before)
    stage.ended(stage.play())
    assert all(status.startswith("degraded: unreachable: ") for status in stage.stores().values())
    lag = next(
        float(line.split()[1])
        for line in stage.served.call("GET", "/metrics").text.splitlines()
        if line.startswith("test_coordinator_outbox_lag ")
    )
    assert lag > 0
    for server in (stage.postgres, stage.redis):
        server.start()
    stage.settled()


@contextmanager
def swallowed(stage: Stage) -> Iterator[None]:
    """No server answers, until the coordinator has given up waiting."""
    with stage.postgres.frozen(), stage.redis.frozen():
        yield
        eventually(lambda: "ok" not in stage.stores().values(), "the silence to be noticed")


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    """No server takes writes."""
    turn = ["SET default_transaction_read_only = off", "ALTER SYSTEM SET default_transaction_read_only = {}"]
    with redis.Redis.from_url(stage.redis.url) as administrator:
        administrator.replicaof("127.0.0.1", "1")
        command(stage.postgres.url, turn[0], turn[1].format("on"), "SELECT pg_reload_conf()")
        try:
            yield
            eventually(lambda: "ok" not in stage.stores().values(), "the refusals to be noticed")
            assert "read-only" in stage.stores()["postgres"]
        finally:
            command(stage.postgres.url, turn[0], turn[1].format("off"), "SELECT pg_reload_conf()")
            administrator.replicaof("NO", "ONE")


@contextmanager
def out_of_connections(stage: Stage) -> Iterator[None]:
    """Others hold every connection there is, and ours is cut."""
    with ExitStack() as stack:
        administrator = stack.enter_context(asking(stage.postgres.url))
        with redis.Redis.from_url(stage.redis.url) as other:
            most = other.config_get("maxclients")["maxclients"]
            other.config_set("maxclients", 1)
            other.client_kill_filter(_type="normal", skipme=True)
            _hold_all(stage.postgres.url, administrator, stack)
            try:
                yield
                eventually(lambda: "ok" not in stage.stores().values(), "the refusals to be noticed")
            finally:
                other.config_set("maxclients", most)


def _hold_all(url: str, administrator: psycopg2.extensions.cursor, stack: ExitStack) -> None:
    """Cut everybody else off and take each place that comes free, until none is left and nobody else has one."""
    ours = [administrator.connection.info.backend_pid]
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
    refused = 0
    # Twice: a place comes free a moment after who had it is off the list.
    while refused < 2:
        administrator.execute(f"SELECT pg_terminate_backend(pid) {others}", (ours,))
        try:
            connection = psycopg2.connect(url)
        except psycopg2.OperationalError:
            time.sleep(LOOK_S)
            administrator.execute(f"SELECT count(*) {others}", (ours,))
            refused = 0 if administrator.fetchall() != [(0,)] else refused + 1
            continue
        stack.callback(connection.close)
        ours.append(connection.info.backend_pid)
        refused = 0


@contextmanager
def slow(stage: Stage) -> Iterator[None]:
    """Both servers keep everybody waiting."""
    with asking(stage.postgres.url, "test") as holder, redis.Redis.from_url(stage.redis.url) as administrator:
        holder.execute("BEGIN; LOCK TABLE events")
        administrator.client_pause(1500, all=False)
        yield
        holder.execute("COMMIT")


@contextmanager
def wiped(stage: Stage) -> Iterator[None]:
    """Everything that both servers hold is deleted."""
    command(stage.postgres.url, "DROP SCHEMA test CASCADE")
    with redis.Redis.from_url(stage.redis.url) as administrator, contextlib.suppress(RedisError):
        administrator.flushall()
    stage.forgetful = True
    yield


@contextmanager
def restarted(stage: Stage) -> Iterator[None]:
    """Both servers are restarted, again and again."""
    stage.forgetful = True
    for _ in range(3):
        for server in (stage.postgres, stage.redis):
            server.stop()
            server.start()
    yield


OUTAGES: tuple[Callable[[Stage], contextlib.AbstractContextManager[None]], ...] = (
    swallowed, read_only, out_of_connections, slow, wiped, restarted,
)  # fmt: skip


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
def test_outages(stage: Stage, outage: Callable[[Stage], contextlib.AbstractContextManager[None]]) -> None:
    """The outage begins while executions run and lasts until they have ended: right verdicts, and nothing is lost."""
    ids = stage.play()
    pause(random.Random(outage.__name__), 0.8)
    with outage(stage):
        stage.ended(ids)
        stage.ended(stage.play())
    stage.settled()


def test_the_registry_is_kept_through_it_all(stage: Stage, tmp_path: Path) -> None:
    """After every outage the instance is in the registry again, with its true ports and its status."""
    with redis.Redis.from_url(stage.redis.url, decode_responses=True) as client:
        key = "services:test-coordinator:test-coordinator"
        eventually(lambda: client.hget(key, "status") == "healthy", "the registry")
        found = client.hgetall(key)
        assert 0 < client.pttl(key) <= 15_000
    assert stage.served.url == f"http://{found['host']}:{found['http_port']}"
