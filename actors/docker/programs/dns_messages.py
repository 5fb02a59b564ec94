"""Answers of a name server, as they would be if the name did not exist or had other addresses. Bytes in, bytes out.

What cannot be read, or is no answer to one question, is none of its business: None.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER = struct.Struct(">6H")
QUESTION_TAIL = struct.Struct(">HH")
RECORD_TAIL = struct.Struct(">HHIH")
RESPONSE, TRUNCATED, RCODE = 0x8000, 0x0200, 0x000F
NO_SUCH_NAME = 3
A, AAAA, INTERNET = 1, 28, 1
POINTER = 0xC0
LONGEST_LABEL, LONGEST_NAME = 63, 255
TO_THE_QUESTION = b"\xc0\x0c"
TTL_S = 1
"""Of what is made up here, so that it is soon forgotten after the fault."""


class Question(NamedTuple):
    """What was asked, and where behind it the answers begin."""

    name: str
    kind: int
    end: int


def question(message: bytes) -> Question | None:
    """The one question of an answer; None where it is no answer, or not one question of the internet."""
    if len(message) < HEADER.size:
        return None
    _, flags, questions, *_ = HEADER.unpack_from(message)
    if not flags & RESPONSE or questions != 1:
        return None
    labels = []
    at = HEADER.size
    while at < len(message) and (size := message[at]):
        if size > LONGEST_LABEL or at > HEADER.size + LONGEST_NAME:
            return None
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1").lower())
        at += 1 + size
    if at + 1 + QUESTION_TAIL.size > len(message):
        return None
    kind, family = QUESTION_TAIL.unpack_from(message, at + 1)
    return Question(".".join(labels), kind, at + 1 + QUESTION_TAIL.size) if family == INTERNET else None


def is_meant(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is one of these. `*.shop` is every name inside of shop but not shop itself, `*` is every name."""
    return any(
        pattern in {name, "*"} or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in patterns
    )


def no_such_name(message: bytes, asked: Question) -> bytes:
    """The answer that there is no such name."""
    identity, flags, *_ = HEADER.unpack_from(message)
    flags = flags & ~(TRUNCATED | RCODE) | NO_SUCH_NAME
    return HEADER.pack(identity, flags, 1, 0, 0, 0) + message[HEADER.size : asked.end]


def with_addresses(message: bytes, asked: Question, addresses: dict[int, bytes]) -> bytes | None:
    """The answer with this address and no other; with none where there is none of the kind asked for, lest the right
    one is found by the other kind. None where no address was asked for.
    """
    if asked.kind not in {A, AAAA}:
        return None
    identity, flags, *_ = HEADER.unpack_from(message)
    address = addresses.get(asked.kind, b"")
    record = TO_THE_QUESTION + RECORD_TAIL.pack(asked.kind, INTERNET, TTL_S, len(address)) + address if address else b""
    head = HEADER.pack(identity, flags & ~(TRUNCATED | RCODE), 1, bool(address), 0, 0)
    return head + message[HEADER.size : asked.end] + record


def replaced_addresses(message: bytes, asked: Question, addresses: dict[int, bytes]) -> bytes | None:
    """As long as it was: every address in the answers is this one. None where none was replaced, or not all can be
    read.
    """
    changed = bytearray(message)
    (answers,) = struct.unpack_from(">H", message, 6)
    at, found = asked.end, False
    for _ in range(answers):
        at = _behind_name(message, at)
        if at + RECORD_TAIL.size > len(message):
            return None
        kind, _, _, size = RECORD_TAIL.unpack_from(message, at)
        at += RECORD_TAIL.size
        if at + size > len(message):
            return None
        address = addresses.get(kind, b"")
        if kind == asked.kind and len(address) == size:
            changed[at : at + size] = address
            struct.pack_into(">I", changed, at - 6, TTL_S)
            found = True
        at += size
    return bytes(changed) if found else None


def padded(answer: bytes, size: int) -> bytes | None:
    """An answer as long as another was, where that was longer; readers stop behind what the header counts."""
    return answer + bytes(size - len(answer)) if len(answer) <= size else None


def _behind_name(message: bytes, at: int) -> int:
    """Where a name ends, which may end with a pointer to elsewhere; beyond the message where it does not."""
    while at < len(message):
        if message[at] >= POINTER:
            return at + 2
        if message[at] == 0:
            return at + 1
        at += 1 + message[at]
    return len(message)
