"""What is inside an IP packet over UDP or TCP, and the same packet with something else inside: lengths and checksums.

Fragments and packets with IPv6 extension headers are left alone: None.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TCP, UDP = 6, 17
IPV4, IPV6 = 4, 6
IPV4_HEADER, IPV6_HEADER, UDP_HEADER, TCP_HEADER = 20, 40, 8, 20
FRAGMENT = 0x3FFF
"""Of an IPv4 header's fragment field: more to come, or not the first."""


class Datagram(NamedTuple):
    """Where in a packet the transport's header and what it carries begin."""

    protocol: int
    transport: int
    payload: int


def datagram(packet: bytes) -> Datagram | None:
    """Look into a packet."""
    if len(packet) < IPV4_HEADER:
        return None
    version = packet[0] >> 4
    if version == IPV4:
        transport, protocol = (packet[0] & 0x0F) * 4, packet[9]
        if transport < IPV4_HEADER or int.from_bytes(packet[6:8], "big") & FRAGMENT:
            return None
    elif version == IPV6 and len(packet) >= IPV6_HEADER:
        transport, protocol = IPV6_HEADER, packet[6]
    else:
        return None
    if protocol == UDP and len(packet) >= transport + UDP_HEADER:
        return Datagram(UDP, transport, transport + UDP_HEADER)
    if protocol == TCP and len(packet) >= transport + TCP_HEADER:
        payload = transport + (packet[transport + 12] >> 4) * 4
        return Datagram(TCP, transport, payload) if transport + TCP_HEADER <= payload <= len(packet) else None
    return None


def with_payload(packet: bytes, inside: Datagram, payload: bytes) -> bytes:
    """The packet with this in place of what it carried. Over TCP it has to be as long as that was."""
    changed = bytearray(packet[: inside.payload] + payload)
    if packet[0] >> 4 == IPV4:
        struct.pack_into(">H", changed, 2, len(changed))
        struct.pack_into(">H", changed, 10, 0)
        struct.pack_into(">H", changed, 10, checksum(bytes(changed[: inside.transport])))
        addresses = bytes(changed[12:20])
    else:
        struct.pack_into(">H", changed, 4, len(changed) - IPV6_HEADER)
        addresses = bytes(changed[8:40])
    size = len(changed) - inside.transport
    place = inside.transport + (6 if inside.protocol == UDP else 16)
    if inside.protocol == UDP:
        struct.pack_into(">H", changed, inside.transport + 4, size)
    struct.pack_into(">H", changed, place, 0)
    pseudo = addresses + struct.pack(">II", inside.protocol, size)
    found = checksum(pseudo + changed[inside.transport :])
    # Over UDP, 0 means that there is none.
    struct.pack_into(">H", changed, place, found or (0xFFFF if inside.protocol == UDP else 0))
    return bytes(changed)


def checksum(content: bytes) -> int:
    """The internet's: the complement of the sum of all 16-bit words, with the carries added in."""
    content += bytes(len(content) % 2)
    total: int = sum(struct.unpack(f">{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
