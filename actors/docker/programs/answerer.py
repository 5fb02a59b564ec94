"""Spoils what name servers answer to the network namespace it runs in, for given names and for nobody else's.

    answerer.py [QUEUE]

Rules come as lines of JSON on standard input, answers go as lines to standard output: see line_server. It opens no port
and asks no server: answers on their way to whoever asked are held by the kernel (see queue_rules) and are changed,
dropped, or let through as they are. So every server works, Docker's own one included, and when it is killed names are
right again at once. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import ipaddress

from actors.docker.programs import dns_messages, line_server, queue_rules
from actors.docker.programs.datagrams import TCP, Datagram, datagram, with_payload
from actors.docker.programs.fields import Fields, Malformed
from actors.docker.programs.packet_queue import ACCEPT, DROP, Answer, Packet, PacketQueue
from actors.docker.programs.traffic import SLOTS

MODES = ("nxdomain", "timeout", "wrong-answer")
OTHERS = 0xFFFF_FFFF & ~queue_rules.MASK
FRAME = 2
"""Bytes before each message over TCP: its length."""


class Rule:
    """A fault at work: its names, what becomes of their answers, and how many there were."""

    def __init__(self, given: object, where: str) -> None:
        """Raises Malformed."""
        fields = Fields(given, where)
        self.fault = fields.text("fault", None)
        self.bit = queue_rules.bit(int(fields.number("slot", None, 0, SLOTS - 1)))
        params = Fields(fields.anything("params"), f"{where}.params")
        fields.end()
        self.mode = params.text("mode", None, MODES)
        names = params.texts("names", None)
        self.names = tuple(name.lower().rstrip(".") for name in names)
        if not all(self.names) or not names:
            raise Malformed(f"{where}.params.names: at least one name is due, and no empty one")
        self.addresses: dict[int, bytes] = {}
        if self.mode == "wrong-answer":
            self.addresses[dns_messages.A] = _address(params, "ipv4", "192.0.2.1", ipaddress.IPv4Address, where)
            self.addresses[dns_messages.AAAA] = _address(params, "ipv6", "2001:db8::1", ipaddress.IPv6Address, where)
        params.end()
        self.packets = self.happened = 0


class Answerer:
    """The rules. Nothing ever waits here."""

    def __init__(self, queue: PacketQueue) -> None:
        self._queue = queue
        self._rules: dict[str, Rule] = {}
        queue.copy_content(wanted=True)

    def replace(self, asked: list[object]) -> None:
        """These rules and no others; what was counted stays. Raises Malformed."""
        rules = [Rule(each, f"rules[{place}]") for place, each in enumerate(asked)]
        by_fault = {rule.fault: rule for rule in rules}
        if len(by_fault) < len(rules) or len({rule.bit for rule in rules}) < len(rules):
            raise Malformed("rules: every fault and every slot may be there once")
        for rule in rules:
            if (old := self._rules.get(rule.fault)) is not None:
                rule.packets, rule.happened = old.packets, old.happened
        self._rules = by_fault

    def counters(self) -> dict[str, object]:
        """Answers of name servers seen, and those spoiled, by fault."""
        return {
            "counters": {
                rule.fault: {"packets": rule.packets, "happened": rule.happened} for rule in self._rules.values()
            }
        }

    def take(self) -> None:
        """Read what has arrived, and answer for it."""
        self._queue.answer([self._settled(packet) for packet in self._queue.receive()])

    def release(self) -> None:
        """Nothing is ever due."""

    def let_go(self) -> None:
        """Nothing ever waits."""

    def _settled(self, packet: Packet) -> Answer:
        mark = packet.mark & OTHERS
        inside = datagram(packet.content)
        for rule in self._rules.values():
            if inside is None or not packet.mark & rule.bit:
                continue
            rule.packets += 1
            payload = spoiled(packet.content[inside.payload :], inside, rule)
            if payload is None:
                continue
            rule.happened += 1
            if not payload:
                return Answer(DROP, packet.number, mark)
            return Answer(ACCEPT, packet.number, mark, with_payload(packet.content, inside, payload))
        return Answer(ACCEPT, packet.number, mark)


def spoiled(payload: bytes, inside: Datagram, rule: Rule) -> bytes | None:
    """What a name server's answer carries by this rule: nothing where it is dropped, None where it stays as it is.

    Over TCP only an answer that is whole in its packet is seen, and it keeps its length.
    """
    framed = inside.protocol == TCP
    if framed and int.from_bytes(payload[:FRAME], "big") != len(payload) - FRAME:
        return None
    message = payload[FRAME:] if framed else payload
    asked = dns_messages.question(message)
    if asked is None or not dns_messages.is_meant(asked.name, rule.names):
        return None
    if rule.mode == "timeout":
        return b""
    if rule.mode == "nxdomain":
        changed: bytes | None = dns_messages.no_such_name(message, asked)
    elif framed:
        changed = dns_messages.replaced_addresses(message, asked, rule.addresses)
    else:
        changed = dns_messages.with_addresses(message, asked, rule.addresses)
    if framed and changed is not None:
        changed = dns_messages.padded(changed, len(message))
        return None if changed is None else payload[:FRAME] + changed
    return changed


def _address(
    params: Fields, name: str, default: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], where: str
) -> bytes:
    text = params.text(name, default)
    try:
        return kind(text).packed
    except ValueError:
        raise Malformed(
            f"{where}.params.{name}: an {name[:2].upper()}{name[2:]} address is due, not {text!r}"
        ) from None


def main() -> int:
    """0 at the end of the input, 1 when the queue cannot be had, 2 for wrong usage."""
    argv = sys.argv[1:]
    if len(argv) > 1 or not all(each.isdecimal() for each in argv):
        sys.stderr.write("usage: answerer.py [QUEUE]\n")
        return line_server.USAGE
    return line_server.run(int(argv[0]) if argv else queue_rules.DNS_QUEUE, Answerer)


if __name__ == "__main__":
    sys.exit(main())
