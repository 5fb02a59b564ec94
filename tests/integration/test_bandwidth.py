"""Shaped bandwidth in a real namespace, measured by a TCP transfer: the planned commands, run in the planned order."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from actors.docker.programs import bandwidth
from actors.docker.programs.bandwidth import Bandwidth
from actors.docker.programs.traffic import traffic
from tests.integration.namespaces import GENEROUS_S, Namespace, table, transfer

DEVICE = "eth0"
FAST = 200.0
"""Mbit/s that an untouched link makes beside any load, and no limit here allows."""


class Shaped:
    """A namespace, and what is limited in it."""

    def __init__(self, target: Namespace) -> None:
        self.target = target

    def qdiscs(self) -> object:
        """As tc tells of them."""
        return json.loads(self.target.run("tc", "-j", "qdisc", "show"))

    def tc(self, lines: list[str]) -> None:
        """In one process, each in its turn."""
        self.target.run("tc", "-batch", "-", given="\n".join(lines) + "\n")

    def limit(self, slot: int, rate_mbit: float, about: dict[str, object] | None = None, lease_s: int = 600) -> str:
        """What leaves and what arrives."""
        fault, who = uuid4().hex, traffic(about, "match")
        wanted = bandwidth.bandwidth({"rate_bit": rate_mbit * 1e6}, "params")
        links = self.target.run("ip", "-o", "link")
        for device in (bandwidth.ARRIVING, bandwidth.LEAVING):
            if f" {device}: " not in links:
                for argv in bandwidth.made(device):
                    self.target.run(*argv)
            self.tc(bandwidth.limit(device, slot, wanted))
        ways = ("to", bandwidth.leaving(who, slot, [DEVICE])), ("from", bandwidth.arriving(who, slot, [DEVICE]))
        for side, chain in ways:
            self.target.run("nft", "-f", "-", given=table("netdev", fault, who, side, [chain], lease_s))
        return fault

    def remove(self, fault: str, slot: int) -> None:
        """One fault's limit."""
        self.target.run("nft", "delete", "table", "netdev", f"tc_{fault}")
        for device in (bandwidth.ARRIVING, bandwidth.LEAVING):
            self.tc([*bandwidth.drained(device, slot), *bandwidth.removed(device, slot)])

    def unmake(self) -> None:
        """Everything that is left."""
        for device in (bandwidth.ARRIVING, bandwidth.LEAVING):
            for argv in bandwidth.unmade(device):
                self.target.run(*argv)


@pytest.fixture
def shaped(both: tuple[Namespace, Namespace]) -> Iterator[Shaped]:
    """The target; afterwards it is as it was."""
    made = Shaped(both[0])
    before = made.qdiscs()
    yield made
    made.unmake()
    assert made.qdiscs() == before
    assert both[0].run("nft", "list", "ruleset") == ""


@pytest.mark.parametrize("rate_mbit", [1, 10])
def test_bandwidth_is_what_was_asked_for(shaped: Shaped, both: tuple[Namespace, Namespace], rate_mbit: int) -> None:
    """Within 10 % in both directions; the link is as fast as before when it is gone."""
    target, peer = both
    fault = shaped.limit(0, rate_mbit)
    assert transfer(target, peer, 4) == pytest.approx(rate_mbit, rel=0.1)
    assert transfer(peer, target, 4) == pytest.approx(rate_mbit, rel=0.1)
    shaped.remove(fault, 0)
    assert transfer(target, peer, 0.5) > FAST
    assert transfer(peer, target, 0.5) > FAST


def test_only_what_is_meant_is_slow(shaped: Shaped, both: tuple[Namespace, Namespace]) -> None:
    """Two limits side by side, by port; a third port is untouched; removing one leaves the other."""
    target, peer = both
    first = shaped.limit(0, 2, {"ports": [7001]})
    second = shaped.limit(1, 20, {"ports": [7002]})
    assert transfer(target, peer, 2, port=7001) < 4
    assert 10 < transfer(target, peer, 1, port=7002) < 30
    assert transfer(target, peer, 0.5, port=7003) > FAST
    shaped.remove(first, 0)
    assert transfer(target, peer, 0.5, port=7001) > FAST
    assert 10 < transfer(peer, target, 1, port=7002) < 30
    shaped.remove(second, 1)


def test_the_lease_ends_it(shaped: Shaped, both: tuple[Namespace, Namespace]) -> None:
    """When nobody renews the sets everything goes unlimited in both directions, our devices still being there."""
    target, peer = both
    fault = shaped.limit(3, 1, lease_s=4)
    assert transfer(target, peer, 1) < 5
    until = time.monotonic() + GENEROUS_S
    while min(transfer(target, peer, 0.3), transfer(peer, target, 0.3)) < FAST:
        assert time.monotonic() < until
    assert bandwidth.LEAVING in target.run("ip", "-o", "link")
    shaped.remove(fault, 3)


def test_a_limit_comes_and_goes_without_a_packet_lost(shaped: Shaped, both: tuple[Namespace, Namespace]) -> None:
    """An echo every 2 ms, which no limit is about, is answered through making, changing and removing of limits."""
    target, peer = both
    argv = peer.argv("ping", "-n", "-q", "-c", "600", "-i", "0.002", "-W", "2", target.ipv4)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        fault = shaped.limit(0, 1, {"protocol": "tcp"})
        for rate in (5, 50):
            shaped.tc(bandwidth.limit(bandwidth.LEAVING, 0, Bandwidth(rate * 10**6, 20_000, "both")))
        shaped.remove(fault, 0)
        shaped.unmake()
        fault = shaped.limit(0, 1, {"protocol": "tcp"})
        shaped.remove(fault, 0)
        out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" in out


def test_what_somebody_else_put_there_goes_on(shaped: Shaped, both: tuple[Namespace, Namespace]) -> None:
    """A queueing discipline of the interface stays, and shapes what no limit of ours is about."""
    target, peer = both
    theirs = f"qdisc add dev {DEVICE} root handle 1: tbf rate 50mbit burst 64kb latency 50ms"
    target.run("tc", *theirs.split())
    try:
        fault = shaped.limit(0, 5, {"ports": [7001]})
        assert transfer(target, peer, 2, port=7001) < 8
        assert 20 < transfer(target, peer, 1, port=7002) < 70
        shaped.remove(fault, 0)
        assert "tbf 1: root" in target.run("tc", "qdisc", "show", "dev", DEVICE)
    finally:
        target.run("tc", "qdisc", "del", "dev", DEVICE, "root")


def test_the_kernel_can_be_asked(both: tuple[Namespace, Namespace]) -> None:
    """Whether what leaves can be led elsewhere; nothing is left of the question."""
    both[0].run("nft", "-c", "-f", "-", given=bandwidth.PROBE)
    assert both[0].run("nft", "list", "ruleset") == ""
