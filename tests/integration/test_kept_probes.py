"""Probes that keep connections, against the real servers: what is read, how failures differ, what is left behind."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import anyio
import pytest

from actors.docker.engine_facts import DockerFacts
from actors.prober import Prober
from coordinator.ports import Sampler
from coordinator.record import Reading
from coordinator.scenarios.probes import Probe
from tests.integration.sandbox import Sandbox, docker
from tests.integration.services import PostgresServer, RedisServer, Server
from tests.unit.prober.scene import DictionaryEngine, OneOutcome, probe, secrets, unused_port

pytestmark = pytest.mark.anyio

ASKED_AT_ONCE = 30


@pytest.fixture
def anyio_backend() -> str:
    """Their libraries know asyncio alone."""
    return "asyncio"


@asynccontextmanager
async def sampler() -> AsyncIterator[Sampler]:
    """That of one execution, which began just now."""
    prober = Prober(facts=DictionaryEngine(), runner=OneOutcome(), secrets=secrets)
    async with prober.kept(datetime.now(UTC)) as made:
        yield made


async def at_once(one: Sampler, look: Probe, times: int) -> list[Reading]:
    """So many samples side by side."""
    readings = []

    async def ask() -> None:
        readings.append(await one.sample(look, {}))

    async with anyio.create_task_group() as group:
        for _ in range(times):
            group.start_soon(ask)
    return readings


async def no_later_than(seconds: float, one: Sampler, look: Probe, holds: Callable[[Reading], bool]) -> Reading:
    """Sample until the reading is as wanted: a server takes its time to notice."""
    with anyio.fail_after(seconds):
        while not holds(reading := await one.sample(look, {})):  # noqa: ASYNC110  # a server has no Event
            await anyio.sleep(0.05)
    return reading


async def outages(server: Server, one: Sampler, look: Probe, quick: Probe) -> list[str]:
    """The first words of the errors: while frozen, while down; good in between and after a restart nobody saw."""
    assert (await one.sample(look, {})).ok
    with server.frozen():
        frozen = await one.sample(quick, {})
    assert (await one.sample(look, {})).ok
    server.stop()
    down = await one.sample(look, {})
    server.start()
    assert (await one.sample(look, {})).ok
    server.stop()
    server.start()
    # The kept connection ended with the server it was to: that is no failure of this one.
    unseen = await one.sample(look, {})
    assert unseen.ok, unseen
    return [reading.error.split(":")[0] for reading in (frozen, down)]


async def test_postgres_is_asked_for_one_value(postgres: PostgresServer) -> None:
    """A number, a text, a truth and a change are values; nothing, too much and mistakes are told apart."""
    postgres.start()
    ask = partial(probe, "sql", dsn=postgres.url)
    good = {
        "select count(*) from pg_class where relname = 'pg_class'": 1.0,
        "select 'on' || 'e'": "one",
        "select 1 = 1": "true",
        "select 2.5::numeric": 2.5,
        "create temporary table if not exists t (n int); insert into t values (1), (2)": 2.0,
        "select '100%'": "100%",
    }
    bad = {
        "select 1 where false": "no data: the answer holds no value",
        "select null": "no data: the answer holds no value",
        "select 1, 2": "wrong answer: the query gives 2 columns and 1 rows, expected one of each",
        "select generate_series(1, 3)": "wrong answer: the query gives 1 columns and 3 rows, expected one of each",
        "select nonsense": 'wrong answer: 42703 column "nonsense" does not exist',
    }
    async with sampler() as one:
        values = {query: (await one.sample(ask(query=query), {})).value for query in good}
        errors = {query: (await one.sample(ask(query=query), {})).error for query in bad}
        unexpected = await one.sample(ask(query="select 5", expect={"value": "> 5"}), {})
        by_secret = await one.sample(probe("sql", dsn={"secret": "DSN"}, query="select 1"), {})
        elsewhere = await one.sample(probe("sql", dsn=postgres.url + "_no", query="select 1"), {})
        nobody = f"postgresql://u:s3cr3t@127.0.0.1:{await unused_port()}/d"
        refused = await one.sample(probe("sql", dsn=nobody, query="select 1"), {})
    assert values == good
    assert errors == bad
    assert (unexpected.error, unexpected.value) == ("wrong answer: 5, expected > 5", 5.0)
    assert by_secret.error == "MissingSecret: no secret DSN"
    assert elsewhere.error == 'wrong answer: database "postgres_no" does not exist'
    assert refused.error.startswith("refused: ConnectionRefusedError")
    assert "s3cr3t" not in refused.error


async def test_postgres_goes_away_and_comes_back(postgres: PostgresServer) -> None:
    """Frozen is a timeout, down is refused, and a restart between two samples is no failure of the second."""
    postgres.start()
    look = probe("sql", dsn=postgres.url, query="select 1")
    quick = probe("sql", dsn=postgres.url, query="select 1", timeout="300ms")
    async with sampler() as one:
        assert await outages(postgres, one, look, quick) == ["timeout", "refused"]


async def test_postgres_is_not_left_with_work(postgres: PostgresServer) -> None:
    """Many samples at once share few connections; a query nobody waits for any more ends; at the end all are closed."""
    postgres.start()
    ours = "from pg_stat_activity where application_name = 'test-coordinator probe'"
    count = probe("sql", dsn=postgres.url, query=f"select count(*) {ours}")
    sleeping = probe("sql", dsn=postgres.url, query="select pg_sleep(600)", timeout="300ms")
    asleep = probe(
        "sql", dsn=postgres.url, query=f"select count(*) {ours} and query like '%sleep(6%' and state='active'"
    )
    async with sampler() as one:
        readings = await at_once(one, count, ASKED_AT_ONCE)
        slept = await one.sample(sleeping, {})
        none = await no_later_than(20, one, asleep, lambda reading: reading.value == 1.0)
    assert [reading.error for reading in readings] == [""] * ASKED_AT_ONCE
    assert max(float(reading.value or 0) for reading in readings) <= 8
    assert slept.error.startswith("timeout")
    assert none.ok
    async with sampler() as other:
        # It sees itself.
        await no_later_than(20, other, count, lambda reading: reading.value == 1.0)


async def test_redis_is_sent_one_command(redis_server: RedisServer) -> None:
    """Texts, numbers and lists are values; nothing, errors, a wrong password and nobody are told apart."""
    redis_server.start()
    ask = partial(probe, "redis", url=redis_server.url)
    async with sampler() as one:
        pong, stored, text, number, many = [
            await one.sample(ask(command=command), {})
            for command in (
                ("PING",),
                ("SET", "tc-ö", "é\r\n$1"),
                ("GET", "tc-ö"),
                ("INCR", "tc-n"),
                ("COMMAND", "LIST"),
            )
        ]
        nothing, wrong = [
            await one.sample(ask(command=command), {}) for command in (("GET", "tc-none"), ("LLEN", "tc-ö"))
        ]
        unexpected = await one.sample(ask(command=("GET", "tc-n"), expect={"value": "== 7"}), {})
        denied = await one.sample(ask(password={"secret": "TOKEN"}), {})
        refused = await one.sample(probe("redis", url=f"redis://127.0.0.1:{await unused_port()}"), {})
        await one.sample(ask(command=("DEL", "tc-ö", "tc-n")), {})
    assert [pong.value, stored.value, text.value, number.value] == ["PONG", "OK", "é $1", 1.0]
    assert isinstance(many.value, float)
    assert many.value > 100
    assert nothing.error == "no data: the answer holds no value"
    assert wrong.error.startswith("wrong answer: WRONGTYPE")
    assert unexpected.error == "wrong answer: 1, expected == 7"
    assert denied.error.startswith("wrong answer: ERR AUTH")
    assert "s3cr3t" not in denied.error
    assert refused.error.startswith("refused: ConnectionRefusedError")


async def test_redis_goes_away_and_comes_back(redis_server: RedisServer) -> None:
    """Frozen is a timeout, down is refused, and a restart between two samples is no failure of the second."""
    redis_server.start()
    look = probe("redis", url=redis_server.url)
    async with sampler() as one:
        assert await outages(redis_server, one, look, probe("redis", url=redis_server.url, timeout="300ms")) == [
            "timeout",
            "refused",
        ]


@pytest.mark.parametrize("options", [(), ("--tty",)], ids=["pipes", "terminal"])
async def test_lines_of_a_log_are_counted_once(engine: str, containers: Sandbox, options: tuple[str, ...]) -> None:
    """What matches since the execution began is counted, each line once however long; with the container it ends."""
    made = containers.run("talker", options=options)

    def say(script: str) -> None:
        docker("exec", made.id, "sh", "-c", f"({script}) >/proc/1/fd/1")

    say("echo error before")
    facts = DockerFacts(engine)
    targets = {"talker": await facts.containers([made.id])}
    prober = Prober(facts=facts, runner=OneOutcome(), secrets=secrets)
    look = probe("log", target="talker", pattern="(?i)error|fatal$", expect={"value": "< 3"})
    async with prober.kept(datetime.now(UTC)) as one:
        none = await one.sample(look, targets)
        say("echo an Error; echo fine; echo not fatal at all; echo this was fatal")
        two = await one.sample(look, targets)
        again = await one.sample(look, targets)
        # The engine keeps such a line in pieces.
        say("printf 'error %040000d error\\n' 7")
        three = await one.sample(look, targets)
        docker("rm", "--force", made.id)
        gone = await one.sample(look, targets)
    await facts.aclose()
    assert [(reading.value, reading.error) for reading in (none, two, again)] == [(0.0, ""), (2.0, ""), (2.0, "")]
    assert (three.value, three.error) == (3.0, "wrong answer: 3, expected < 3")
    assert gone.error.startswith("NoContainer: tc-test-talker")
