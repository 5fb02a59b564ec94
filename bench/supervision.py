"""Measures the supervisor: start, restart, burst, stop, snapshot, memory; beside OTP's where `erl` is installed.

    python -m bench.supervision [--children 1000] [--restarts 3000] [--rounds 5] [--check]

Absolute figures belong to the machine; what counts are the ratios, taken in one run. `--check` fails when crash to
running (p50) is more than 3 times OTP's, a burst more than 1.2 times, or a snapshot read takes 10 µs or more.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import anyio

from coordinator.supervision import IMMEDIATE, ChildContext, ChildSpec, Strategy, Supervisor, SupervisorSpec, health

MOST_RESTART_RATIO = 3.0
MOST_BURST_RATIO = 1.2
MOST_READ_US = 10.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One supervisor's figures: microseconds, but for the burst (milliseconds), restarts per second and bytes."""

    start_us: float
    restarts_per_s: float
    p50_us: float
    p99_us: float
    burst_ms: float
    stop_us: float
    read_us: float = float("nan")
    bytes_per_child: float = float("nan")


class Crashes:
    """Children that crash when told and say when they are up."""

    def __init__(self, expected: int) -> None:
        """Expect that many to come up."""
        self._triggers: dict[str, anyio.Event] = {}
        self._missing = expected
        self.all_up = anyio.Event()
        self.up_at = 0.0

    async def live(self, context: ChildContext) -> None:
        """Be up until told to crash, or to stop."""
        trigger = self._triggers[context.path] = anyio.Event()
        context.ready()
        self.up_at = time.perf_counter()
        self._missing -= 1
        if self._missing == 0:
            self.all_up.set()
        await trigger.wait()
        raise ValueError("boom")

    def expect(self, count: int) -> None:
        """Wait for that many to come up again."""
        self._missing = count
        self.all_up = anyio.Event()

    def crash(self, path: str) -> None:
        """Let one crash."""
        self._triggers[path].set()


def supervisor_of(children: int, live: Callable[[ChildContext], Awaitable[None]]) -> Supervisor:
    """A one_for_one supervisor without limits; its children are cancelled when they are to stop."""
    specs = tuple(ChildSpec(f"c{number}", live, stop_timeout_s=0, backoff=IMMEDIATE) for number in range(children))
    spec = SupervisorSpec("root", specs, Strategy.ONE_FOR_ONE, intensity=10**9, period_s=1.0)
    return Supervisor(spec, clock=time.time, random=random.Random(1))  # noqa: S311 - jitter


async def measure(children: int, restarts: int) -> Figures:
    """One round."""
    gc.collect()
    crashes = Crashes(children)
    supervisor = supervisor_of(children, crashes.live)
    ended = anyio.Event()

    async def run() -> None:
        await supervisor.run()
        ended.set()

    async with anyio.create_task_group() as group:
        began = time.perf_counter()
        group.start_soon(run)
        await crashes.all_up.wait()
        start_s = time.perf_counter() - began
        await supervisor.ping()
        taken = await one_at_a_time(crashes, children, restarts)
        crashes.expect(children)
        gc.collect()  # what the phase before left behind is not this one's cost
        began = time.perf_counter()
        for number in range(children):
            crashes.crash(f"root/c{number}")
        await crashes.all_up.wait()
        burst_s = time.perf_counter() - began
        await supervisor.ping()
        read_s = read_snapshots(supervisor)
        began = time.perf_counter()
        supervisor.request_stop("measured")
        await ended.wait()
        stop_s = time.perf_counter() - began
    cuts = statistics.quantiles(taken, n=100)
    return Figures(
        start_us=start_s / children * 1e6,
        restarts_per_s=restarts / sum(taken),
        p50_us=cuts[49] * 1e6,
        p99_us=cuts[98] * 1e6,
        burst_ms=burst_s * 1e3,
        stop_us=stop_s / children * 1e6,
        read_us=read_s * 1e6,
    )


async def measure_memory(children: int) -> float:
    """Bytes per idle child, by Python's own count: a process's memory is not given back between rounds."""
    crashes = Crashes(children)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    supervisor = supervisor_of(children, crashes.live)
    async with anyio.create_task_group() as group:
        await group.start(supervisor.run)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        supervisor.request_stop("measured")
    return grown / children


async def one_at_a_time(crashes: Crashes, children: int, restarts: int) -> list[float]:
    """Crash one child after another; seconds from each crash to the next life being up."""
    dice = random.Random(2)  # noqa: S311 - which child crashes next
    taken: list[float] = []
    for _ in range(restarts):
        crashes.expect(1)
        path = f"root/c{dice.randrange(children)}"
        began = time.perf_counter()
        crashes.crash(path)
        await crashes.all_up.wait()
        taken.append(crashes.up_at - began)
    return taken


def read_snapshots(supervisor: Supervisor, reads: int = 10_000) -> float:
    """Seconds to read the snapshot once. Folding it into health is the reader's own work, done here once."""
    assert health(supervisor.snapshot).ready
    began = time.perf_counter()
    for _ in range(reads):
        _ = supervisor.snapshot
    return (time.perf_counter() - began) / reads


ERLANG = """
-module(bench). -behaviour(supervisor). -export([main/1, init/1, child/2, loop/2]).
init({N, Boss}) ->
    {ok, {#{strategy => one_for_one, intensity => 1000000000, period => 1},
          [#{id => I, start => {?MODULE, child, [I, Boss]}, shutdown => brutal_kill} || I <- lists:seq(1, N)]}}.
child(I, Boss) -> {ok, proc_lib:spawn_link(?MODULE, loop, [I, Boss])}.
loop(I, Boss) -> Boss ! {up, I, self(), erlang:monotonic_time(nanosecond)}, receive crash -> exit(kill) end.
up(0, M) -> M;
up(N, M) -> receive {up, I, Pid, _} -> up(N - 1, M#{I => Pid}) end.
now_ns() -> erlang:monotonic_time(nanosecond).
main([Children, Restarts]) ->
    logger:set_primary_config(level, none), process_flag(trap_exit, true),
    N = list_to_integer(Children), R = list_to_integer(Restarts),
    T0 = now_ns(), {ok, Sup} = supervisor:start_link(?MODULE, {N, self()}), M0 = up(N, #{}), T1 = now_ns(),
    {M1, Taken} = lists:foldl(fun(_, {M, L}) ->
        I = rand:uniform(N), B = now_ns(), exit(maps:get(I, M), kill),
        receive {up, I, Pid, At} -> {M#{I => Pid}, [At - B | L]} end end, {M0, []}, lists:seq(1, R)),
    T2 = now_ns(), [exit(P, kill) || P <- maps:values(M1)], up(N, #{}), T3 = now_ns(),
    unlink(Sup), Ref = monitor(process, Sup), exit(Sup, shutdown), receive {'DOWN', Ref, _, _, _} -> ok end,
    T4 = now_ns(), S = lists:sort(Taken),
    io:format("~p ~p ~p ~p ~p ~p~n", [(T1 - T0) / N / 1000, R / (lists:sum(Taken) / 1.0e9),
        lists:nth(R div 2, S) / 1000, lists:nth(R * 99 div 100, S) / 1000, (T3 - T2) / 1.0e6, (T4 - T3) / N / 1000]),
    halt(0).
"""


def measure_otp(children: int, restarts: int) -> Figures | None:
    """The same with an OTP supervisor; None where Erlang is not installed."""
    if shutil.which("erl") is None or shutil.which("erlc") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench.erl").write_text(ERLANG, encoding="utf-8")
        subprocess.run(["erlc", "bench.erl"], cwd=folder, check=True, timeout=60)
        told = subprocess.run(
            ["erl", "-noshell", "-noinput", "-run", "bench", "main", str(children), str(restarts)],
            cwd=folder,
            check=True,
            timeout=300,
            capture_output=True,
            text=True,
        ).stdout
    return Figures(*(float(word) for word in told.split()))


def best(rounds: list[Figures]) -> Figures:
    """Each figure's best: what else the machine does can only make it worse."""
    picked = {
        field.name: (max if field.name == "restarts_per_s" else min)(getattr(one, field.name) for one in rounds)
        for field in fields(Figures)
    }
    return Figures(**picked)


def show(name: str, figures: Figures) -> None:
    """Print one row."""
    cells = (f"{getattr(figures, field.name):>17,.1f}" for field in fields(Figures))
    print(f"{name:<10}" + "".join(cells))


def main() -> int:
    """Measure in turns, so that what else the machine does falls on all alike; 1 when `--check` finds a miss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=1000)
    parser.add_argument("--restarts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rounds: dict[str, list[Figures]] = {}
    for _ in range(options.rounds):
        for backend in ("asyncio", "trio"):
            figures = anyio.run(measure, options.children, options.restarts, backend=backend)
            rounds.setdefault(backend, []).append(figures)
        otp = measure_otp(options.children, options.restarts)
        if otp is not None:
            rounds.setdefault("OTP", []).append(otp)
    results = {name: best(found) for name, found in rounds.items()}
    for backend in ("asyncio", "trio"):
        grown = anyio.run(measure_memory, options.children, backend=backend)
        results[backend] = replace(results[backend], bytes_per_child=grown)
    print(f"{options.children} children, {options.restarts} restarts, best of {options.rounds} rounds")
    print(f"{'':<10}" + "".join(f"{field.name:>17}" for field in fields(Figures)))
    for name, figures in results.items():
        show(name, figures)
    failed = [f"{name}: read {one.read_us:.2f} µs" for name, one in results.items() if one.read_us >= MOST_READ_US]
    if "OTP" in results:
        failed += compare(results)
    else:
        print("no `erl` here: nothing to compare with (Debian: apt-get install erlang-base)")
    print(*(f"MISSED {line}" for line in failed), sep="\n", end="\n" if failed else "")
    return 1 if failed and options.check else 0


def compare(results: dict[str, Figures]) -> list[str]:
    """Print ratios to OTP; what asyncio, on which the process runs, misses."""
    otp, failed = results["OTP"], []
    for name in ("asyncio", "trio"):
        restart, burst = results[name].p50_us / otp.p50_us, results[name].burst_ms / otp.burst_ms
        print(f"{name} / OTP: crash to running p50 {restart:.2f}, burst {burst:.2f}")
        if name == "asyncio" and restart > MOST_RESTART_RATIO:
            failed.append(f"crash to running: {restart:.2f} times OTP's")
        if name == "asyncio" and burst > MOST_BURST_RATIO:
            failed.append(f"burst: {burst:.2f} times OTP's")
    return failed


if __name__ == "__main__":
    sys.exit(main())
