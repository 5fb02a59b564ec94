"""Packets with something else inside. That the kernel takes them is in the integration tests."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs.datagrams import TCP, UDP, Datagram, checksum, datagram, with_payload


def packet(version: int, protocol: int, payload: bytes) -> bytes:
    """One with right lengths and checksums, made by hand but for the filling in."""
    transport = bytes(8) if protocol == UDP else bytes(12) + b"\x60" + bytes(11)
    if version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, 0, 0, 1, 0x4000, 64, protocol, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    else:
        head = struct.pack(">IHBB", 6 << 28, 0, protocol, 64) + bytes(range(32))
    whole = head + transport + payload
    inside = datagram(whole)
    assert inside is not None
    return with_payload(whole, inside, payload)


def is_sound(content: bytes) -> bool:
    """Whether a receiver would take it: checksums come to 0, lengths are the real ones."""
    inside = datagram(content)
    assert inside is not None
    body = content[inside.transport :]
    if content[0] >> 4 == 4:
        addresses = content[12:20]
        right = checksum(content[:20]) == 0 and int.from_bytes(content[2:4], "big") == len(content)
    else:
        addresses = content[8:40]
        right = int.from_bytes(content[4:6], "big") == len(body)
    if inside.protocol == UDP:
        right = right and int.from_bytes(body[4:6], "big") == len(body)
    return right and checksum(addresses + struct.pack(">II", inside.protocol, len(body)) + body) == 0


def test_a_checksum_is_the_internets() -> None:
    """The example of RFC 1071, and a header that is known."""
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
    assert checksum(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")) == 0


@pytest.mark.parametrize("version", [4, 6])
@given(before=st.binary(max_size=60), after=st.binary(max_size=60))
def test_what_is_carried_may_change_its_length(version: int, before: bytes, after: bytes) -> None:
    """Over UDP, with both families."""
    old = packet(version, UDP, before)
    inside = datagram(old)
    assert inside is not None
    new = with_payload(old, inside, after)
    assert new[inside.payload :] == after
    assert is_sound(old)
    assert is_sound(new)


@pytest.mark.parametrize("version", [4, 6])
def test_over_tcp_options_are_skipped(version: int) -> None:
    """What is carried begins behind them."""
    content = packet(version, TCP, b"data")
    inside = datagram(content)
    assert inside is not None
    assert content[inside.payload :] == b"data"
    assert is_sound(with_payload(content, inside, b"atad"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x45" + bytes(19),
        packet(4, UDP, b"x")[:6] + b"\x20\0" + packet(4, UDP, b"x")[8:],
        packet(6, UDP, b"x")[:6] + b"\x2c" + packet(6, UDP, b"x")[7:],
        packet(4, UDP, b"x")[:27],
        packet(4, TCP, b"")[:32] + b"\xf0" + packet(4, TCP, b"")[33:],
        b"\x41" + packet(4, UDP, b"x")[1:],
    ],
    ids=["nothing", "no protocol", "fragment", "extension header", "cut off", "long TCP header", "short IP header"],
)
def test_what_cannot_be_changed_is_none(content: bytes) -> None:
    """Fragments, IPv6 extensions and what is cut off."""
    assert datagram(content) is None


@given(st.binary(max_size=80))
def test_noise_is_no_error(noise: bytes) -> None:
    """Nothing is read that is not there."""
    inside = datagram(noise)
    assert inside is None or isinstance(inside, Datagram)
    assert inside is None or inside.payload <= len(noise)
