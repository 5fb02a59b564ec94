"""The rules by which the kernel hands packets to the emulator: chains of a fault's own table, and nothing elsewhere.

Each fault marks the packets it is about with a bit of its own while its lease is alive. A marked packet is queued once,
whichever fault's table comes first, as the emulator takes the bits off; where nobody listens it passes and is unmarked
a moment later. Most kernels have `queue` in nft; on others the same is put by `add_target`. Runs no command.
"""

from __future__ import annotations

import os
import socket
import struct

from actors.docker.programs.traffic import Chain, Traffic

QUEUE = 0x7C00
"""The number of the emulator's queue in every namespace; programs of users have theirs from 0 on."""

MASK = 0xFFFF_0000

RAW, MANGLE = -300, -150
MARKING, QUEUEING, CLEANING = "marking", "queueing", "cleaning"

PROBE = f"""add table inet tc_probe
add chain inet tc_probe {QUEUEING} {{ type filter hook prerouting priority {MANGLE}; }}
add rule inet tc_probe {QUEUEING} queue num {QUEUE} bypass
"""
"""For `nft -c -f -`, which changes nothing: it succeeds where nft itself can queue."""


def bit(slot: int) -> int:
    """What a fault in this slot sets in the mark: the upper half has one for each of traffic.SLOTS."""
    return 1 << (16 + slot)


def chains(traffic: Traffic, slot: int, *, native: bool) -> tuple[Chain, ...]:
    """For packets that arrive on any interface but lo. They need the sets @from4 and @from6 and the counter `hits`.

    `native` is whether nft can queue; where not, `add_target` adds what the chain QUEUEING then lacks.
    """
    marked = f"counter name hits meta mark set meta mark or {bit(slot):#010x} accept"
    queueing = [f"meta mark & {MASK:#010x} == 0 accept"]
    if native:
        queueing.append(f"queue num {QUEUE} bypass")
    return (
        Chain(MARKING, "prerouting", RAW, tuple(f"{match} {marked}" for match in traffic.matches())),
        Chain(QUEUEING, "prerouting", MANGLE, tuple(queueing)),
        Chain(CLEANING, "prerouting", MANGLE + 1, (f"meta mark set meta mark & {0xFFFF_FFFF & ~MASK:#010x}",)),
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


def add_target(table: str) -> None:
    """Append iptables' NFQUEUE to the chain QUEUEING of this table of the family inet, where nft has no word for it.

    It goes with the table. Raises OSError when the kernel has none of both.
    """
    message = target_message(table)
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


def target_message(table: str) -> bytes:
    """The transaction that adds the rule."""
    info = struct.pack("=HHHH", QUEUE, 1, BYPASS, 0)
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
