"""Less bandwidth, by the kernel's own shaping (htb), as commands for tc and chains for nft. Runs nothing.

What a fault is about is led by nft through a device of ours (ifb) while the fault's lease is alive, and is slow there,
in a class of the fault's own. Everything else never comes near, no interface of the target is changed, and a queueing
discipline that somebody put there goes on. To change the root of an interface would lose packets of others (measured).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from actors.docker.programs.fields import Fields
from actors.docker.programs.traffic import Chain, Traffic

ROOT = "7c01:"
"""The handle of our trees, by which they are known."""

ARRIVING, LEAVING = "tcifb0", "tcifb1"
"""The devices through which it goes, for all interfaces of a namespace."""

DIRECTIONS = ("both", "out", "in")
LEAST_RATE, MOST_RATE = 8_000, 100_000_000_000
MOST_BURST = 1 << 30
UNLIMITED = f"rate {MOST_RATE}bit burst 1mb cburst 1mb quantum 60000"

PACKET = 1514
QUEUE_S = 0.4
"""How long a full queue takes to drain; after that packets are dropped, as a router would."""

LEAST_QUEUE = 16
"""Packets, however long they take: below 500 kbit/s it is longer than QUEUE_S (24 s at 8 kbit/s)."""

LEAST_BURST = 16_384
BURST_S = 0.01

PROBE = """add table netdev tc_probe
add chain netdev tc_probe leaving { type filter hook egress device "lo" priority 0; }
"""
"""For `nft -c -f -`, which succeeds where what leaves can be led elsewhere: from Linux 5.16 on. As queue_rules.PROBE,
to be asked before anything waits in a queue of the namespace.
"""


class Bandwidth(NamedTuple):
    """The limit: bits per second, bytes that may go at once, and which way."""

    rate: int
    burst: int
    direction: str

    @property
    def queue(self) -> int:
        """Packets that wait at most."""
        return max(LEAST_QUEUE, int(self.rate * QUEUE_S / 8 / PACKET))


def bandwidth(given: object, where: str) -> Bandwidth:
    """Read `rate_bit`, `burst_bytes` and `direction`. Raises Malformed."""
    fields = Fields(given, where)
    rate = int(fields.number("rate_bit", None, LEAST_RATE, MOST_RATE))
    burst = int(fields.number("burst_bytes", max(LEAST_BURST, rate / 8 * BURST_S), PACKET, MOST_BURST))
    direction = fields.text("direction", "both", DIRECTIONS)
    fields.end()
    return Bandwidth(rate, burst, direction)


def class_id(slot: int) -> str:
    """The class of the fault in this slot."""
    return f"{ROOT}{0x10 + slot:x}"


# ---------------------------------------------------------------- nft: which packets


def leaving(traffic: Traffic, slot: int, devices: Iterable[str]) -> Chain:
    """For what leaves by these interfaces. Needs @to4, @to6 and the counter `hits` in the fault's netdev table."""
    return _led("leaving", "egress", traffic.matches("to"), slot, LEAVING, devices)


def arriving(traffic: Traffic, slot: int, devices: Iterable[str]) -> Chain:
    """For what arrives by these interfaces. Needs @from4, @from6 and the counter `hits`."""
    return _led("arriving", "ingress", traffic.matches("from"), slot, ARRIVING, devices)


def _led(name: str, hook: str, matches: list[str], slot: int, through: str, devices: Iterable[str]) -> Chain:
    into = f'counter name hits meta priority set {class_id(slot)} fwd to "{through}"'
    return Chain(name, hook, 0, tuple(f"{match} {into}" for match in matches), tuple(devices))


# ---------------------------------------------------------------- tc: how fast


def made(device: str) -> list[list[str]]:
    """Commands that make one of our devices, with a tree that has no class yet. Nothing is led there before it has."""
    return [
        ["ip", "link", "add", device, "type", "ifb"],
        ["ip", "link", "set", device, "up"],
        ["tc", "qdisc", "add", "dev", device, "root", "handle", ROOT, "htb"],
    ]


def unmade(device: str) -> list[list[str]]:
    """Commands that take one of our devices away, when no table leads there any more."""
    return [["ip", "link", "del", device]]


def limit(device: str, slot: int, wanted: Bandwidth) -> list[str]:
    """Lines for `tc -batch -` that make or change a fault's class on a device; before nft leads packets there."""
    # The share of a turn matters between classes that borrow from each other, and ours never do.
    shape = f"rate {wanted.rate}bit burst {wanted.burst}b cburst {wanted.burst}b quantum {2 * PACKET}"
    return [
        f"class replace dev {device} parent {ROOT} classid {class_id(slot)} htb {shape}",
        f"qdisc replace dev {device} parent {class_id(slot)} pfifo limit {wanted.queue}",
    ]


def drained(device: str, slot: int) -> list[str]:
    """Lines that let go at once what waits in a fault's class; after nft has stopped to lead packets there."""
    return [f"class change dev {device} parent {ROOT} classid {class_id(slot)} htb {UNLIMITED}"]


def removed(device: str, slot: int) -> list[str]:
    """Lines that take a fault's class away."""
    return [f"class del dev {device} classid {class_id(slot)}"]
