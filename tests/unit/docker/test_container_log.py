import random
from collections.abc import Iterator

import pytest

from actors.docker.container_log import MOST_BYTES, MOST_LINE, counted, framed, nanoseconds, split
from coordinator.faults.facts import LogPlace

AT = 1_767_323_045_000_000_000
STAMP = "2026-01-02T03:04:05.{:09d}Z"


def stamped(text: str, nano: int) -> bytes:
    """A line as the engine sends it."""
    return f"{STAMP.format(nano)} {text}\n".encode()


def frame(piece: bytes, source: int = 1) -> bytes:
    """A piece of a stream of frames."""
    return bytes([source, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece


def in_chunks(whole: bytes, sizes: random.Random) -> Iterator[bytes]:
    """Cut at any place."""
    at = 0
    while at < len(whole):
        size = sizes.choice((1, 2, 7, 8, 9, 100, 50_000))
        yield whole[at : at + size]
        at += size


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_lines_however_they_arrive(seed: int) -> None:
    """Lines of both streams come out in order; of a long one its first piece, and nothing of what follows it."""
    long = stamped("begins " + "x" * 20_000, 3)
    whole = b"".join(
        (
            frame(stamped("one", 1)),
            frame(long[:16_384]),
            frame(stamped("two", 4), 2),
            frame(stamped("goes on", 3)[:-1]),
            frame(b""),
            frame(stamped("ends", 3)),
            frame(stamped("three", 5)),
            frame(stamped("no end", 6)[:-1]),
        )
    )
    lines = list(framed(in_chunks(whole, random.Random(seed))))
    assert [line[31:38].rstrip() for line in lines] == [b"one", b"begins", b"two", b"three", b"no end"]


def test_a_line_is_not_held_whole() -> None:
    """Of a frame or line that never ends no more is kept than is looked at."""
    huge = b"x" * (4 * MOST_LINE)
    for lines in (framed([frame(huge)]), split([huge, huge]), split([huge + b"\n" + huge])):
        assert {len(line) for line in lines} == {MOST_LINE + 30}


def test_a_terminals_lines_are_split() -> None:
    """They come without frames, cut anywhere."""
    assert list(split([b"o", b"ne\r\ntw", b"o\r\n", b"three"])) == [b"one\r", b"two\r", b"three"]


def test_lines_are_counted_from_a_place_on() -> None:
    """Two lines of one nanosecond are told apart by how many of them were read."""
    lines = [stamped("bad", 1), stamped("bad", 2), stamped("good", 2), stamped("bad", 2)]
    first = counted(lines[:3], LogPlace(at_ns=0), lambda text: text == "bad")
    second = counted(lines, first.place, lambda text: text == "bad")
    assert (first.matching, first.place, first.more) == (2, LogPlace(at_ns=AT + 2, seen=2), False)
    assert (second.matching, second.place) == (1, LogPlace(at_ns=AT + 2, seen=3))
    assert counted(lines, second.place, lambda _: True).matching == 0
    assert counted([], second.place, lambda _: True).place == second.place


def test_much_is_read_in_parts() -> None:
    """A part ends after some megabytes, and going on from it loses and repeats nothing."""
    lines = [stamped("x" * 1000, 7)] * (2 * MOST_BYTES // 1000)
    place, found, parts, more = LogPlace(at_ns=0), 0, 0, True
    while more:
        part = counted(lines, place, lambda _: True)
        place, found, parts, more = part.place, found + part.matching, parts + 1, part.more
    assert found == len(lines)
    assert parts > 2


@pytest.mark.parametrize("stamp", [b"", b"2026-01-02T03:04:05.12345678Z", b"2026-13-02T03:04:05.123456789Z", b"x" * 30])
def test_what_is_no_time_is_left_out(stamp: bytes) -> None:
    """A line without its time is no line of the log."""
    assert nanoseconds(stamp) is None
    assert counted([stamp], LogPlace(at_ns=0), lambda _: True).matching == 0
