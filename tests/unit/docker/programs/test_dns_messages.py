"""Answers of name servers, read and changed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs import dns_messages
from actors.docker.programs.dns_messages import AAAA, A, Question

RIGHT, WRONG, WRONG6 = bytes([10, 1, 2, 3]), bytes([192, 0, 2, 1]), bytes(15) + b"\1"
ADDRESSES = {A: WRONG, AAAA: WRONG6}


def name(text: str) -> bytes:
    """As labels."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def record(kind: int, data: bytes, ttl: int = 300) -> bytes:
    """An answer to the question asked."""
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def answer(text: str, *records: bytes, kind: int = A, flags: int = 0x8180) -> bytes:
    """A server's answer, with an OPT record behind it as most have."""
    head = struct.pack(">6H", 7, flags, 1, len(records), 0, 1)
    return head + name(text) + struct.pack(">HH", kind, 1) + b"".join(records) + b"\0\0\x29\x04\xd0" + bytes(6)


def asked(message: bytes) -> Question:
    """Its question, which is there."""
    found = dns_messages.question(message)
    assert found is not None
    return found


def test_the_question_is_read() -> None:
    """In lower case, as servers repeat whatever case was asked with."""
    found = asked(answer("Db.Example.COM", kind=AAAA))
    assert found[:2] == ("db.example.com", AAAA)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        answer("db")[:11],
        answer("db", flags=0x0100),  # a question, not an answer
        struct.pack(">6H", 7, 0x8180, 2, 0, 0, 0) + name("a") + bytes(4),  # two questions
        struct.pack(">6H", 7, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c" + bytes(4),  # a pointer to itself
        struct.pack(">6H", 7, 0x8180, 1, 0, 0, 0) + b"\x05ab",
        answer("db").replace(struct.pack(">HH", A, 1), struct.pack(">HH", A, 3)),  # not of the internet
    ],
)
def test_what_is_no_answer_to_one_question_is_none(message: bytes) -> None:
    """Nothing is guessed at."""
    assert dns_messages.question(message) is None


@given(st.binary(max_size=300))
def test_noise_is_no_error(noise: bytes) -> None:
    """However malformed: it is left alone or changed, and never raises."""
    found = dns_messages.question(noise)
    if found is not None:
        dns_messages.no_such_name(noise, found)
        dns_messages.with_addresses(noise, found, ADDRESSES)
        dns_messages.replaced_addresses(noise, found, ADDRESSES)


@given(st.binary(max_size=60), st.sampled_from([A, AAAA]))
def test_noise_behind_a_question_is_no_error(noise: bytes, kind: int) -> None:
    """Replacing never changes the length, whatever the records hold."""
    message = struct.pack(">6H", 7, 0x8180, 1, 3, 0, 0) + name("db") + struct.pack(">HH", kind, 1) + noise
    changed = dns_messages.replaced_addresses(message, asked(message), ADDRESSES)
    assert changed is None or len(changed) == len(message)


def test_a_name_is_meant_alone_or_with_all_inside_of_it() -> None:
    """Exactly, or by a star for whole labels; a star alone is every name."""
    assert dns_messages.is_meant("db.shop", ("x", "db.shop"))
    assert not dns_messages.is_meant("a.db.shop", ("db.shop",))
    assert not dns_messages.is_meant("mydb.shop", ("db.shop", "*.db.shop"))
    assert dns_messages.is_meant("one.a.db.shop", ("x", "*.db.shop"))
    assert not dns_messages.is_meant("db.shop", ("*.db.shop",))
    assert dns_messages.is_meant("db.shop", ("*",))


def test_no_such_name() -> None:
    """Status 3, the question repeated, no records, not truncated."""
    message = answer("db", record(A, RIGHT), flags=0x8380)
    changed = dns_messages.no_such_name(message, asked(message))
    assert struct.unpack_from(">6H", changed) == (7, 0x8183, 1, 0, 0, 0)
    assert asked(changed).name == "db"


@pytest.mark.parametrize(("kind", "address"), [(A, WRONG), (AAAA, WRONG6)])
def test_a_wrong_address(kind: int, address: bytes) -> None:
    """Status 0 whatever the server said, one record of the kind asked for, soon forgotten."""
    message = answer("db", kind=kind, flags=0x8183)
    changed = dns_messages.with_addresses(message, asked(message), ADDRESSES)
    assert changed is not None
    assert struct.unpack_from(">6H", changed) == (7, 0x8180, 1, 1, 0, 0)
    assert changed.endswith(record(kind, address, dns_messages.TTL_S))


def test_no_right_address_gets_by() -> None:
    """Without a wrong one of the kind asked for there is none; other kinds of records stay as they are."""
    message = answer("db", record(AAAA, WRONG6), kind=AAAA)
    changed = dns_messages.with_addresses(message, asked(message), {A: WRONG})
    assert changed is not None
    assert struct.unpack_from(">6H", changed)[3] == 0
    other = answer("db", record(16, b"\2hi"), kind=16)
    assert dns_messages.with_addresses(other, asked(other), ADDRESSES) is None


def test_addresses_are_replaced_in_place() -> None:
    """All of them, behind names that lead elsewhere, and nothing else; none where there is none."""
    alias = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 300, len(name("other"))) + name("other")
    direct = name("other") + struct.pack(">HHIH", A, 1, 300, 4) + RIGHT
    message = answer("db", alias, direct, record(A, RIGHT))
    changed = dns_messages.replaced_addresses(message, asked(message), ADDRESSES)
    assert changed is not None
    assert len(changed) == len(message)
    assert changed.count(WRONG) == 2
    assert RIGHT not in changed
    assert dns_messages.replaced_addresses(answer("db"), asked(answer("db")), ADDRESSES) is None


def test_padding_fits_or_is_none() -> None:
    """An answer never grows."""
    assert dns_messages.padded(b"ab", 4) == b"ab\0\0"
    assert dns_messages.padded(b"abc", 2) is None
