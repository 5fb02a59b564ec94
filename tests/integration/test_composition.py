"""All faults of the network at once in one namespace, put and removed in any order, each undone without the others
noticing: measured by ping, a TCP connection and the kernel's own listing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.integration.held import Held, held, state
from tests.integration.namespaces import Namespace, pair, transfer

ORDERS = 2
STRANGER = "10.99.7.77"
"""Another address of the peer: the partition is from this one alone, so that the rest can be measured beside it."""

FAULTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "latency": ("network_latency", {"protocol": "icmp"}, {"latency_ms": 60}),
    "loss": ("network_loss", {"protocol": "icmp"}, {"percent": 30}),
    "bandwidth": ("network_bandwidth", {"ports": [7001]}, {"rate_bit": 3_000_000}),
    "partition": ("drop", {"peers": [STRANGER]}, {}),
    "blackhole": ("network_blackhole", {"ports": [7002]}, {"answer": "tcp-reset"}),
    "names": ("dns_failure", {}, {"names": ["db.shop"], "mode": "timeout"}),
}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Namespace, Namespace]]:
    """The target and its peer, which has a second address."""
    with pair() as (target, peer):
        peer.run("ip", "addr", "add", f"{STRANGER}/24", "dev", "eth0")
        with peer.start(sys.executable, "-c", LISTEN) as listening:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "up\n"
            yield target, peer
            listening.kill()


LISTEN = """
import socket
server = socket.create_server(("", 7002))
print("up", flush=True)
while True:
    server.accept()[0].close()
"""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 7002), 20)"


def measured(both: tuple[Namespace, Namespace], holder: Held, on: set[str]) -> None:
    """Each fault has its effect where it is on, and none where it is not. The holder is fed meanwhile."""
    target, peer = both
    holder.wait(0.01)
    # From outside: a ping inside takes the time at which the kernel got the answer, before anything held it.
    pings = peer.pings(target.ipv4, 120, every_s=0.004)
    # 0 or 30 % of 120, by more than four standard deviations.
    assert (pings.lost_percent > 8) == ("loss" in on), pings.text[-300:]
    assert (pings.times[0] >= 60) == ("latency" in on), pings.text[-300:]
    holder.wait(0.01)
    argv = peer.argv("ping", "-n", "-q", "-c", "20", "-i", "0.004", "-W", "1", "-I", STRANGER, target.ipv4)
    strange = subprocess.run(argv, check=False, capture_output=True, text=True).stdout
    assert (" 100% packet loss" in strange) == ("partition" in on), strange
    holder.wait(0.01)
    refused = subprocess.run(target.argv(sys.executable, "-c", CONNECT, peer.ipv4), check=False, capture_output=True)
    assert (b"ConnectionRefusedError" in refused.stderr) == ("blackhole" in on), refused.stderr
    holder.wait(0.01)
    speed = transfer(target, peer, 0.8, port=7001)
    assert (speed < 6) == ("bandwidth" in on), speed


def listed(holder: Held) -> set[str]:
    """The faults that the kernel has a live table of."""
    tables = json.loads(holder.ask("look")["out"])
    assert all(each["alive"] for each in tables.values())
    return set(tables)


@pytest.mark.parametrize("seed", range(ORDERS))
def test_any_order(both: tuple[Namespace, Namespace], seed: int) -> None:
    """Random steps: what is on is on, what is off is off, after each; in the end nothing of ours is left."""
    random = Random(seed)
    before = state(both[0])
    with held(both[0]) as holder:
        on: dict[str, str] = {}
        putting, removing = list(FAULTS), list(FAULTS)
        random.shuffle(putting)
        random.shuffle(removing)
        steps = [*putting[:3], removing[0], *putting[3:]]
        for name in steps:
            toggle(holder, on, name)
        for name in [each for each in FAULTS if each not in on]:
            toggle(holder, on, name)
        measured(both, holder, set(on))
        for name in removing[:-1]:
            toggle(holder, on, name)
            assert listed(holder) == set(on.values())
            measured(both, holder, set(on))
        toggle(holder, on, removing[-1])
        assert state(both[0]) == before
        measured(both, holder, set())


def toggle(holder: Held, on: dict[str, str], name: str) -> None:
    """On where it is off, off where it is on."""
    if name in on:
        holder.remove(on.pop(name))
    else:
        kind, match, params = FAULTS[name]
        on[name] = holder.put(kind, match, **params)
