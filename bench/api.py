"""How the API holds up: a real `serve`, its health asked at a steady pace, idle and then under load in the same run.

First many clients follow an execution to which something happens five times a second. Then, as load: as many follow one
of a hundred executions queued at once, while some clients ask for lists without a pause. Prints the latency of health,
asked by a process of its own, with its ratio to idle, and what the process holds (memory, descriptors) over time. It
needs a Docker engine and touches no container of it.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from coordinator.descriptors import raise_limit

ROOT = Path(__file__).resolve().parent.parent
WITHIN_S = 60.0
PACE_S = 0.02
POOLED = 100
MS = 1000
DEFINITION = {
    "apiVersion": "test-coordinator/v1",
    "kind": "Scenario",
    "metadata": {"name": "bench"},
    "targets": {"none": {"names": ["there-is-no-such-container"], "allow_empty": True}},
    "phases": [{"name": "wait", "duration": "1s"}],
}
TALKATIVE = DEFINITION | {
    "phases": [{"name": "tick", "duration": "200ms", "repeat": {"times": 1000, "every": "200ms"}}],
}


@dataclass(slots=True)
class Held:
    """What the process holds at one moment."""

    process: psutil.Process
    rows: list[str] = field(default_factory=list)

    def note(self, when: str) -> None:
        """Look, and keep a line of the table."""
        memory = self.process.memory_info().rss / 2**20
        self.rows.append(f"{when:<28}{memory:>12.1f}{self.process.num_fds():>14}")


@dataclass(frozen=True, slots=True)
class Round:
    """What one load did: the times of health, errors of ours, who heard the end, descriptors held after it."""

    times: list[float]
    errors: int
    heard: int
    kept: int


def main() -> int:
    """Measure and print; 1 if an answer was a 5xx, or descriptors were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, default=1000, help="clients that follow an execution")
    parser.add_argument("--queued", type=int, default=100, help="executions submitted at once")
    parser.add_argument("--askers", type=int, default=4, help="clients that ask for lists without a pause")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long health is asked, each time")
    options = parser.parse_args()
    raise_limit()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, token, process):
        return asyncio.run(measured(url, token, Held(psutil.Process(process)), options))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, str, int]]:
    """A coordinator of its own that may touch no container: its URL, token and process id."""
    own = {"DATA_DIR": str(folder), "HTTP_PORT": "0", "GRPC_PORT": "0", "CHAOS_TARGET_POLICY": "opt-in"}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "coordinator", "serve"], cwd=ROOT, env=os.environ | own, stdout=log, stderr=log
        )
    try:
        endpoints, deadline = folder / "endpoints.json", time.monotonic() + WITHIN_S
        while not endpoints.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"serve did not come up:\n{(folder / 'serve.log').read_text()[-2000:]}")
            time.sleep(0.05)
        url = f"http://{json.loads(endpoints.read_text())['http']}"
        yield url, (folder / "api-token").read_text().strip(), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WITHIN_S)


async def measured(url: str, token: str, held: Held, options: argparse.Namespace) -> int:
    """The run."""
    headers = {"Authorization": f"Bearer {token}"}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=WITHIN_S, trust_env=False, limits=limits
    ) as http:
        await asked(url, 1.0)
        held.note("idle")
        idle = await asked(url, options.seconds)
        told = await while_told(url, token, http, options)
        # Twice: what stays after the first time is pools and caches; what comes on top after the second is a leak.
        rounds = [await one_round(url, token, http, held, options) for _ in range(2)]
    busy, errors = [time for one in rounds for time in one.times], sum(one.errors for one in rounds)
    print(f"{'health ms':<28}{'p50':>12}{'p99':>14}")
    for name, times in (("idle", idle), (f"{options.followers} followers told", told), ("under load", busy)):
        print(f"{name:<28}{quantile(times, 50):>12.2f}{quantile(times, 99):>14.2f}")
        ratios = [quantile(times, part) / quantile(idle, part) for part in (50, 99)]
        print(f"{'  of idle':<28}{ratios[0]:>12.2f}{ratios[1]:>14.2f}")
    print()
    print(f"{'process':<28}{'memory MiB':>12}{'descriptors':>14}")
    print("\n".join(held.rows))
    heard, followers = sum(one.heard for one in rounds), options.followers * len(rounds)
    print(f"\n{heard} of {followers} followers heard the end; every execution finished")
    kept = rounds[1].kept - rounds[0].kept
    print(f"answers of 500 and above: {errors}; descriptors more after the second round: {kept}")
    # Idle connections to the engine, at most four to each of the 25 latest requests, are no leak.
    return int(errors > 0 or heard < followers or kept > POOLED)


async def one_round(url: str, token: str, http: httpx.AsyncClient, held: Held, options: argparse.Namespace) -> Round:
    """The load, from its beginning until nothing is left of it."""
    ids = await begun(http, options.queued)
    async with following(url, token, ids[-1], options.followers) as followers:
        held.note(f"{options.followers} followers")
        times, errors = await under_load(url, http, options)
        held.note("under load")
        await finished(http, ids)
        heard = await asyncio.gather(*followers)
    await asyncio.sleep(7)  # kept connections are closed after five
    held.note("after")
    whole = sum(one.endswith(b"event: end\ndata: {}\n\n") for one in heard)
    return Round(times, errors, whole, held.process.num_fds())


async def while_told(url: str, token: str, http: httpx.AsyncClient, options: argparse.Namespace) -> list[float]:
    """The times of health while many follow an execution that has much to tell."""
    answer = await http.post("/api/v1/executions", json={"definition": TALKATIVE})
    answer.raise_for_status()
    execution_id = str(answer.json()["id"])
    async with following(url, token, execution_id, options.followers) as followers:
        times = await asked(url, options.seconds)
        (await http.delete(f"/api/v1/executions/{execution_id}")).raise_for_status()
        await asyncio.gather(*followers)
    return times


async def asked(url: str, seconds: float) -> list[float]:
    """Milliseconds that health took: by another process, which has no followers to read for."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, times_of_health, url, seconds)


def times_of_health(url: str, seconds: float) -> list[float]:
    """Milliseconds, asked at a steady pace."""
    times = []
    with httpx.Client(base_url=url, timeout=WITHIN_S, trust_env=False) as http:
        until = time.perf_counter() + seconds
        while (at := time.perf_counter()) < until:
            http.get("/api/v1/health").raise_for_status()
            times.append((time.perf_counter() - at) * MS)
            time.sleep(PACE_S)
    return times


async def begun(http: httpx.AsyncClient, count: int) -> list[str]:
    """Ids of executions that were all submitted at once, the last of them to be played last."""

    async def submit() -> str:
        answer = await http.post("/api/v1/executions", json={"definition": DEFINITION})
        answer.raise_for_status()
        return str(answer.json()["id"])

    await asyncio.gather(*(submit() for _ in range(count)))
    return [str(one["id"]) for one in reversed(await listed(http, count))]


async def listed(http: httpx.AsyncClient, count: int) -> list[dict[str, object]]:
    """The latest executions, newest first."""
    answer = await http.get("/api/v1/executions", params={"limit": count})
    found: list[dict[str, object]] = answer.json()["items"]
    return found


@contextlib.asynccontextmanager
async def following(url: str, token: str, execution_id: str, count: int) -> AsyncIterator[list[Awaitable[bytes]]]:
    """So many clients that follow an execution; each gives all that it heard."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    head = f"GET /api/v1/executions/{execution_id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    request = f"{head}Authorization: Bearer {token}\r\n\r\n".encode()
    writers, heard = [], list[Awaitable[bytes]]()

    async def follow(reader: asyncio.StreamReader) -> bytes:
        raw = await asyncio.wait_for(reader.read(), WITHIN_S * 2)
        return b"".join(raw.split(b"\r\n")[1::2])  # the data of its chunks

    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        writers.append(writer)
        readers.append(reader)
    for reader in readers:
        await reader.readuntil(b"\r\n\r\n")  # all follow before anything is measured
        heard.append(asyncio.create_task(follow(reader)))
    try:
        yield heard
    finally:
        for writer in writers:
            writer.close()


async def under_load(url: str, http: httpx.AsyncClient, options: argparse.Namespace) -> tuple[list[float], int]:
    """The times of health while others ask without a pause, and how many of those were told of an error of ours."""
    errors = 0

    async def ask() -> None:
        nonlocal errors
        while True:
            for path in ("/api/v1/executions", "/api/v1/faults", "/metrics"):
                errors += (await http.get(path)).status_code >= httpx.codes.INTERNAL_SERVER_ERROR

    askers = [asyncio.create_task(ask()) for _ in range(options.askers)]
    try:
        return await asked(url, options.seconds), errors
    finally:
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)


async def finished(http: httpx.AsyncClient, ids: list[str]) -> None:
    """Return when all are."""
    while {one["state"] for one in await listed(http, len(ids))} != {"finished"}:  # noqa: ASYNC110  # no event comes
        await asyncio.sleep(0.2)


def quantile(times: list[float], part: int) -> float:
    """A percentile."""
    return statistics.quantiles(times, n=100)[part - 1]


if __name__ == "__main__":
    sys.exit(main())
