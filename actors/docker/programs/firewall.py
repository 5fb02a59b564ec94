"""Packets that the firewall of a network namespace stops: dropped so that nobody learns anything, or refused at once.

What leaves is dropped behind the last place at which its sender would be told (a dropped packet fails a sendto with
EPERM before that), on each interface; where the kernel has no such place, and on interfaces that came a moment ago, it
is dropped where the sender is told. Knows which interfaces there are, and whom to drop; starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from actors.docker.programs import shaping
from actors.docker.programs.fields import Fields
from actors.docker.programs.following import Followed, Follower
from actors.docker.programs.nft_tables import Failed, Table
from actors.docker.programs.traffic import Chain, Traffic, traffic

DROP, BLACKHOLE = "drop", "network_blackhole"
DIRECTIONS = ("both", "out", "in")
REFUSALS = {"tcp-reset": "reject with tcp reset", "unreachable": "reject with icmpx type host-unreachable"}
ANSWERS = ("drop", *REFUSALS)

RAW = -300
"""Before the kernel has looked at the packet in any other way, connection tracking included."""

LAST = 300
BEFORE_SHAPING = -10
HIT = "counter name hits"
STOPPED = f"{HIT} drop"

# A refusal of ours must get out, and the neighbours of IPv6 are found by packets where those of IPv4 are not.
NEIGHBOURS = "icmpv6 type { 130-137, 143 } accept"
OWN_ANSWERS = {
    "drop": (),
    "tcp-reset": ("tcp flags & rst == rst accept",),
    "unreachable": (
        "icmp type destination-unreachable accept",
        "icmpv6 type destination-unreachable accept",
    ),
}


class Blackhole(NamedTuple):
    """Which way, and what the sender is told."""

    direction: str
    answer: str


def blackhole(given: object, where: str) -> Blackhole:
    """Read `direction` and `answer`. Raises Malformed."""
    fields = Fields(given, where)
    wanted = Blackhole(fields.text("direction", "both", DIRECTIONS), fields.text("answer", "drop", ANSWERS))
    fields.end()
    return wanted


# ---------------------------------------------------------------- rules


def arriving(match: Traffic, answer: str) -> Chain:
    """For what arrives by any interface but lo. Needs @from4, @from6 and the counter `hits` in a table of inet."""
    return Chain("arriving", "prerouting", RAW, (NEIGHBOURS, *_stopped(match.matches(), answer)))


def refused(match: Traffic, answer: str) -> Chain:
    """For what is sent from here: TCP learns of it. Of all else the sender would be told what no network tells."""
    rules = [f"{each} meta l4proto tcp {HIT} {REFUSALS[answer]}" for each in match.matches("to")]
    return Chain("refused", "output", 0, (*OWN_ANSWERS["tcp-reset"], *rules))


def leaving(match: Traffic, answer: str, devices: Iterable[str]) -> Chain:
    """For what leaves by these interfaces; silent. Needs @to4, @to6 and the counter `hits` in a table of netdev."""
    rules = (NEIGHBOURS, *OWN_ANSWERS[answer], *_stopped(match.matches("to"), "drop"))
    return Chain("leaving", "egress", BEFORE_SHAPING, rules, tuple(devices))


def left_over(match: Traffic, answer: str, devices: Iterable[str]) -> Chain:
    """For what leaves by any other interface; its sender is told at once."""
    listed = ", ".join(f'"{each}"' for each in ("lo", *devices))
    elsewhere = f"oifname {{ {listed} }} accept"
    rules = (elsewhere, NEIGHBOURS, *OWN_ANSWERS[answer], *_stopped(match.matches("to"), "drop"))
    return Chain("left_over", "postrouting", LAST, rules)


def _stopped(matches: list[str], answer: str) -> list[str]:
    if answer == "tcp-reset":
        reset = [f"{each} meta l4proto tcp {HIT} {REFUSALS[answer]}" for each in matches]
        return [*reset, *(f"{each} {STOPPED}" for each in matches)]
    return [f"{each} {HIT} {REFUSALS.get(answer, 'drop')}" for each in matches]


# ---------------------------------------------------------------- faults


class Firewall(Follower):
    """What was put by this process, which follows interfaces that come later."""

    kinds = (DROP, BLACKHOLE)
    family = "inet"

    def put(self, table: Table, wanted: dict[str, Any]) -> None:
        """One more fault, or the same with others on the other side. Raises Failed, Malformed."""
        match = traffic(wanted.get("match"), "match")
        partition = wanted["kind"] == DROP
        hole = Blackhole("in", "drop") if partition else blackhole(wanted.get("params", {}), "params")
        if hole.direction in {"both", "in"}:
            table.lease("from", match.ipv4, match.ipv6)
            table.chain(arriving(match, hole.answer))
        if hole.direction == "in":
            table.put()
            return
        table.lease("to", match.ipv4, match.ipv6)
        if hole.answer != "drop":
            table.chain(refused(match, hole.answer))
        devices = shaping.interfaces()
        try:
            silently(table, match, hole.answer, sorted(name for _, name in devices))
        except Failed:
            table.chain(left_over(match, hole.answer, ()))
            table.alone().put()
        self._kept[table.fault] = Followed(table, wanted, devices)

    def outdated(self) -> list[str]:
        """The faults that do not know of an interface that is here, or know of one that is not."""
        here = shaping.interfaces() if self._kept else frozenset()
        return [fault for fault, (_, _, seen) in self._kept.items() if seen != here]


def silently(table: Table, match: Traffic, answer: str, devices: list[str]) -> None:
    """In two tables, in one transaction. Raises Failed, such as where there is no hook for it (before Linux 5.16)."""
    table.chain(left_over(match, answer, devices))
    if devices:
        beside = table.beside("netdev")
        beside.lease("to", match.ipv4, match.ipv6)
        beside.chain(leaving(match, answer, devices))
    table.put()
