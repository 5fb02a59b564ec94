"""Hands a second copy of an arrived packet to this network namespace, as the queue itself cannot.

The copy is sent over a raw socket to the packet's own destination and so comes in by the loopback interface, with its
real sender. It never leaves: what is not addressed to this namespace is not copied. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import socket

IPV6 = 6
MULTICAST = 0xFF
LINK_LOCAL = b"\xfe\x80"


class Copies:
    """The raw sockets of both families."""

    def __init__(self) -> None:
        """Raises PermissionError without CAP_NET_RAW."""
        self._ipv4 = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._ipv4.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._ipv4.setblocking(False)
        try:
            self._ipv6: socket.socket | None = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._ipv6.setblocking(False)
        except OSError:  # a kernel without IPv6 has no packets of it to copy either
            self._ipv6 = None

    def send(self, content: bytes) -> bool:
        """Hand in this packet, whole from its IP header on; whether it was one that may be copied and was."""
        try:
            if content[0] >> 4 == IPV6:
                return self._send_ipv6(content)
            address = socket.inet_ntop(socket.AF_INET, content[16:20])
            if not is_own(socket.AF_INET, address):
                return False
            self._ipv4.sendto(content, (address, 0))
        except (OSError, IndexError, ValueError):  # no room, or not a whole packet: a copy less
            return False
        return True

    def _send_ipv6(self, content: bytes) -> bool:
        address = socket.inet_ntop(socket.AF_INET6, content[24:40])
        # A link-local address belongs to an interface, and the copy would come in by another.
        outside = content[24] == MULTICAST or content[24:26] == LINK_LOCAL
        if self._ipv6 is None or outside or not is_own(socket.AF_INET6, address):
            return False
        self._ipv6.sendto(content, (address, 0))
        return True

    def close(self) -> None:
        """Let go of the sockets."""
        self._ipv4.close()
        if self._ipv6 is not None:
            self._ipv6.close()


def is_own(family: socket.AddressFamily, address: str) -> bool:
    """Whether this namespace has the address: the kernel lets a socket have no other."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
