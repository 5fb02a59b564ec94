"""Limits of bandwidth, and the kernel's own emulator, in the network namespace this runs in: a class of our devices and
a netdev table each. Keeps no list of its own of who has which class: the kernel's tables say so, whoever made them.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from typing import Any

from actors.docker.programs import bandwidth, netem
from actors.docker.programs.bandwidth import ARRIVING, LEAVING, ROOT, Bandwidth
from actors.docker.programs.following import Followed, Follower
from actors.docker.programs.netem import Netem
from actors.docker.programs.nft_tables import NFT, PREFIX, Failed, Lacking, Table, run
from actors.docker.programs.traffic import Traffic, free_slot, traffic

BANDWIDTH, NETEM = "network_bandwidth", "netem"
OURS = (ARRIVING, LEAVING)
FIRST_CLASS = 0x10
DRAIN_S = 0.3
DRAIN_LOOK_S = 0.005

TABLE = re.compile(r"^table netdev " + PREFIX + r"([0-9a-f]{32}) ", re.MULTILINE)
LED = re.compile(rf"meta priority set {ROOT}([0-9a-f]+) fwd to \"?({ARRIVING}|{LEAVING})\b")
CLASS = re.compile(rf"^class htb {ROOT}([0-9a-f]+) (?:(?!^class ).)*?backlog (\d+)([KM]?)b", re.MULTILINE | re.DOTALL)
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
"""Of sizes that tc finds to be round."""


class Shaping(Follower):
    """What was put by this process, which follows interfaces that come later."""

    kinds = (BANDWIDTH, NETEM)
    family = "netdev"

    def put(self, table: Table, wanted: dict[str, Any]) -> None:
        """One more limit, or the same with others on the other side. Raises Failed, Malformed."""
        match = traffic(wanted.get("match"), "match")
        by_netem = wanted["kind"] == NETEM
        shape: Bandwidth | Netem = (netem.netem if by_netem else bandwidth.bandwidth)(
            wanted.get("params", {}), "params"
        )
        devices = [name for _, name in sorted(interfaces())]
        if not devices:
            raise Failed("there is no interface here but lo")
        led = classes()
        self._alone(table.fault, led, shape)
        slot = next((each for _, each in led.get(table.fault, ())), None)
        if slot is None:
            slot = free_slot({each for pairs in led.values() for _, each in pairs})
        for device, way in ((LEAVING, "out"), (ARRIVING, "in")):
            if shape.direction in {"both", way}:
                make(device)
                shaped_by(shape, device, slot)
        led_by(table, match, slot, shape.direction, devices)
        table.put()
        self._kept[table.fault] = Followed(table, wanted, links())

    def _alone(self, fault: str, led: Mapping[str, tuple[tuple[str, int], ...]], shape: Bandwidth | Netem) -> None:
        """Raises Failed where a packet would have to go through our device twice: it is led there once, by whoever is
        first, and of a limit and netem, or of two netems, one would do nothing.
        """
        arriving = {each for each, pairs in led.items() if each != fault and ARRIVING in dict(pairs)}
        netems = {each for each, shaped in self._kept.items() if shaped.wanted["kind"] == NETEM} - {fault}
        if arriving if isinstance(shape, Netem) else netems if shape.direction != "out" else set():
            raise Failed(
                "netem cannot be put beside another netem or a limit of what arrives: leave out `mechanism`, and our "
                "own emulator does it, which can"
            )

    def outdated(self) -> list[str]:
        """The limits that do not know of an interface that is here, or know of one that is not."""
        if not self._kept:
            return []
        here = links()
        # What we made for another limit is no news to this one; what was taken from us is.
        return [
            fault
            for fault, each in self._kept.items()
            if {link for link in here if link[1] not in OURS} != {link for link in each.seen if link[1] not in OURS}
            or not {link for link in each.seen if link[1] in OURS} <= here
        ]


UNKNOWN = ("kind is unknown", "No such file or directory")
"""What tc says of a discipline that the kernel has no module for."""


def shaped_by(shape: Bandwidth | Netem, device: str, slot: int) -> None:
    """A class of our device, as it is wanted. Raises Failed."""
    if isinstance(shape, Bandwidth):
        tc(bandwidth.limit(device, slot, shape))
        return
    try:
        tc(netem.limit(device, slot, shape))
    except Failed as error:
        kind = Lacking if any(each in str(error) for each in UNKNOWN) else Failed
        raise kind(f"{error}; where the kernel has no netem (module sch_netem) leave out `mechanism`") from None


def led_by(table: Table, match: Traffic, slot: int, direction: str, devices: list[str]) -> None:
    """The sets and chains that lead packets through our devices."""
    if direction in {"both", "out"}:
        table.lease("to", match.ipv4, match.ipv6)
        table.chain(bandwidth.leaving(match, slot, devices))
    if direction in {"both", "in"}:
        table.lease("from", match.ipv4, match.ipv6)
        table.chain(bandwidth.arriving(match, slot, devices))


def settle() -> None:
    """Take away what no table leads to any more: classes, then devices. Raises Failed."""
    here = {name for _, name in links()}
    if here.isdisjoint(OURS):
        return
    led = {pair for pairs in classes().values() for pair in pairs}
    for device in sorted(here.intersection(OURS)):
        used = {slot for name, slot in led if name == device}
        if not is_ours(device):
            continue
        if not used:
            # What waits there is let go first, as a router would.
            drain(device, set(waiting(device)))
            for argv in bandwidth.unmade(device):
                run(argv)
            continue
        stale = set(waiting(device)) - used
        drain(device, stale)
        for slot in sorted(stale):
            tc(bandwidth.removed(device, slot))


def drain(device: str, slots: set[int]) -> None:
    """Let go what waits in these classes, for a moment at most."""
    for slot in sorted(slots):
        tc(bandwidth.drained(device, slot))
    until = time.monotonic() + DRAIN_S
    while any(size for slot, size in waiting(device).items() if slot in slots) and time.monotonic() < until:
        time.sleep(DRAIN_LOOK_S)  # the kernel tells nobody when a class is empty


def make(device: str) -> None:
    """One of our devices with its tree, unless it is here. Raises Failed where somebody else has that name."""
    argvs = bandwidth.made(device)
    if device in {name for _, name in links()}:
        if is_ours(device):
            return
        if has_qdisc(device):
            raise Failed(f"{device} is here already with a queueing discipline of somebody else: remove or rename it")
        argvs = argvs[1:]
    for argv in argvs:
        run(argv)


def is_ours(device: str) -> bool:
    """Whether it has our tree."""
    return f" {ROOT} root" in run(["tc", "qdisc", "show", "dev", device])


def has_qdisc(device: str) -> bool:
    """Whether somebody gave it a queueing discipline: the kernel's own have no number."""
    roots = [line for line in run(["tc", "qdisc", "show", "dev", device]).splitlines() if " root" in line]
    return any(" 0: root" not in line for line in roots)


def links() -> frozenset[tuple[int, str]]:
    """Number and name of each interface here. Not from /sys, which may show another namespace's."""
    return frozenset(socket.if_nameindex())


def interfaces() -> frozenset[tuple[int, str]]:
    """Those by which packets come from elsewhere: neither lo nor a device of ours."""
    return frozenset(link for link in links() if link[1] not in {"lo", *OURS})


def classes() -> dict[str, tuple[tuple[str, int], ...]]:
    """Which classes on which of our devices the tables of faults lead to, by fault."""
    listed = run([NFT, "--stateless", "list", "ruleset", "netdev"])
    _, *parts = TABLE.split(listed)
    return {
        fault: tuple((device, int(minor, 16) - FIRST_CLASS) for minor, device in LED.findall(text))
        for fault, text in zip(parts[::2], parts[1::2], strict=True)
    }


def waiting(device: str) -> dict[int, int]:
    """Bytes that wait in each class of a device."""
    told = run(["tc", "-s", "class", "show", "dev", device])
    return {int(minor, 16) - FIRST_CLASS: int(size) * UNITS[unit] for minor, size, unit in CLASS.findall(told)}


def tc(lines: list[str]) -> None:
    """In one process, each in its turn. Raises Failed."""
    run(["tc", "-batch", "-"], "\n".join(lines) + "\n")
