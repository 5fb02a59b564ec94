"""The kernel's messages about packets, read. Speaking with a kernel is in the integration tests."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs.packet_queue import Packet, parsed


def attribute(name: int, value: bytes) -> bytes:
    """As the kernel writes one: in multiples of four bytes."""
    return struct.pack("=HH", 4 + len(value), name) + value + bytes(-len(value) % 4)


def message(*attributes: bytes, kind: int = 3 << 8) -> bytes:
    """About a packet, unless another kind is asked for."""
    body = struct.pack(">BBH", 2, 0, 31744) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=100), st.booleans())
def test_number_mark_and_content_are_found(number: int, mark: int, content: bytes, more: bool) -> None:
    """Wherever they stand between attributes that nobody asked for."""
    parts = [attribute(1, struct.pack(">IHB", number, 0x800, 0)), attribute(5, struct.pack(">I", 2))]
    parts += [attribute(3, struct.pack(">I", mark))] * bool(mark)
    parts += [attribute(9, b"\0\6\0\0hwaddr\0\0"), attribute(19, bytes(4))] * more
    parts += [attribute(10, content)] * bool(content)
    assert parsed(message(*parts)) == Packet(number, mark, content)


def test_what_is_no_packet_is_none() -> None:
    """The answer about a packet that is gone with its interface."""
    assert parsed(struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -2)) is None
