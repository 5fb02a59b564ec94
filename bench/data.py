"""The way of the ledger's records into Postgres: throughput, lag under a steady load, and memory.

Three measurements with a Postgres of their own (fsync off, as in the tests): how long a full outbox takes to drain,
beside bare multi-row inserts of the same records by psycopg2; how far behind Postgres is under 1,000 events a second;
and how the memory of a ledger and its adapter grows from a tenth of the events to all of them.

    python bench/data.py [--events 100000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import gc
import logging
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import psutil
import psycopg2
from psycopg2.extras import execute_values

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.data_adapter import AdapterConfig, DataAdapterActor
from actors.ledger import LedgerActor
from coordinator.record import Execution, ExecutionState, Submission, TimelineEntry
from tests.integration.services import PostgresServer

PER_SECOND = 1000
TICK_S = 0.02
MOST_LAG_S = 1.0
MOST_GROWTH = 1.25
LEAST_THROUGHPUT = 1000.0


class Life:
    """What a supervisor gives an actor."""

    path = "root/bench"
    incarnation = 1

    def __init__(self) -> None:
        self.stopping = anyio.Event()
        self.up = anyio.Event()

    def ready(self, value: object = None) -> None:
        """It is up."""
        assert value is None
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        """A measurement of an impaired adapter would be none."""
        if reason is not None and "connecting" not in reason:
            print(f"bench: {reason}", file=sys.stderr)


def main() -> int:
    """Measure and print; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    logging.disable()
    server = PostgresServer()
    try:
        server.start()
        return anyio.run(measure, server.url, arguments.events, arguments.seconds)
    finally:
        server.close()


async def measure(url: str, events: int, seconds: float) -> int:
    """All three, each on a ledger and a schema of its own."""
    drained = await throughput(url, events // 5)
    bare = await anyio.to_thread.run_sync(bare_inserts, url, events // 5)
    print(f"drain:  {drained:,.0f} records/s; bare inserts {bare:,.0f}/s; ratio {bare / drained:.1f}", flush=True)
    median, p99, most = await lag(url, seconds)
    print(
        f"lag at {PER_SECOND:,} events/s for {seconds:g} s:"
        f" p50 {median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {most * 1000:.0f} ms",
        flush=True,
    )
    tenth, whole = await memory(url, events)
    growth = whole / tenth
    print(f"memory: {tenth:.1f} MB after {events // 10:,} events, {whole:.1f} MB after {events:,}; ratio {growth:.2f}")
    return int(drained < LEAST_THROUGHPUT or p99 > MOST_LAG_S or growth > MOST_GROWTH)


@asynccontextmanager
async def living(url: str, schema: str) -> AsyncIterator[tuple[LedgerActor, DataAdapterActor]]:
    """A ledger that lives, and an adapter that does not yet."""
    config = AdapterConfig(
        service_name="test-coordinator",
        service_instance_name="bench",
        environment="testing",
        postgres_url=url,
        postgres_schema=schema,
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = LedgerActor(Path(folder), "bench")
        async with ledger, anyio.create_task_group() as group:
            life = Life()
            group.start_soon(ledger.run, life)
            await life.up.wait()
            now = datetime.now(UTC)
            execution = Execution(id="e", scenario="bench", state=ExecutionState.RUNNING, seed=1, created_at=now)
            await ledger.accept(execution, Submission(source="kind: Scenario"), "task")
            yield ledger, DataAdapterActor(config, ledger, retention_days=7)
            life.stopping.set()


@asynccontextmanager
async def fed(adapter: DataAdapterActor) -> AsyncIterator[None]:
    """The adapter at work."""
    life = Life()
    async with anyio.create_task_group() as group:
        group.start_soon(adapter.run, life)
        await life.up.wait()
        yield
        life.stopping.set()


def entry(number: int) -> TimelineEntry:
    """An event of the usual size."""
    return TimelineEntry(
        at=datetime.now(UTC), offset_s=number / 1000, event="probe_bad", phase="outage", target="api",
        text=f"connection refused by 127.0.0.1:8000, attempt {number}",
    )  # fmt: skip


async def write(ledger: LedgerActor, first: int, count: int) -> None:
    """So many events, as many writers at once as the ledger groups well."""
    async with anyio.create_task_group() as group:
        for number in range(first, first + count):
            group.start_soon(ledger.append_timeline, "e", entry(number))


async def drained(ledger: LedgerActor) -> None:
    """Wait until Postgres has everything."""
    while await ledger.lag():  # noqa: ASYNC110 - another server's state sends no event
        await anyio.sleep(0.01)


async def throughput(url: str, events: int) -> float:
    """Records per second when a full outbox meets Postgres."""
    async with living(url, "bench_drain") as (ledger, adapter):
        for first in range(0, events, PER_SECOND):
            await write(ledger, first, PER_SECOND)
        begun = time.perf_counter()
        async with fed(adapter):
            await drained(ledger)
            return events / (time.perf_counter() - begun)


def bare_inserts(url: str, events: int) -> float:
    """Rows per second of the driver alone, in batches of the same size."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bare; CREATE TABLE bare.events (LIKE bench_drain.events INCLUDING ALL)")
        connection.commit()
        rows = [
            (str(n), "e", n, one.at, one.offset_s, one.event, one.phase, None, one.target, one.text)
            for n in range(events)
            for one in (entry(n),)
        ]
        begun = time.perf_counter()
        for first in range(0, events, PER_SECOND):
            batch = rows[first : first + PER_SECOND]
            execute_values(cursor, "INSERT INTO bare.events VALUES %s", batch, page_size=PER_SECOND)
            connection.commit()
        return events / (time.perf_counter() - begun)


async def lag(url: str, seconds: float) -> tuple[float, float, float]:
    """From an event's place on disk to its row in Postgres, under a steady load: median, p99, longest."""
    seen: list[float] = []
    marks: deque[tuple[int, float]] = deque()
    over = anyio.Event()
    async with living(url, "bench_lag") as (ledger, adapter), fed(adapter):
        await drained(ledger)

        async def look() -> None:
            while marks or not over.is_set():
                there = await position(ledger) - await ledger.lag()
                while marks and marks[0][0] <= there:
                    seen.append(time.perf_counter() - marks.popleft()[1])
                await anyio.sleep(0.002)

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            begun, written = time.perf_counter(), 0
            while (elapsed := time.perf_counter() - begun) < seconds:
                due = int(elapsed * PER_SECOND)
                await write(ledger, written, due - written)
                written = due
                marks.append((await position(ledger), time.perf_counter()))
                await anyio.sleep(TICK_S)
            over.set()
    return statistics.median(seen), statistics.quantiles(seen, n=100)[-1], max(seen)


async def position(ledger: LedgerActor) -> int:
    """The latest change. Only new events are written here, so positions and records count alike."""
    return (await ledger.changes(0, 0)).latest


async def memory(url: str, events: int) -> tuple[float, float]:
    """Resident megabytes of this process after a tenth of the events and after all, each time drained."""
    figures = []
    process = psutil.Process()
    async with living(url, "bench_memory") as (ledger, adapter), fed(adapter):
        for upto, first in ((events // 10, 0), (events, events // 10)):
            for number in range(first, upto, PER_SECOND):
                await write(ledger, number, PER_SECOND)
            await drained(ledger)
            gc.collect()
            figures.append(process.memory_info().rss / 2**20)
    return figures[0], figures[1]


if __name__ == "__main__":
    sys.exit(main())
