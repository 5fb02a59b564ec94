"""A queue of packets that the kernel hands over and waits for an answer about (NFQUEUE), spoken over a raw socket.

Knows messages and their bytes; what becomes of a packet is decided elsewhere. Needs CAP_NET_ADMIN in the namespace.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

# linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_queue.h
NETLINK_NETFILTER = 12
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5
SO_RCVBUFFORCE = 33
SUBSYSTEM_QUEUE = 3 << 8
PACKET, VERDICT, CONFIG = 0, 1, 2
REQUEST, WITH_ACK = 1, 5
ERROR = 2
CFG_CMD, CFG_PARAMS, CFG_MAXLEN, CFG_MASK, CFG_FLAGS = 1, 2, 3, 4, 5
BIND = 1
COPY_META, COPY_PACKET = 1, 2
FAIL_OPEN, GSO = 1, 4
ATTR_HEADER, ATTR_VERDICT, ATTR_MARK, ATTR_PAYLOAD = 1, 2, 3, 10
DROP, ACCEPT = 0, 1

MAX_PACKETS = 65_536
"""Packets that may wait in the kernel; above this they pass at once. At 10,000 a second it is a delay of 6 s."""

RECEIVE_BUFFER = 16 << 20
"""Bytes; what arrives while the program does not run. Above this packets pass at once as well."""

WHOLE = 0xFFFF
LARGEST_MESSAGE = WHOLE + 1024
LARGEST_SEND = 64 << 10
"""Bytes of answers in one call; the socket takes about three times that."""

AT_ONCE = 256
"""Packets read before looking at the clock again."""

_MESSAGE = struct.Struct("=IHHII")
_FAMILY = struct.Struct(">BBH")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct(">I")
_VERDICT_AND_ID = struct.Struct(">II")
_HEADERS = _MESSAGE.size + _FAMILY.size


class Packet(NamedTuple):
    """One packet that waits: the kernel's number for it, its mark, and its bytes from the IP header on if copied."""

    number: int
    mark: int
    content: bytes


class Answer(NamedTuple):
    """What becomes of a packet: accepted or dropped, with which mark, and with which bytes where they are changed."""

    verdict: int
    number: int
    mark: int
    content: bytes = b""


class QueueTaken(Exception):
    """Somebody else in this namespace listens on this queue already."""


class PacketQueue:
    """One queue, bound from the start on."""

    def __init__(self, number: int) -> None:
        """Raises QueueTaken; PermissionError without CAP_NET_ADMIN."""
        self._number = number
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._early: list[Packet] = []
        self._asked = 0
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except PermissionError:  # inside a user namespace of its own: what everybody may have has to do
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        # Without it every overflow is an error of the next read, and there is nothing to be done about it.
        self._socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        try:
            self._configure(_attribute(CFG_CMD, struct.pack(">BBH", BIND, 0, 0)))
        except OSError as error:
            # The same error as without the capability: only the kernel's list of queues tells.
            if error.errno == errno.EPERM and _listed(number):
                raise QueueTaken(f"queue {number} of this network namespace is in use by another program") from None
            raise
        self.take(wanted=True)
        self.copy_content(wanted=False)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """To wait on."""
        return self._socket.fileno()

    def copy_content(self, *, wanted: bool) -> None:
        """With the bytes, packets come as they are on a wire, one by one and with their checksums complete; without
        them the kernel's large ones stay whole, which is many times faster.
        """
        mode, size, flags = (COPY_PACKET, WHOLE, FAIL_OPEN) if wanted else (COPY_META, 0, FAIL_OPEN | GSO)
        self._configure(
            _attribute(CFG_PARAMS, struct.pack(">IB", size, mode))
            + _attribute(CFG_MASK, _NUMBER.pack(FAIL_OPEN | GSO))
            + _attribute(CFG_FLAGS, _NUMBER.pack(flags))
        )

    def take(self, *, wanted: bool) -> None:
        """Whether packets come from now on, or pass the queue by; those that wait go on waiting."""
        self._configure(_attribute(CFG_MAXLEN, _NUMBER.pack(MAX_PACKETS if wanted else 0)))

    def receive(self) -> list[Packet]:
        """Packets that have arrived, at most about AT_ONCE; none when there are none."""
        packets, self._early = self._early, []
        for _ in range(AT_ONCE):
            try:
                packet = parsed(self._socket.recv(LARGEST_MESSAGE))
            except BlockingIOError:
                break
            if packet is not None:
                packets.append(packet)
        return packets

    def pending(self) -> bool:
        """Whether packets have arrived that nobody has read yet."""
        return bool(self._early) or bool(select.select([self._socket], [], [], 0)[0])

    def answer(self, answers: Iterable[Answer]) -> None:
        """Tell the kernel what becomes of these packets; in their order, many at a time."""
        messages: list[bytes] = []
        size = 0
        for each in answers:
            messages.append(self._verdict(each))
            size += len(messages[-1])
            if size > LARGEST_SEND:
                self._socket.send(b"".join(messages))
                messages, size = [], 0
        if messages:
            self._socket.send(b"".join(messages))

    def close(self) -> None:
        """Whatever still waits is dropped by the kernel; from now on packets pass."""
        self._socket.close()

    def _verdict(self, answer: Answer) -> bytes:
        body = _attribute(ATTR_VERDICT, _VERDICT_AND_ID.pack(answer.verdict, answer.number))
        body += _attribute(ATTR_MARK, _NUMBER.pack(answer.mark))
        if answer.content:
            body += _attribute(ATTR_PAYLOAD, answer.content)
        # No word comes back about it but where the packet is gone, as all are when a chain of the namespace goes.
        return self._message(VERDICT, REQUEST, 0, body)

    def _message(self, kind: int, flags: int, sequence: int, body: bytes) -> bytes:
        body = _FAMILY.pack(socket.AF_UNSPEC, 0, self._number) + body
        return _MESSAGE.pack(_MESSAGE.size + len(body), SUBSYSTEM_QUEUE | kind, flags, sequence, 0) + body

    def _configure(self, body: bytes) -> None:
        """Change the queue and see that it is changed; packets that come meanwhile are kept. Raises OSError."""
        self._asked += 1
        self._socket.send(self._message(CONFIG, WITH_ACK, self._asked, body))
        while True:
            try:
                message = self._socket.recv(LARGEST_MESSAGE, socket.MSG_DONTWAIT)
            except BlockingIOError:  # no room for the kernel's word among so many packets: it had no reason to refuse
                return
            _, kind, _, sequence, _ = _MESSAGE.unpack_from(message)
            if kind == ERROR and sequence == self._asked:
                (code,) = struct.unpack_from("=i", message, _MESSAGE.size)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return
            packet = parsed(message)
            if packet is not None:
                self._early.append(packet)


def parsed(message: bytes) -> Packet | None:
    """A packet of the kernel's; None for what is none, as the word that a packet is gone with its interface."""
    length, kind = _MESSAGE.unpack_from(message)[:2]
    if kind != SUBSYSTEM_QUEUE | PACKET:
        return None
    number = mark = 0
    content = b""
    at = _HEADERS
    while at + _ATTRIBUTE.size <= length:
        size, name = _ATTRIBUTE.unpack_from(message, at)
        if name == ATTR_HEADER:
            (number,) = _NUMBER.unpack_from(message, at + _ATTRIBUTE.size)
        elif name == ATTR_MARK:
            (mark,) = _NUMBER.unpack_from(message, at + _ATTRIBUTE.size)
        elif name == ATTR_PAYLOAD:
            content = message[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
    return Packet(number, mark, content)


def _listed(number: int) -> list[list[str]]:
    """The kernel's line about a queue of this namespace, in fields; none where nobody has bound it."""
    with open("/proc/self/net/netfilter/nfnetlink_queue", encoding="ascii") as file:  # noqa: PTH123  # starts fast
        rows = [line.split() for line in file]
    return [row for row in rows if int(row[0]) == number]


def _attribute(name: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, name) + value + bytes(-size % 4)
