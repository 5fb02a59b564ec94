"""Two network namespaces with a cable between them, for what acts inside one. Needs root, iproute2 and nftables."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from actors.docker.programs import queue_rules
from actors.docker.programs.traffic import Chain, Traffic, free_slot, traffic
from tests.conftest import PATIENCE, ROOT

PROGRAMS = ROOT / "actors" / "docker" / "programs"
TOOLS = ("ip", "nft", "tc", "ping")
GENEROUS_S = 30.0 * PATIENCE


def run(*argv: str, given: str = "", timeout_s: float = GENEROUS_S) -> str:
    """What a command prints; the test fails with its complaint when it fails."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr or done.stdout}\n{given}"
    return done.stdout


class Namespace:
    """One of the two: its name and its addresses."""

    def __init__(self, name: str, ipv4: str, ipv6: str) -> None:
        self.name = name
        self.ipv4 = ipv4
        self.ipv6 = ipv6

    def argv(self, *argv: str) -> list[str]:
        """The command inside this namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, given: str = "", timeout_s: float = GENEROUS_S) -> str:
        """What a command prints inside."""
        return run(*self.argv(*argv), given=given, timeout_s=timeout_s)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """A command inside that goes on, spoken to by lines."""
        return subprocess.Popen(
            self.argv(*argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def pings(self, address: str, count: int, *, every_s: float = 0.01, size: int = 56) -> Pings:
        """Echoes as iputils' ping tells of them."""
        argv = ["ping", "-n", "-c", str(count), "-i", str(every_s), "-s", str(size), "-W", "1", address]
        done = subprocess.run(self.argv(*argv), capture_output=True, text=True, check=False, timeout=GENEROUS_S * 2)
        return Pings(done.stdout, count)


class Pings:
    """What a run of ping found."""

    def __init__(self, text: str, sent: int) -> None:
        self.text = text
        self.times = sorted(float(each) for each in re.findall(r"time=([\d.]+) ms(?! \(DUP!\))", text))
        self.order = [int(each) for each in re.findall(r"icmp_seq=(\d+) [^\n]*time=", text)]
        self.copies = text.count("(DUP!)")
        self.lost_percent = 100 * (1 - (len(self.order) - self.copies) / sent)

    @property
    def median_ms(self) -> float:
        """The one in the middle; an error where nothing came back."""
        assert self.times, self.text
        return self.times[len(self.times) // 2]


@contextmanager
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """The target and its peer, joined by a cable, gone at the end."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.fail(f"needs root and {', '.join(missing) or 'nothing else'}: run tools/provision.sh netfilter as root")
    stem = f"tct{uuid4().hex[:8]}"
    made = [Namespace(f"{stem}{n}", f"10.99.7.{n}", f"fd99:7::{n}") for n in (1, 2)]
    try:
        for each in made:
            run("ip", "netns", "add", each.name)
        # From inside: older kernels want the name to be free where the command runs, even if it ends up elsewhere.
        link = ("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", made[1].name)
        run("ip", "-n", made[0].name, *link)
        for each in made:
            for argv in (
                ("addr", "add", f"{each.ipv4}/24", "dev", "eth0"),
                ("addr", "add", f"{each.ipv6}/64", "dev", "eth0", "nodad"),
                ("link", "set", "lo", "up"),
                ("link", "set", "eth0", "up"),
            ):
                run("ip", "-n", each.name, *argv)
        # The first packets resolve neighbours, on a link whose carrier has only just come.
        for address in (made[1].ipv4, made[1].ipv6):
            made[0].run("ping", "-n", "-c", "1", "-w", "20", address)
        yield made[0], made[1]
    finally:
        for each in made:
            subprocess.run(["ip", "netns", "del", each.name], check=False, capture_output=True)


def table(family: str, fault: str, who: Traffic, side: str, chains: Iterable[Chain], lease_s: int) -> str:
    """A fault's table as nft reads it, with the sets and the counter that its chains speak of."""
    script = [f"table {family} tc_{fault} {{", "counter hits { }"]
    for name, kind, networks in ((f"{side}4", "ipv4_addr", who.ipv4), (f"{side}6", "ipv6_addr", who.ipv6)):
        elements = ", ".join(f"{each} timeout {lease_s}s" for each in networks)
        inside = f"elements = {{ {elements} }};" if networks else ""
        script.append(f"set {name} {{ type {kind}; flags interval,timeout; {inside} }}")
    for chain in chains:
        devices = f"devices = {{ {', '.join(chain.devices)} }}" if chain.devices else ""
        script.append(f"chain {chain.name} {{ type filter hook {chain.hook} {devices} priority {chain.priority};")
        script += [*chain.rules, "}"]
    return "\n".join([*script, "}"]) + "\n"


def queues_natively(namespace: Namespace) -> bool:
    """Whether nft itself can queue here."""
    argv = namespace.argv("nft", "-c", "-f", "-")
    return subprocess.run(argv, input=queue_rules.PROBE, text=True, capture_output=True, check=False).returncode == 0


def add_target(namespace: Namespace, table: str, queue: int) -> None:
    """What the chain that queues lacks where nft cannot, put inside."""
    program = "import sys; from actors.docker.programs.queue_rules import *; add_target(sys.argv[1], int(sys.argv[2]))"
    namespace.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", program, table, str(queue))


class Emulated:
    """The emulator inside a namespace, and the tables that feed it."""

    def __init__(self, namespace: Namespace, process: subprocess.Popen[str]) -> None:
        self.namespace = namespace
        self.process = process
        self.rules: list[dict[str, Any]] = []
        self.native = queues_natively(namespace)
        assert self.hear() == {"ready": True, "queue": queue_rules.QUEUE}

    def hear(self) -> dict[str, Any]:
        """The next line it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        return dict(json.loads(line))

    def say(self, line: str) -> dict[str, Any]:
        """One line to it, and its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        return self.hear()

    def put(self, kind: str, params: dict[str, Any], about: dict[str, Any] | None = None, lease_s: int = 600) -> str:
        """One more fault, as rules of the emulator and of the kernel."""
        fault, slot = uuid4().hex, free_slot({each["slot"] for each in self.rules})
        self.set([*self.rules, {"fault": fault, "slot": slot, "kind": kind, "params": params}])
        who = traffic(about, "match")
        chains = queue_rules.chains(who, slot, native=self.native)
        self.namespace.run("nft", "-f", "-", given=table("inet", fault, who, "from", chains, lease_s))
        if not self.native:
            add_target(self.namespace, f"tc_{fault}", queue_rules.QUEUE)
        return fault

    def set(self, rules: list[dict[str, Any]]) -> None:
        """These rules and no others."""
        assert self.say(json.dumps({"rules": rules})) == {"rules": len(rules)}
        self.rules = rules

    def remove(self, fault: str) -> None:
        """One fault less."""
        assert self.say('{"pass": true}') == {"pass": True}
        self.namespace.run("nft", "delete", "table", "inet", f"tc_{fault}")
        assert self.say('{"pass": false}') == {"pass": False}
        self.set([each for each in self.rules if each["fault"] != fault])

    def counters(self) -> dict[str, Any]:
        """What it has counted."""
        return self.say('{"counters": true}')

    def usage(self) -> tuple[float, float]:
        """Seconds of CPU it has used, and MiB of memory it holds."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123  # a kernel's file
            fields = file.read().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK"), int(fields[21]) * os.sysconf("SC_PAGESIZE") / 2**20


@contextmanager
def fed(process: subprocess.Popen[str]) -> Iterator[None]:
    """A program that ends with its input, and is waited for."""
    with process:
        try:
            yield
        finally:
            if process.poll() is None:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(GENEROUS_S)


@contextmanager
def emulated(namespace: Namespace, seed: int = 3) -> Iterator[Emulated]:
    """An emulator that runs inside, and ends with its input."""
    program = str(PROGRAMS / "emulator.py")
    process = namespace.start(sys.executable, "-I", "-S", program, str(queue_rules.QUEUE), str(seed))
    with fed(process):
        yield Emulated(namespace, process)


def transfer(source: Namespace, sink: Namespace, seconds: float, port: int = 7000) -> float:
    """Mbit/s of one TCP connection, as the receiving end counts them, from the first byte on for so many seconds."""
    with sink.start(sys.executable, "-c", RECEIVER, str(port), str(seconds)) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "listening\n"
        source.run(sys.executable, "-c", SENDER, sink.ipv4, str(port), timeout_s=seconds + GENEROUS_S)
        out, error = receiver.communicate(timeout=GENEROUS_S)
    assert out, error
    return float(out)


RECEIVER = """
import socket, sys, time
server = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
connection, _ = server.accept()
buffer = bytearray(1 << 20)
connection.recv_into(buffer)
first = last = time.monotonic()
count = 0
while last - first < float(sys.argv[2]) and (got := connection.recv_into(buffer)):
    last = time.monotonic()
    count += got
print(count * 8 / 1e6 / (last - first))
"""
SENDER = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
block = bytes(1 << 18)
try:
    while True:
        connection.send(block)
except ConnectionError:
    pass
"""
