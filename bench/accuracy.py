"""What faults do, beside what was asked of them, measured by tools that are not ours: ping, curl, df, a program that
asks for the time, and the kernel's own accounting; and how long after its end each is undone.

Prints a table in Markdown, as docs/reference/fault-accuracy.md has it; what is further off than it may be is marked as
a miss. Where the kernel has netem, it is measured beside our emulator. Beside a busy machine latencies come out longer.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio
import anyio.to_thread

from coordinator.assembly import embedded
from coordinator.logging import task
from coordinator.ports import Control
from coordinator.record import FaultState, Submission
from coordinator.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
GROUPS = Path("/sys/fs/cgroup")
SERVE = 'python3 -c \'open("/tmp/big", "wb").truncate(1 << 26)\'; cd /tmp; exec python3 -m http.server 8000'
TELL = """import os, time
while True:
    with open("/tmp/.now", "w") as file:
        file.write(repr(time.time() - time.monotonic()))
    os.replace("/tmp/.now", "/tmp/now")
    time.sleep(0.05)
"""
CLOCK = f"exec python3 -c '{TELL}'"
SPIN = "while :; do :; done"
MEMORY = 128 << 20
MEMORY_DISK = "/dev/shm"  # noqa: S108  # the container's own
NOW = "/tmp/now"  # noqa: S108  # in the container
REORDERED_MS = 30
WINDOW_S = 4.0
PER_CPU = "% of a CPU"


@dataclass(frozen=True, slots=True)
class Target:
    """A container that a fault is put into."""

    id: str
    address: str
    pid: int

    def group(self, controller: str) -> Path:
        """Its cgroup, as the kernel says of its main process, in either version."""
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", maxsplit=2)
            if controller in controllers.split(","):
                return GROUPS / controllers / path.lstrip("/")
            if number == "0" and not (GROUPS / controller).exists():
                return GROUPS / path.lstrip("/")
        sys.exit(f"accuracy: no cgroup of {controller}")


Measure = Callable[[Target], float]


def shown(value: float) -> str:
    """With two places, and no minus before nothing."""
    return f"{round(value, 2) + 0.0:.2f}"


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a fault, what it should come to, and what tells."""

    fault: dict[str, object]
    asked: float
    unit: str
    measure: Measure
    tool: str
    less_before: bool = False
    """Whether what is measured without the fault is to be taken off."""
    within: float | None = None
    """How far off it may be, in its unit; None where nothing is promised."""

    def told(self, measured: float) -> str:
        """What was measured, and whether that is too far off."""
        missed = self.within is not None and abs(measured - self.asked) > self.within
        return shown(measured) + (" (miss)" if missed else "")


# ---------------------------------------------------------------- the tools


def ping(target: Target, *options: str) -> str:
    """What it prints."""
    argv = ["ping", "-n", *options, "-W", "3", target.address]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def times(target: Target, *options: str) -> list[float]:
    """Of every answer, in ms."""
    return [float(each) for each in re.findall(r"time=([\d.]+)", ping(target, *options))]


def round_trip(target: Target) -> float:
    """Median, in ms."""
    return statistics.median(times(target, "-c", "60", "-i", "0.05"))


def lost(target: Target) -> float:
    """Per cent of 2,000."""
    found = re.search(r"([\d.]+)% packet loss", ping(target, "-q", "-c", "2000", "-i", "0.003"))
    return float(found[1]) if found else 100.0


def unanswered(target: Target) -> float:
    """Per cent of 20."""
    found = re.search(r"([\d.]+)% packet loss", ping(target, "-q", "-c", "20", "-i", "0.02", "-w", "3"))
    return float(found[1]) if found else 100.0


def doubled(target: Target) -> float:
    """Per cent of 1,000."""
    found = re.search(r"\+(\d+) duplicates", ping(target, "-q", "-c", "1000", "-i", "0.005"))
    return int(found[1]) / 10 if found else 0.0


def overtaken(target: Target) -> float:
    """Per cent of 500 that did not wait as long as the others did."""
    took = times(target, "-c", "500", "-i", "0.01")
    return 100 * sum(each < REORDERED_MS / 2 for each in took) / len(took)


def download(target: Target) -> float:
    """Mbit/s that curl gets over some seconds."""
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{speed_download}", "-m", "6", "--noproxy", "*",
            f"http://{target.address}:8000/big"]  # fmt: skip
    return float(subprocess.run(argv, check=False, capture_output=True, text=True).stdout) * 8 / 1e6


def cpu(target: Target) -> float:
    """Per cent of one CPU, by the kernel's accounting of the container."""
    where = target.group("cpuacct")

    def used() -> float:
        if (where / "cpuacct.usage").exists():
            return int((where / "cpuacct.usage").read_text()) / 1e9
        return int((where / "cpu.stat").read_text().split()[1]) / 1e6

    before, began = used(), time.monotonic()
    time.sleep(WINDOW_S)
    return 100 * (used() - before) / (time.monotonic() - began)


def memory(target: Target) -> float:
    """MiB of anonymous memory, by the same."""
    words = (target.group("memory") / "memory.stat").read_text().split()
    return int(words[words.index("rss" if "rss" in words else "anon") + 1]) / (1 << 20)


def inside(target: Target, *argv: str) -> str:
    """What a program prints in there."""
    return subprocess.run(["docker", "exec", target.id, *argv], check=False, capture_output=True, text=True).stdout


def most_memory(target: Target) -> float:
    """MiB, as the kernel has its limit."""
    where = target.group("memory")
    name = "memory.limit_in_bytes" if (where / "memory.limit_in_bytes").exists() else "memory.max"
    text = (where / name).read_text().strip()
    return int(text) / (1 << 20) if text != "max" else 0.0


def used(target: Target) -> float:
    """Per cent of the disk that is the container's memory."""
    words = inside(target, "df", "-k", MEMORY_DISK).splitlines()[-1].split()
    taken, free = int(words[2]), int(words[3])
    return 100 * taken / (taken + free)


def ahead(target: Target) -> float:
    """By how many seconds the clock of a program of the container is ahead of this machine's."""
    time.sleep(0.5)
    return float(inside(target, "cat", NOW)) - (time.time() - time.monotonic())


def has_netem() -> bool:
    """Whether this kernel has it, tried in a network namespace of nobody's."""
    argv = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def lines(**mechanism: str) -> Iterator[Case]:
    """What our emulator and the kernel's can both do."""
    for ms in (10, 50, 200):
        fault: dict[str, object] = {"type": "network_latency", "latency": f"{ms}ms", **mechanism}
        yield Case(fault, ms, "ms", round_trip, "ping", less_before=True, within=1 + ms / 50)
    for share in (10, 30):
        yield Case({"type": "network_loss", "percent": f"{share}%", **mechanism}, share, "%", lost, "ping", within=1)


NETWORK: Final = (
    *lines(),
    Case({"type": "network_duplication", "percent": "10%"}, 10, "%", doubled, "ping"),
    Case({"type": "network_corruption", "percent": "10%"}, 10, "%", lost, "ping"),
    Case({"type": "network_reordering", "percent": "25%", "delay": f"{REORDERED_MS}ms"}, 25, "%", overtaken, "ping"),
    *(Case({"type": "network_bandwidth", "rate": f"{rate}mbit"}, rate, "Mbit/s", download, "curl", within=rate / 10)
      for rate in (1, 10)),
    Case({"type": "network_blackhole"}, 100, "%", unanswered, "ping"),
)  # fmt: skip
RESOURCES: Final = (
    *(Case({"type": "cpu_stress", "load": f"{share}%"}, share, PER_CPU, cpu, "cpu accounting", within=5)
      for share in (30, 60)),
    Case({"type": "memory_stress", "percent": "50%"}, MEMORY / 2 / (1 << 20), "MiB", memory, "memory.stat",
         less_before=True),
    Case({"type": "memory_limit", "limit": "96m"}, 96, "MiB", most_memory, "its cgroup's file"),
    Case({"type": "disk_fill", "path": MEMORY_DISK, "percent": "80%"}, 80, "%", used, "df"),
)  # fmt: skip
BUSY: Final = (Case({"type": "cpu_limit", "cpus": 0.25}, 25, PER_CPU, cpu, "cpu accounting", within=5),)
TIMED: Final = (Case({"type": "clock_skew", "offset": "1h"}, 3600, "s", ahead, "its own clock", within=0.01),)


# ---------------------------------------------------------------- the rows


def main() -> int:
    """Print the table; 1 where something was not injected, or not undone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose type has this in it")
    only = parser.parse_args().only
    logging.disable()
    print(
        "| fault | asked | measured | before | after | by | undone, ms |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    limits = ["--memory", str(MEMORY), "--memory-swap", str(MEMORY)]
    network = (*NETWORK, *lines(mechanism="netem")) if has_netem() else NETWORK
    parts: tuple[tuple[tuple[Case, ...], str, list[str]], ...] = (
        (network, SERVE, []),
        (RESOURCES, "", limits),
        (BUSY, SPIN, []),
        (TIMED, CLOCK, []),
    )
    for cases, command, options in parts:
        wanted = [case for case in cases if only in str(case.fault["type"])]
        if wanted:
            with container(command, options) as target:
                anyio.run(rows, wanted, target)
    return 0


async def rows(cases: list[Case], target: Target) -> None:
    """One after the other, through a coordinator of our own."""
    with tempfile.TemporaryDirectory() as data:
        name = f"accuracy-{uuid4().hex[:8]}"
        settings = Settings(data_dir=Path(data), service_instance_name=name, log_level="WARNING")
        async with embedded(settings) as control:
            for case in cases:
                print(await row(control, case, target), flush=True)


async def row(control: Control, case: Case, target: Target) -> str:
    """Before, with the fault on, and after it."""
    before = await anyio.to_thread.run_sync(case.measure, target)
    with task("bench"):
        accepted = await control.submit(Submission(source=scenario(case.fault, target)))
    state = None
    with anyio.fail_after(60):
        while state is not FaultState.ACTIVE:
            await anyio.sleep(0.02)
            execution = await control.execution(accepted.id)
            if execution.finished_at is not None:
                sys.exit(f"accuracy: {case.fault['type']} was not injected: {execution.reason}")
            state = execution.faults[0].state if execution.faults else None
    measured = await anyio.to_thread.run_sync(case.measure, target)
    asked_at = time.time()
    await control.stop(accepted.id, "measured")
    fault = (await control.finished(accepted.id)).faults[0]
    if fault.state is not FaultState.UNDONE or fault.undone_at is None:
        sys.exit(f"accuracy: {case.fault['type']} was not undone: {fault.state}")
    after = await anyio.to_thread.run_sync(case.measure, target)
    undone_ms = (fault.undone_at.timestamp() - asked_at) * 1000
    words = ", ".join(f"{name} {value}" for name, value in case.fault.items() if name != "type")
    told = case.told(measured - before if case.less_before else measured)
    return (
        f"| {case.fault['type']} {words} | {case.asked:g} {case.unit} | {told} | {shown(before)} | {shown(after)} "
        f"| {case.tool} | {undone_ms:.0f} |"
    )


def scenario(fault: dict[str, object], target: Target) -> str:
    """JSON is YAML."""
    name = subprocess.run(["docker", "inspect", "--format", "{{.Name}}", target.id], check=True, capture_output=True,
                          text=True).stdout.strip().lstrip("/")  # fmt: skip
    return json.dumps(
        {
            "apiVersion": "test-coordinator/v1",
            "kind": "Scenario",
            "metadata": {"name": "accuracy"},
            "targets": {"t": {"names": [name]}},
            "phases": [{"name": "fault", "duration": "120s", "faults": [{**fault, "target": "t"}]}],
        }
    )


@contextmanager
def container(command: str, options: list[str]) -> Iterator[Target]:
    """One that runs this, removed by id at the end."""
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    image = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    argv = ["docker", "run", "--detach", "--name", f"tc-bench-{uuid4().hex[:8]}", *options, image]
    argv += ["sh", "-c", command] if command else []
    made = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        look = ["docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}} {{.State.Pid}}", made]
        address, pid = subprocess.run(look, check=True, capture_output=True, text=True).stdout.split()
        yield Target(made, address, int(pid))
    finally:
        subprocess.run(["docker", "rm", "--force", made], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
