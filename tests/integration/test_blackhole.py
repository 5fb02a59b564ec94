"""A blackhole as whoever holds a namespace puts it, and on the real engine: measured by plain sockets on both sides."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.integration.coordinator_process import Coordinator, eventually
from tests.integration.held import Held
from tests.integration.namespaces import GENEROUS_S, Namespace
from tests.integration.sandbox import Container
from tests.integration.test_impairment import played, undo
from tests.integration.test_partition import reaches, ruleset

STOPPED, OPEN = 7000, 7001
FAMILIES = ("ipv4", "ipv6")
SERVER = """
import select, socket
tcp, udp = [], []
for port in (7000, 7001):
    tcp.append(socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True))
    udp.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    udp[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp[-1].bind(("::", port))
print("up", flush=True)
while True:
    for each in select.select(tcp + udp, [], [])[0]:
        if each in tcp:
            each.accept()[0].close()
        else:
            each.sendto(*each.recvfrom(100))
"""
CLIENT = """
import json, socket, sys, threading
found = {}
def attempt(family, address, port, kind, patience):
    v6 = ":" in address
    sort = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, sort) as plug:
        plug.settimeout(patience)
        try:
            plug.connect((address, port))
            if kind == "udp":
                plug.send(b"x")
                plug.recv(10)
            told = "answered"
        except TimeoutError:
            told = "silent"
        except OSError as error:
            told = error.strerror
    found[f"{family} {kind} {port}"] = told
threads = [threading.Thread(target=attempt, args=each) for each in json.loads(sys.argv[1])]
for each in threads: each.start()
for each in threads: each.join()
print(json.dumps(found))
"""
SILENT_S = 0.4
"""So long nothing comes where nothing is expected."""

REFUSED, NO_ROUTE = "Connection refused", "No route to host"


@pytest.fixture(scope="module")
def serving(both: tuple[Namespace, Namespace]) -> Iterator[tuple[Namespace, Namespace]]:
    """TCP and UDP on both sides, at two ports."""
    servers = [each.start(sys.executable, "-c", SERVER) for each in both]
    try:
        for each in servers:
            assert each.stdout is not None
            assert each.stdout.readline() == "up\n"
        yield both
    finally:
        for each in servers:
            each.kill()
            each.communicate()


def asked(source: Namespace, target: Namespace, tcp: str, udp: str) -> subprocess.Popen[str]:
    """Both ports of the target by TCP and UDP, over IPv4 and IPv6: patient where there should be an answer."""
    attempts = []
    for family in FAMILIES:
        for kind, expected in (("tcp", tcp), ("udp", udp)):
            for port in (STOPPED, OPEN):
                silent = port == STOPPED and expected == "silent"
                attempts.append((family, getattr(target, family), port, kind, SILENT_S if silent else GENEROUS_S))
    return source.start(sys.executable, "-c", CLIENT, json.dumps(attempts))


def told(client: subprocess.Popen[str]) -> dict[str, str]:
    """What it found."""
    out, error = client.communicate(timeout=GENEROUS_S * 2)
    assert not error
    return dict(json.loads(out))


def expected(tcp: str, udp: str) -> dict[str, str]:
    """What is found where one port is stopped."""
    return {
        f"{family} {kind} {port}": result if port == STOPPED else "answered"
        for family in FAMILIES
        for kind, result in (("tcp", tcp), ("udp", udp))
        for port in (STOPPED, OPEN)
    }


@pytest.mark.parametrize(
    ("direction", "answer", "outward", "inward"),
    [
        ("both", "drop", ("silent", "silent"), ("silent", "silent")),
        ("both", "tcp-reset", (REFUSED, "silent"), (REFUSED, "silent")),
        ("both", "unreachable", (NO_ROUTE, "silent"), (NO_ROUTE, "silent")),
        ("out", "drop", ("silent", "silent"), ("silent", "silent")),
        ("out", "tcp-reset", (REFUSED, "silent"), ("silent", "silent")),
        ("in", "tcp-reset", ("silent", "silent"), (REFUSED, "silent")),
    ],
)
def test_what_each_side_is_told(
    serving: tuple[Namespace, Namespace],
    holder: Held,
    direction: str,
    answer: str,
    outward: tuple[str, str],
    inward: tuple[str, str],
) -> None:
    """At the port that is stopped alone; UDP is sent and never answered, by TCP it is what was asked for."""
    target, peer = serving
    fault = holder.put("network_blackhole", {"ports": [STOPPED]}, direction=direction, answer=answer)
    clients = asked(target, peer, *outward), asked(peer, target, *inward)
    assert told(clients[0]) == expected(*outward)
    assert told(clients[1]) == expected(*inward)
    assert holder.remove(fault)["packets"] > 0
    clients = asked(target, peer, "answered", "answered"), asked(peer, target, "answered", "answered")
    for client in clients:
        assert set(told(client).values()) == {"answered"}


def test_some_hosts_alone_and_others_by_the_next_put(serving: tuple[Namespace, Namespace], holder: Held) -> None:
    """Whoever is on the other side may move: in place, with its counter. Neighbours are found all the while."""
    target, peer = serving
    fault = holder.put("network_blackhole", {"peers": ["192.0.2.0/24", "192.0.2.1"]}, answer="unreachable")
    assert target.pings(peer.ipv4, 1).times
    holder.put("network_blackhole", {"peers": ["fd99:7::/64"]}, fault, answer="unreachable")
    for each in serving:
        each.run("ip", "neigh", "flush", "dev", "eth0")
    assert not target.pings(peer.ipv6, 1).times
    assert target.pings(peer.ipv4, 1).times
    assert "FAILED" not in target.run("ip", "-6", "neigh", "show", "to", peer.ipv6)
    assert holder.remove(fault)["packets"] > 0


SEND = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 9))"


def test_an_interface_that_comes_later(serving: tuple[Namespace, Namespace], holder: Held) -> None:
    """Nothing gets out there, from the first moment; after a while nobody is told of it either, and what was counted
    stays counted.
    """
    target, _ = serving
    fault = holder.put("network_blackhole", {"peers": ["10.98.0.0/16"]})
    target.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8")
    try:
        target.run("ip", "addr", "add", "10.98.0.1/16", "dev", "eth7")
        for device in ("eth7", "eth8"):
            target.run("ip", "link", "set", device, "up")
        target.run("ip", "neigh", "add", "10.98.0.2", "lladdr", "02:00:00:00:00:01", "dev", "eth7")
        argv = target.argv(sys.executable, "-c", SEND, "10.98.0.2")
        until, refusals = time.monotonic() + GENEROUS_S, 0
        while subprocess.run(argv, check=False, capture_output=True).returncode:
            assert time.monotonic() < until
            refusals += 1
            holder.wait(0.3)
        listed = json.loads(holder.ask("look")["out"])[fault]
        assert refusals > 1
        # One may come between the look at the old counter and the new one that goes on from there.
        assert listed["packets"] >= refusals, "what was counted before stays counted"
    finally:
        target.run("ip", "link", "del", "eth7")
    holder.wait(0.1)
    holder.remove(fault)


def test_every_rule_that_stops_lives_by_a_lease(both: tuple[Namespace, Namespace], holder: Held) -> None:
    """Each is about a set, of which the kernel itself forgets every element; test_partition waits for that."""
    fault = holder.put("network_blackhole", answer="unreachable")
    listed = json.loads(both[0].run("nft", "-j", "list", "ruleset"))["nftables"]
    sets = [each["set"] for each in listed if "set" in each]
    assert sorted(each["name"] for each in sets) == ["from4", "from6", "to4", "to4", "to6", "to6"]
    assert [each["elem"]["timeout"] for one in sets for each in one["elem"]] == [10] * 6
    rules = [json.dumps(each["rule"]["expr"]) for each in listed if "rule" in each]
    stopping = [rule for rule in rules if '"drop"' in rule or '"reject"' in rule]
    assert len(stopping) == 8
    assert all('"@from' in rule or '"@to' in rule for rule in stopping)
    holder.remove(fault)


def test_on_the_real_engine(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """Stopped between two containers, and undone byte for byte."""
    before = ruleset(pair[1])
    assert reaches(*pair)
    execution_id = played(served, pair, {"type": "network_blackhole", "target": "b", "to": "a"})
    assert not reaches(*pair)
    undo(served, execution_id, "network_blackhole")
    assert reaches(*pair)
    eventually(lambda: ruleset(pair[1]) == before, "the rules from before")
