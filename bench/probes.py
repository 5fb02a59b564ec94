"""How sampling holds its pace, and what samples take: many probes of one kind at 10 Hz against a server of their own.

    python -m bench.probes [--probes 100] [--seconds 10] [--check]

For each kind of probe: what was achieved of the rate asked for, the share of late samples, that of a process that does
nothing but wake at the same pace meanwhile (on a busy machine it misses beats too), and the processor time of a sample
beside that of a bare connection. Then the memory of samples beside that of as many tuples.

`--check` fails when more samples of tcp were late than idle beats, or when samples take a fifth of tuples.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from typing import Final, NoReturn

import anyio

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.engine_facts import DockerFacts
from actors.prober import Prober
from coordinator.record import Reading, Sample, Series
from coordinator.samples import Samples
from coordinator.scenarios.probes import HttpProbe, Probe, RedisProbe, TcpProbe
from coordinator.scenarios.sample import Samplers

EVERY_S: Final = 0.1
PACE: Final = {"every": "100ms", "timeout": "1s"}
MANY: Final = 200_000
MS: Final = 1000
BARE: Final = 300
HTTP: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
REDIS: Final = b"+PONG\r\n"
MOST_OF_TUPLES: Final = 0.2


def main() -> int:
    """Measure and print; 1 when `--check` finds one of them too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with child(serve) as serving, child(beat) as beating:
        late = anyio.run(partial(paces, serving, beating, options.probes, options.seconds))
    heaviest = memory()
    return int(options.check and (late > 0 or heaviest > MOST_OF_TUPLES))


# ---------------------------------------------------------------- pace


@dataclass(slots=True)
class Clock:
    """Satisfies `coordinator.ports.Clock`."""

    def monotonic(self) -> float:
        """The loop's."""
        return anyio.current_time()

    def now(self) -> datetime:
        """The wall's."""
        return datetime.now(UTC)


async def paces(serving: Connection, beating: Connection, probes: int, seconds: float) -> float:
    """A row for each kind; the share of samples of tcp that were late though the machine was not."""
    port = int(serving.recv())
    bare = await cost_of_a_connection(port)
    print(f"{probes} probes at {1 / EVERY_S:g} Hz for {seconds:g} s; a bare connection takes {bare * MS:.2f} ms")
    print(f"{'':8}{'achieved':>10}{'late':>9}{'idle, late':>12}{'bad':>9}{'a sample, in bare connections':>32}")
    kinds: Mapping[str, Probe] = {
        "tcp": TcpProbe.model_validate({**PACE, "host": "127.0.0.1", "port": port}),
        "http": HttpProbe.model_validate({**PACE, "url": f"http://127.0.0.1:{port}/"}),
        "redis": RedisProbe.model_validate({**PACE, "url": f"redis://127.0.0.1:{port}"}),
    }
    late = {}
    for name, probe in kinds.items():
        late[name] = await pace(name, probe, probes, seconds, bare, beating)
    return late["tcp"]


async def pace(name: str, probe: Probe, probes: int, seconds: float, bare: float, beating: Connection) -> float:
    """Sample, and print how it went; the share that was late beyond the beats an idle process missed."""
    endpoint = "unix:///nonexistent/docker.sock"
    prober = Prober(facts=DockerFacts(endpoint), runner=DockerCommandRunner(endpoint, no_secret), secrets=no_secret)
    names = [f"p{number}" for number in range(probes)]
    async with prober.kept(datetime.now(UTC)) as sampler:
        samplers = Samplers(
            dict.fromkeys(names, probe), prober=sampler, clock=Clock(), started=anyio.current_time(), targets={},
            flush=forget,
        )  # fmt: skip
        beating.send(seconds)
        cpu = time.process_time()
        async with anyio.create_task_group() as group:
            group.start_soon(samplers.run)
            await anyio.sleep(seconds)
            samplers.stop()
        cpu = time.process_time() - cpu
    seen = [samplers.progress(each) for each in names]
    late, bad = sum(one.late for one in seen), sum(one.bad for one in seen)
    good = sum(one.good for one in seen)
    # Those that were due at the very end may not have been taken.
    asked = probes * round(seconds / EVERY_S)
    achieved = min(1.0, (good + bad - late) / asked)
    each = cpu / max(1, good + bad - late)
    idle = float(beating.recv())
    ratios = f"{achieved:>10.1%}{late / asked:>9.2%}{idle:>12.2%}{(bad - late) / asked:>9.2%}"
    print(f"{name:8}{ratios}{each / bare:>32.2f}")
    return late / asked - idle


async def cost_of_a_connection(port: int) -> float:
    """Processor seconds to open one and close it."""
    cpu = time.process_time()
    for _ in range(BARE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    return (time.process_time() - cpu) / BARE


async def forget(_series: Series, _uid: str) -> None:
    """Keep nothing: the ledger is another's measurement."""


def no_secret(name: str) -> NoReturn:
    """None is needed."""
    raise LookupError(name)


@contextmanager
def child(work: Callable[[Connection], None]) -> Iterator[Connection]:
    """A process of its own at work, and what it tells."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


class Answering(asyncio.Protocol):
    """Answers each request by its first byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer at once."""
        if data.startswith(b"*"):
            self.transport.write(REDIS)
        else:
            self.transport.write(HTTP)
            self.transport.close()


def serve(told: Connection) -> None:
    """Answer http and redis alike, on the port that is told, for ever."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1000)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def beat(asked: Connection) -> None:
    """Wake at the pace for as many seconds as asked, again and again, and tell the share of beats that were missed."""
    while True:
        beats = round(float(asked.recv()) / EVERY_S)
        begin, at, missed = time.monotonic(), 0, 0
        while at < beats:
            at += 1
            time.sleep(max(0.0, begin + at * EVERY_S - time.monotonic()))
            now = int((time.monotonic() - begin) / EVERY_S)
            missed, at = missed + max(0, now - at), max(at, now)
        asked.send(missed / beats)


# ---------------------------------------------------------------- memory


def memory() -> float:
    """Print what samples take; the greatest part of what as many tuples take."""
    dice = random.Random(1)  # noqa: S311  # latencies, no secret
    print(f"\n{'a million samples':32}{'MB':>8}{'of tuples':>12}")
    print(f"{'(measured on ' + str(MANY) + ')':32}")
    kinds: Mapping[str, Callable[[int], float | str | None]] = {
        "a value that stays the same": lambda _: 200.0,
        "a value that never does": float,
        "one of two texts": lambda number: "running" if number % 50 else "exited",
    }
    parts = []
    for name, value in kinds.items():
        readings = (Reading(ok=True, latency_s=dice.random() / 50, value=value(at)) for at in range(MANY))
        columns = bytes_of(partial(in_columns, readings))
        tuples = bytes_of(partial(in_tuples, value, dice))
        parts.append(columns / tuples)
        print(f"{name:32}{columns / MANY:>8.1f}{columns / tuples:>12.3f}")
    return max(parts)


def in_columns(readings: Iterator[Reading]) -> Sequence[Sample]:
    """As an execution holds them."""
    samples = Samples(EVERY_S)
    for reading in readings:
        samples.add(reading)
    return samples


def in_tuples(value: Callable[[int], float | str | None], dice: random.Random) -> Sequence[Sample]:
    """As a reader sees them."""
    return [Sample(at * EVERY_S, True, dice.random() / 50, value(at)) for at in range(MANY)]


def bytes_of(make: Callable[[], Sequence[Sample]]) -> int:
    """What is held when it is made."""
    gc.collect()
    tracemalloc.start()
    made = make()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == MANY
    return held


if __name__ == "__main__":
    sys.exit(main())
