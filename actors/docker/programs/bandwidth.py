"""Less bandwidth, by the kernel's own shaping (htb), as commands for tc and chains for nft. Runs nothing.

Every interface has one tree: a class for everything, without a limit, and one class per fault. Which packets are in a
fault's class nft says while the fault's lease is alive; afterwards all go unlimited, and the tree that is left does
nothing. What arrives is led through a device of its own, again by nft and so again only while the lease is alive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from actors.docker.programs.fields import Fields, Malformed
from actors.docker.programs.traffic import Chain, Traffic

ROOT = "7c01:"
"""The handle of our trees, by which they are known."""

INGRESS_DEVICE = "tcifb0"
"""Where what arrives is shaped; one for all interfaces of a namespace."""

DIRECTIONS = ("both", "out", "in")
LEAST_RATE, MOST_RATE = 8_000, 100_000_000_000
MOST_BURST = 1 << 30
UNLIMITED = f"rate {MOST_RATE}bit burst 1mb cburst 1mb quantum 60000"

PACKET = 1514
QUEUE_S = 0.4
"""How long a full queue takes to drain; after that packets are dropped, as a router would."""

LEAST_QUEUE = 16
LEAST_BURST = 16_384
BURST_S = 0.01

POSTROUTING = -150
ARRIVING = 0


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


def leaving(traffic: Traffic, slot: int) -> Chain:
    """In the fault's table of the family inet: packets that leave go into its class. Needs @to4, @to6 and `hits`."""
    into = f"counter name hits meta priority set {class_id(slot)}"
    rules = tuple(f"{match} {into} accept" for match in traffic.matches("to"))
    return Chain("leaving", "postrouting", POSTROUTING, rules)


def arriving(traffic: Traffic, slot: int, devices: Iterable[str]) -> Chain:
    """In the fault's table of the family netdev: packets that arrive go through INGRESS_DEVICE, in the same class.

    Needs @from4, @from6 and `hits`.
    """
    into = f'counter name hits meta priority set {class_id(slot)} fwd to "{INGRESS_DEVICE}"'
    rules = tuple(f"{match} {into}" for match in traffic.matches("from"))
    return Chain("arriving", "ingress", ARRIVING, rules, tuple(devices))


# ---------------------------------------------------------------- tc: how fast


def refusal(qdiscs: object, devices: Iterable[str]) -> str:
    """Why these interfaces cannot be shaped, by what `tc -j qdisc show` prints; empty when they can.

    What the kernel gives by itself has no handle and comes back by itself; what has one was put there by somebody.
    """
    for device in devices:
        root = _root(qdiscs, device)
        if root is not None and root.get("handle") not in {"0:", ROOT}:
            return (
                f"{device} has a queueing discipline that is not ours, {root.get('kind')} {root.get('handle')}: "
                f"it would be lost, so the bandwidth of this interface is left alone"
            )
    return ""


def has_tree(qdiscs: object, device: str) -> bool:
    """Whether our tree is on this interface."""
    root = _root(qdiscs, device)
    return root is not None and root.get("handle") == ROOT


def tree(device: str) -> list[str]:
    """Lines for `tc -batch -` that put the tree on an interface: nothing is limited, and nothing dropped meanwhile,
    as htb passes at once what has no class yet.
    """
    return [
        f"qdisc add dev {device} root handle {ROOT} htb default 1",
        f"class add dev {device} parent {ROOT} classid {ROOT}1 htb {UNLIMITED}",
        f"qdisc add dev {device} parent {ROOT}1 pfifo limit 10000",
    ]


def limit(device: str, slot: int, wanted: Bandwidth) -> list[str]:
    """Lines for `tc -batch -` that make or change a fault's class in the tree; before nft sends packets there."""
    # The share of a turn matters between classes that borrow from each other, and ours never do.
    shape = f"rate {wanted.rate}bit burst {wanted.burst}b cburst {wanted.burst}b quantum {2 * PACKET}"
    return [
        f"class replace dev {device} parent {ROOT} classid {class_id(slot)} htb {shape}",
        f"qdisc replace dev {device} parent {class_id(slot)} pfifo limit {wanted.queue}",
    ]


def drained(device: str, slot: int) -> list[str]:
    """Lines that let go at once what waits in a fault's class; after nft has stopped to send packets there."""
    return [f"class change dev {device} parent {ROOT} classid {class_id(slot)} htb {UNLIMITED}"]


def removed(device: str, slot: int) -> list[str]:
    """Lines that take a fault's class away."""
    return [f"class del dev {device} classid {class_id(slot)}"]


def felled(device: str) -> list[str]:
    """Lines that take the whole tree away, when no fault has a class in it; the interface is as it was."""
    return [f"qdisc del dev {device} root"]


def ingress_device_made() -> list[list[str]]:
    """Commands that make INGRESS_DEVICE, for a tree like any other's. nft leads nothing there yet."""
    return [["ip", "link", "add", INGRESS_DEVICE, "type", "ifb"], ["ip", "link", "set", INGRESS_DEVICE, "up"]]


def ingress_device_removed() -> list[list[str]]:
    """Commands that take INGRESS_DEVICE and its tree away."""
    return [["ip", "link", "del", INGRESS_DEVICE]]


def _root(qdiscs: object, device: str) -> dict[str, object] | None:
    if not isinstance(qdiscs, list):
        raise Malformed("tc -j qdisc show: a list is due")
    for each in qdiscs:
        if isinstance(each, dict) and each.get("dev") == device and each.get("root"):
            return each
    return None
