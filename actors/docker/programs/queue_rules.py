"""The rules by which the kernel hands packets to the emulator and the answerer: chains of a fault's own table, no more.

Each fault marks the packets it is about with a bit of its own while its lease is alive. A marked packet is queued once,
whichever fault's table comes first, as the program takes the bits off; where nobody listens it passes and is unmarked
a moment later. Most kernels have `queue` in nft; on others the same is put by `add_target`. Runs no command.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

from actors.docker.programs.traffic import Chain, Traffic

QUEUE = 0x7C00
"""The number of the emulator's queue in every namespace; programs of users have theirs from 0 on."""

DNS_QUEUE = QUEUE + 1
"""The same for the answerer."""

MASK = 0xFFFF_0000

MARKING, QUEUEING, CLEANING = "marking", "queueing", "cleaning"


class Stage(NamedTuple):
    """Where on a packet's way it is queued, and to whom; to nobody yet where nft has no word for it."""

    hook: str
    marking: int
    queueing: int
    queue: int | None


EMULATOR = Stage("prerouting", -300, -250, QUEUE)
"""Before connection tracking (-200), which drops the first packet of a flow when it comes behind another of it; and
before any address is translated.
"""

ANSWERER = Stage("input", 149, 150, DNS_QUEUE)
"""After all translation: an answer has the address and the port that were asked, Docker's own name server included."""

PROBE = f"""add table inet tc_probe
add chain inet tc_probe {QUEUEING} {{ type filter hook prerouting priority {EMULATOR.queueing}; }}
add rule inet tc_probe {QUEUEING} queue num {QUEUE} bypass
"""
"""For `nft -c -f -`, which succeeds where nft itself can queue. It leaves nothing, but even so the kernel drops what
waits in the namespace's queues: to be asked once, before anything waits.
"""


def bit(slot: int) -> int:
    """What a fault in this slot sets in the mark: the upper half has one for each of traffic.SLOTS."""
    return 1 << (16 + slot)


def chains(traffic: Traffic, slot: int, *, native: bool) -> tuple[Chain, ...]:
    """For packets that arrive on any interface but lo. They need the sets @from4 and @from6 and the counter `hits`.

    `native` is whether nft can queue; where not, `add_target` adds what the chain QUEUEING then lacks.
    """
    return _staged(
        traffic.matches(), slot, EMULATOR if native else EMULATOR._replace(queue=None), ('iifname "lo" accept',)
    )


def dns_chains(slot: int, *, native: bool) -> tuple[Chain, ...]:
    """As `chains`, for answers of any name server, on lo as well: there Docker's own one is."""
    matches = [
        f"{family} meta l4proto {{ tcp, udp }} th sport 53" for family in ("ip saddr @from4", "ip6 saddr @from6")
    ]
    return _staged(matches, slot, ANSWERER if native else ANSWERER._replace(queue=None))


def _staged(matches: list[str], slot: int, stage: Stage, others: tuple[str, ...] = ()) -> tuple[Chain, ...]:
    """`others` let pass what nobody marks here: its mark is somebody else's."""
    marked = f"counter name hits meta mark set meta mark or {bit(slot):#010x} accept"
    queueing = [*others, f"meta mark & {MASK:#010x} == 0 accept"]
    if stage.queue is not None:
        queueing.append(f"queue num {stage.queue} bypass")
    unmarked = f"meta mark set meta mark & {0xFFFF_FFFF & ~MASK:#010x}"
    return (
        Chain(MARKING, stage.hook, stage.marking, tuple(f"{match} {marked}" for match in matches)),
        Chain(QUEUEING, stage.hook, stage.queueing, tuple(queueing)),
        Chain(CLEANING, stage.hook, stage.queueing + 1, (*others, unmarked)),
    )


# ---------------------------------------------------------------- kernels whose nft has no `queue`

NETLINK_NETFILTER = 12
BATCH_BEGIN, BATCH_END, SUBSYSTEM, NEW_RULE = 16, 17, 10, 6
REQUEST, ACK, CREATE, APPEND = 1, 4, 0x400, 0x800
ERROR = 2
INET = 1
NESTED = 0x8000
REVISION = 3
BYPASS = 1
ANSWER_S = 5.0


def add_target(table: str, queue: int = QUEUE) -> None:
    """Append iptables' NFQUEUE to the chain QUEUEING of this table of the family inet, where nft has no word for it.

    It goes with the table. Raises OSError when the kernel has none of both.
    """
    message = target_message(table, queue)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(ANSWER_S)
        kernel.send(message)
        while True:
            answer = kernel.recv(65536)
            _, kind = struct.unpack_from("=IH", answer)
            if kind == ERROR:
                (code,) = struct.unpack_from("=i", answer, 16)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return


def target_message(table: str, queue: int) -> bytes:
    """The transaction that adds the rule."""
    info = struct.pack("=HHHH", queue, 1, BYPASS, 0)
    target = _attribute(1, b"NFQUEUE\0") + _attribute(2, struct.pack(">I", REVISION)) + _attribute(3, info)
    expression = _attribute(1, b"target\0") + _attribute(2 | NESTED, target)
    rule = _attribute(1, table.encode() + b"\0") + _attribute(2, QUEUEING.encode() + b"\0")
    rule += _attribute(4 | NESTED, _attribute(1 | NESTED, expression))
    return (
        _message(BATCH_BEGIN, REQUEST, socket.AF_UNSPEC, SUBSYSTEM, b"")
        + _message(SUBSYSTEM << 8 | NEW_RULE, REQUEST | ACK | CREATE | APPEND, INET, 0, rule)
        + _message(BATCH_END, REQUEST, socket.AF_UNSPEC, SUBSYSTEM, b"")
    )


def _message(kind: int, flags: int, family: int, resource: int, body: bytes) -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + body
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _attribute(name: int, value: bytes) -> bytes:
    size = 4 + len(value)
    return struct.pack("=HH", size, name) + value + bytes(-size % 4)
