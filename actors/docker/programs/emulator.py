"""Plays a bad network to the packets that arrive in the network namespace it runs in.

    emulator.py [QUEUE [SEED]]

Rules come as lines of JSON on standard input, answers go as lines to standard output: see line_server. Packets that
wait when rules are replaced keep the time they were given. At the end of its input everything that waits is let
through; when it is killed, what waits is lost and what comes after passes. Which packets come here, and which rules are
about one, the kernel decides, by the bits of the packet's mark: see queue_rules. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import heapq
import time
from random import Random

from actors.docker.programs import line_server, queue_rules
from actors.docker.programs.fields import Fields, Malformed
from actors.docker.programs.impairments import KINDS, NEEDS_CONTENT, Fate, Impairment, flipped, impairment
from actors.docker.programs.packet_copies import Copies
from actors.docker.programs.packet_queue import ACCEPT, DROP, Answer, Packet, PacketQueue
from actors.docker.programs.traffic import SLOTS

OTHERS = 0xFFFF_FFFF & ~queue_rules.MASK
"""The bits of a mark that are not ours; a packet leaves with what it had of them."""


class Rule:
    """A fault at work: its bit in the mark, what it does, and how many packets it has seen."""

    def __init__(self, given: object, where: str, random: Random) -> None:
        """Raises Malformed."""
        fields = Fields(given, where)
        self.fault = fields.text("fault", None)
        self.bit = queue_rules.bit(int(fields.number("slot", None, 0, SLOTS - 1)))
        self.kind = fields.text("kind", None, KINDS)
        self.asked = fields.anything("params")
        self.effect: Impairment = impairment(self.kind, Fields(self.asked, f"{where}.params"), random)
        self.packets = 0
        fields.end()

    def same_as(self, other: Rule | None) -> bool:
        """Whether the other is the same rule, whatever it has counted."""
        return other is not None and (self.bit, self.kind, self.asked) == (other.bit, other.kind, other.asked)


class Emulator:
    """The rules, and the packets that wait."""

    def __init__(self, queue: PacketQueue, random: Random) -> None:
        self._queue = queue
        self._random = random
        self._rules: dict[str, Rule] = {}
        self._copies: Copies | None = None
        # By the bits of a mark: found out once per combination.
        self._about: dict[int, list[Rule]] = {}
        # Due time, then order of arrival: equal times leave in the order they came.
        self._waiting: list[tuple[float, int, Answer | bytes]] = []
        self._order = 0

    # ------------------------------------------------------------ what is asked

    def replace(self, asked: list[object]) -> None:
        """These rules and no others; one that is the same goes on as it was. Raises Malformed."""
        rules = [Rule(each, f"rules[{place}]", self._random) for place, each in enumerate(asked)]
        by_fault = {rule.fault: rule for rule in rules}
        if len(by_fault) < len(rules) or len({rule.bit for rule in rules}) < len(rules):
            raise Malformed("rules: every fault and every slot may be there once")
        self._open_copies(wanted=any(rule.kind == "network_duplication" for rule in rules))
        self._queue.copy_content(wanted=any(rule.kind in NEEDS_CONTENT for rule in rules))
        for rule in rules:
            old = self._rules.get(rule.fault)
            if rule.same_as(old):
                # Correlation and bursts go on where they were.
                by_fault[rule.fault] = self._rules[rule.fault]
            elif old is not None:
                rule.packets, rule.effect.happened = old.packets, old.effect.happened
        self._rules = by_fault
        self._about.clear()

    def _open_copies(self, *, wanted: bool) -> None:
        if wanted and self._copies is None:
            try:
                self._copies = Copies()
            except PermissionError:
                raise Malformed("network_duplication: the capability NET_RAW is missing here") from None

    def counters(self) -> dict[str, object]:
        """Packets seen and packets hit by each fault, and how many wait."""
        counted = {
            rule.fault: {"packets": rule.packets, "happened": rule.effect.happened} for rule in self._rules.values()
        }
        return {"counters": counted, "waiting": len(self._waiting)}

    # ------------------------------------------------------------ packets

    def take(self) -> None:
        """Read what has arrived, and settle what becomes of it."""
        at_once: list[Answer] = []
        for packet in self._queue.receive():
            rules = self._rules_about(packet.mark & queue_rules.MASK)
            fate = Fate()
            for rule in rules:
                rule.packets += 1
                rule.effect.judge(fate)
            for _ in range(fate.copies):
                self._copy(packet, rules)
            if fate.lost:
                at_once.append(Answer(DROP, packet.number, 0))
                continue
            content = self._changed(packet.content, fate.flips) if fate.flips and packet.content else b""
            answer = Answer(ACCEPT, packet.number, packet.mark & OTHERS, content)
            if fate.delay_s:
                self._wait(fate.delay_s, answer)
            else:
                at_once.append(answer)
        self._queue.answer(at_once)

    def release(self) -> float | None:
        """Let go what is due; the seconds until the next is, None when nothing waits."""
        due: list[Answer] = []
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._let_go(heapq.heappop(self._waiting)[2], due)
        self._queue.answer(due)
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def let_go(self) -> None:
        """Let everything go that waits, in the order in which it was due."""
        rest: list[Answer] = []
        for _, _, what in sorted(self._waiting, key=lambda each: each[:2]):
            self._let_go(what, rest)
        self._waiting.clear()
        self._queue.answer(rest)

    def _rules_about(self, bits: int) -> list[Rule]:
        rules = self._about.get(bits)
        if rules is None:
            rules = self._about[bits] = [rule for rule in self._rules.values() if rule.bit & bits]
        return rules

    def _copy(self, packet: Packet, rules: list[Rule]) -> None:
        """A copy has a fate of its own, but is not copied again."""
        fate = Fate()
        for rule in rules:
            if rule.kind != "network_duplication":
                rule.packets += 1
                rule.effect.judge(fate)
        if fate.lost or not packet.content:
            return
        content = self._changed(packet.content, fate.flips)
        if fate.delay_s:
            self._wait(fate.delay_s, content)
        else:
            self._hand_in(content)

    def _wait(self, delay_s: float, what: Answer | bytes) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (time.monotonic() + delay_s, self._order, what))

    def _let_go(self, what: Answer | bytes, answers: list[Answer]) -> None:
        if isinstance(what, Answer):
            answers.append(what)
        else:
            self._hand_in(what)

    def _hand_in(self, content: bytes) -> None:
        if self._copies is not None:
            self._copies.send(content)

    def _changed(self, content: bytes, flips: int) -> bytes:
        for _ in range(flips):
            content = flipped(content, self._random)
        return content


def main() -> int:
    """0 at the end of the input, 1 when the queue cannot be had, 2 for wrong usage."""
    argv = sys.argv[1:]
    if len(argv) > 2 or not all(each.isdecimal() for each in argv):  # noqa: PLR2004  # the queue and the seed
        sys.stderr.write("usage: emulator.py [QUEUE [SEED]]\n")
        return line_server.USAGE
    number = int(argv[0]) if argv else queue_rules.QUEUE
    seed = int(argv[1]) if argv[1:] else None
    random = Random(seed)  # noqa: S311  # no secret is made of it
    return line_server.run(number, lambda queue: Emulator(queue, random))


if __name__ == "__main__":
    sys.exit(main())
