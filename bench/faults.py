"""From each fault's due time to its effect, and from the end of its time to its undo, beside one-at-a-time use of the
docker command line in the same run: one process after another for each container, as Pumba and shell scripts do it.

Prints medians in ms and their ratio for each type, on some containers at once. Ours ends with an effect that was seen;
bare ends when the last process does, which proves nothing. Where a kernel has no netem a tbf stands for it: what is
compared is the way to the kernel, not what it does there. Then a partition of 20 containers: when the last packet came
through at each, as plain sockets see it, and how far the first and the last of these lie apart. Needs root and Docker.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import uuid4

import anyio
import anyio.to_thread

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from actors.docker.host_namespaces import HostNamespaces
from coordinator import __version__
from coordinator.assembly import embedded
from coordinator.faults.catalogue import describe_all
from coordinator.logging import task
from coordinator.ports import Control
from coordinator.record import Execution, FaultState, Submission
from coordinator.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
LABEL = "test-coordinator.bench"
MS = 1000
LASTS_S = 0.5
WATCHED_S = 3.0
SPREAD = "spread"
SPREAD_OF = 20
SPREAD_LIMIT_MS = 100.0
NEW_NETWORK = 0x4000_0000
PORT = 9
OFF = "/off"
SILENT_ROUNDS = 30
PACE_S = 0.001
LOOK = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
RUNS: Final = "python3 -m http.server 8000 >/dev/null 2>&1 & while :; do sleep 1000; done"

Words = Sequence[str]
IN_NETWORK: Final = (
    *("run", "--rm", "--pull", "never", "--network", "container:{id}", "--user", "0:0", "--cap-drop", "ALL"),
    *("--cap-add", "NET_ADMIN", "--entrypoint"),
)
RULES: Final = (
    "add table inet bare; add chain inet bare c { type filter hook prerouting priority -300; }; "
    "add rule inet bare c ip saddr 192.0.2.1 drop"
)
DROP: Final = (
    (*IN_NETWORK, "nft", "{helper}", RULES),
    (*IN_NETWORK, "nft", "{helper}", "delete table inet bare"),
)
QDISC: Final = ("dev", "eth0", "root", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "50ms")
SLOW: Final = (
    (*IN_NETWORK, "tc", "{helper}", "qdisc", "add", *QDISC),
    (*IN_NETWORK, "tc", "{helper}", "qdisc", "del", *QDISC[:3]),
)
BESIDE: Final = (
    ("run", "--detach", "--name", "{network}-beside-{id}", "--label", LABEL, "{image}", "sleep", "60"),
    ("rm", "--force", "{network}-beside-{id}"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault's parameters, and what the docker command line does for one container: there and back."""

    params: Mapping[str, object]
    there: Words = ()
    back: Words = ()


CALL: Final = {"method": "GET", "port": 8000, "path": "/"}
CASES: Final[Mapping[str, Case]] = {
    "container_kill": Case({}, ("kill", "{id}"), ("start", "{id}")),
    "container_crash": Case({}, ("kill", "{id}"), ("start", "{id}")),
    "container_stop": Case({"grace": "0s"}, ("stop", "--time", "0", "{id}"), ("start", "{id}")),
    "container_restart": Case({"grace": "0s"}, ("restart", "--time", "0", "{id}")),
    "container_pause": Case({}, ("pause", "{id}"), ("unpause", "{id}")),
    "process_kill": Case({"name": "sleep"}, ("exec", "{id}", "busybox", "killall", "sleep")),
    "process_freeze": Case(
        {"name": "sleep"},
        ("exec", "{id}", "busybox", "killall", "-STOP", "sleep"),
        ("exec", "{id}", "busybox", "killall", "-CONT", "sleep"),
    ),
    "exec": Case(
        {"command": ["touch", OFF], "undo_command": ["rm", "-f", OFF]},
        ("exec", "{id}", "touch", OFF),
        ("exec", "{id}", "rm", "-f", OFF),
    ),
    "network_disconnect": Case(
        {"network": "{network}"},
        ("network", "disconnect", "{network}", "{id}"),
        ("network", "connect", "{network}", "{id}"),
    ),
    "network_partition": Case({"shape": "random-halves"}, *DROP),
    "network_blackhole": Case({"ports": [5432], "answer": "tcp-reset"}, *DROP),
    "network_latency": Case({"latency": "50ms"}, *SLOW),
    "network_loss": Case({"percent": "10%"}, *SLOW),
    "network_duplication": Case({"percent": "10%"}, *SLOW),
    "network_corruption": Case({"percent": "10%"}, *SLOW),
    "network_reordering": Case({"percent": "10%"}, *SLOW),
    "network_bandwidth": Case({"rate": "10mbit"}, *SLOW),
    "dns_failure": Case({"names": ["db.shop"]}, *DROP),
    "cpu_stress": Case({"workers": 1, "load": "20%"}, *BESIDE),
    "memory_stress": Case({"size": "8m"}, *BESIDE),
    "disk_io_stress": Case({"workers": 1, "path": "/usr"}, *BESIDE),
    "disk_fill": Case(
        {"path": "/usr", "size": "1m"},
        ("exec", "{id}", "dd", "if=/dev/zero", f"of={OFF}", "bs=1M", "count=1"),
        ("exec", "{id}", "rm", "-f", OFF),
    ),
    "cpu_limit": Case({"cpus": 0.5}, ("update", "--cpus", "0.5", "{id}"), ("update", "--cpus", "2", "{id}")),
    "memory_limit": Case(
        {"limit": "64m"},
        ("update", "--memory", "64m", "--memory-swap", "128m", "{id}"),
        ("update", "--memory", "1g", "--memory-swap", "2g", "{id}"),
    ),
    "pid_exhaustion": Case(
        {"leave": 5}, ("update", "--pids-limit", "50", "{id}"), ("update", "--pids-limit", "1000", "{id}")
    ),
    "clock_skew": Case({"offset": "1h"}),
    "http_call": Case({"inject": CALL, "undo": CALL}),
}


@dataclass(slots=True)
class Times:
    """Milliseconds, one entry per round."""

    effect: list[float] = field(default_factory=list)
    undo: list[float] = field(default_factory=list)
    there: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)

    def row(self, name: str, count: int) -> str:
        """One line of the table."""
        pairs = ((self.effect, self.there), (self.undo, self.back))
        return f"{name:<20}{count:>4}" + "".join(_compared(ours, bare) for ours, bare in pairs)


def _compared(ours: list[float], bare: list[float]) -> str:
    shown = [f"{statistics.median(times):.0f}" if times else "-" for times in (ours, bare)]
    ratio = f"{statistics.median(ours) / statistics.median(bare):.2f}" if ours and bare else "-"
    return f"{shown[0]:>10}{shown[1]:>10}{ratio:>8}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Containers in a network of their own, and the images they and helpers run."""

    ids: tuple[str, ...]
    tag: str
    network: str
    image: str
    helper: str

    def filled(self, word: str, container: str = "") -> str:
        """A word of a case, about this container."""
        values = {"id": container, "network": self.network, "image": self.image, "helper": self.helper}
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        return word


def main() -> int:
    """Measure and print; 1 if something was not injected, or the spread is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="types of faults, and `spread` of a partition; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--containers", type=int, default=10)
    parser.add_argument("--helpers", action="store_true", help="by helper containers, also where the host may enter")
    options = parser.parse_args()
    logging.disable()
    if options.helpers:
        mock.patch.object(HostNamespaces, "why_not", return_value="helpers are asked for").start()
    every = [*(doc.name for doc in describe_all()), SPREAD]
    wanted = options.types or every
    if unknown := sorted(set(wanted) - set(every)):
        parser.error(f"no such type: {', '.join(unknown)}")
    print(f"{'ms':<20}{'n':>4}{'effect':>10}{'bare':>10}{'ratio':>8}{'undo':>10}{'bare':>10}{'ratio':>8}")
    failed = False
    with fleet(options.containers if wanted != [SPREAD] else 0) as made:
        # Whoever was in no network has another interface afterwards, which the command line would have to look for.
        for name in sorted(set(wanted) - {SPREAD}, key=lambda name: (name == "network_disconnect", every.index(name))):
            if name not in CASES:
                print(f"{name:<20}   not measured here")
                continue
            times = anyio.run(measured, name, made, options.rounds)
            failed = failed or not times.effect
            print(times.row(name, options.containers), flush=True)
    if SPREAD in wanted:
        with fleet(SPREAD_OF) as made:
            apart = anyio.run(spreads, made, options.rounds)
        print(
            f"\npartition of {SPREAD_OF}: median spread {statistics.median(apart):.0f} ms, limit {SPREAD_LIMIT_MS:.0f}"
        )
        failed = failed or statistics.median(apart) > SPREAD_LIMIT_MS
    return int(failed)


# ---------------------------------------------------------------- each fault beside the command line


async def measured(name: str, made: Fleet, rounds: int) -> Times:
    """Ours and bare, one after the other in each round, so that a busy moment hits both."""
    times, case = Times(), CASES[name]
    async with coordinating(made) as control:
        for _ in range(rounds):
            await ours(control, name, case, made, times)
            for words, spent in ((case.there, times.there), (case.back, times.back)):
                if words:
                    spent.append(await anyio.to_thread.run_sync(bare, words, made))
    return times


async def ours(control: Control, name: str, case: Case, made: Fleet, times: Times) -> None:
    """One execution with the fault on all containers, undone after its own time."""
    params = json.loads(made.filled(json.dumps(case.params)))
    fault = {"type": name, "target": "all", **params}
    execution = await played(control, scenario(fault, {"all": {"labels": {LABEL: made.tag}}}))
    done = execution.faults[0]
    effects = [target.effective_at for target in done.targets if target.effective_at is not None]
    if done.due_at is None or not effects:
        print(f"{name}: {execution.reason}", file=sys.stderr)
        return
    times.effect.append((max(effects) - done.due_at).total_seconds() * MS)
    ends = [target.undone_at for target in done.targets if target.undone_at is not None]
    if ends and done.state is FaultState.UNDONE and (case.back or not case.there):
        times.undo.append(((max(ends) - done.due_at).total_seconds() - LASTS_S) * MS)


async def played(control: Control, definition: str) -> Execution:
    """One execution to its end."""
    with task("bench"):
        accepted = await control.submit(Submission(source=definition))
    return await control.finished(accepted.id)


def bare(words: Words, made: Fleet) -> float:
    """The docker command line for one container after the other."""
    begun = time.perf_counter()
    for container in made.ids:
        docker(*(made.filled(word, container) for word in words))
    return (time.perf_counter() - begun) * MS


def scenario(fault: Mapping[str, object], targets: Mapping[str, object], lasts_s: float = LASTS_S) -> str:
    """JSON is YAML."""
    fault = {**fault, "at": "500ms", "for": f"{lasts_s * MS:.0f}ms"}
    head = {"apiVersion": "test-coordinator/v1", "kind": "Scenario", "metadata": {"name": "bench"}}
    phase = {"name": "fault", "duration": f"{lasts_s * MS + 700:.0f}ms", "faults": [fault]}
    return json.dumps({**head, "targets": targets, "phases": [phase]})


# ---------------------------------------------------------------- the spread of a partition


async def spreads(made: Fleet, rounds: int) -> list[float]:
    """Milliseconds between the first and the last container that hears nothing any more, per round."""
    apart = []
    half = len(made.ids) // 2
    sides = {side: {"names": [docker("inspect", "--format", "{{.Name}}", each).lstrip("/") for each in ids]}
             for side, ids in (("left", made.ids[:half]), ("right", made.ids[half:]))}  # fmt: skip
    definition = scenario({"type": "network_partition", "between": ["left", "right"]}, sides, WATCHED_S)
    async with coordinating(made) as control:
        for _ in range(rounds):
            watcher = await anyio.to_thread.run_sync(watching, made.ids)
            execution = await played(control, definition)
            out, _ = await anyio.to_thread.run_sync(watcher.communicate)
            last = json.loads(out)
            due = execution.faults[0].due_at
            if due is None:
                sys.exit(f"bench: no partition: {execution.reason}")
            after = sorted((each - due.timestamp()) * MS for each in last)
            apart.append(after[-1] - after[0])
            print(f"last packet {after[0]:.0f} to {after[-1]:.0f} ms after due: {apart[-1]:.0f} ms apart", flush=True)
    return apart


def watching(ids: Sequence[str]) -> subprocess.Popen[str]:
    """A process that watches, ready."""
    argv = [sys.executable, __file__, "--watch", *ids]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "up\n":
        sys.exit("bench: the namespaces of the containers cannot be entered: root is needed")
    return process


def watch(ids: Sequence[str]) -> None:
    """Send to each container from its counterpart, and print when each has heard the last, once all are silent."""
    looked = [docker("inspect", "--format", LOOK, each).split() for each in ids]
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    plugs = []
    for pid, _ in looked:
        enter(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
        plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        plug.bind(("", PORT))
        plug.setblocking(False)
        plugs.append(plug)
    enter(home)
    last = [0.0] * len(plugs)
    silent = 0
    print("up", flush=True)
    while silent < SILENT_ROUNDS:
        for place, (_, address) in enumerate(looked):
            with suppress(OSError):
                plugs[place - len(plugs) // 2].sendto(b"x", (address, PORT))
        heard = False
        for place, plug in enumerate(plugs):
            with suppress(BlockingIOError):
                while plug.recv(1):
                    last[place], heard = time.time(), True
        silent = 0 if heard or not all(last) else silent + 1
        time.sleep(PACE_S)
    print(json.dumps(last))


def enter(namespace: int) -> None:
    """This process is in that network namespace from here on."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, NEW_NETWORK):
        sys.exit(f"bench: {os.strerror(ctypes.get_errno())}")


# ---------------------------------------------------------------- the stage


@asynccontextmanager
async def coordinating(made: Fleet) -> AsyncIterator[Control]:
    """A coordinator of its own, as long as it is needed."""
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(
            data_dir=Path(data),
            service_instance_name=f"bench-{made.tag}",
            log_level="WARNING",
            undo_deadline_seconds=30,
        )
        async with embedded(settings) as control:
            yield control


@contextmanager
def fleet(count: int) -> Iterator[Fleet]:
    """Containers that serve and idle; all is removed at the end."""
    tag = uuid4().hex[:8]
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    image = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    endpoint = Settings().docker_host
    runner = DockerCommandRunner(endpoint, lambda _: "")
    helper = anyio.run(HelperImage("", __version__).known, runner)
    network = f"tc-bench-{tag}"
    ids: list[str] = []
    try:
        docker("network", "create", "--label", LABEL, network)
        for number in range(count):
            options = ("--detach", "--network", network, "--label", f"{LABEL}={tag}", "--name", f"{network}-{number}")
            ids.append(docker("run", *options, image, "sh", "-c", RUNS))
        yield Fleet(tuple(ids), tag, network, image, helper)
    finally:
        left = [each for each in ids if each]
        beside = docker("ps", "--all", "--quiet", "--filter", f"name={network}-beside-").split()
        if left or beside:
            docker("rm", "--force", *left, *beside)
        docker("network", "rm", network)


def docker(*argv: str) -> str:
    """What the docker command line prints; ends the program where it fails."""
    done = subprocess.run(["docker", *argv], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: docker {' '.join(argv[:2])}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(sys.argv[2:])
    else:
        sys.exit(main())
