"""Reads a container's log from a place on and counts the lines a pattern is found in. Holds one line at a time; knows
the engine's framing (docker API, attach) and no pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from docker.api.client import APIClient
from docker.errors import NotFound, create_api_error_from_http_exception
from requests import HTTPError

from coordinator.faults.facts import LogPart, LogPlace
from coordinator.ports import LogStream

MOST_BYTES: Final = 8 << 20
"""Of one part: whoever asks decides after each whether to go on."""

MOST_LINE: Final = 16384
"""Bytes of a line that are looked at, which is also what the engine keeps of one in one piece."""

_CHUNK: Final = 65536
_HEADER: Final = 8
_SECOND: Final = len("2026-01-02T03:04:05")
_STAMP: Final = len("2026-01-02T03:04:05.123456789Z")


def read_log(
    client: APIClient,
    container: str,
    place: LogPlace,
    stream: LogStream,
    matches: Callable[[str], bool],
) -> LogPart | None:
    """What was added after `place`; None if there is no such container. Raises what the SDK and requests raise."""
    try:
        tty = client.inspect_container(container)["Config"]["Tty"]
    except NotFound:
        return None
    query = {
        "stdout": int(stream != "stderr"),
        "stderr": int(stream != "stdout"),
        "timestamps": 1,
        "since": f"{place.at_ns // 10**9}.{place.at_ns % 10**9:09d}",
    }
    url = f"{client.base_url}/v{client.api_version}/containers/{container}/logs"
    # Closed in time: what was not read goes no further than the socket.
    with closing(client.get(url, params=query, stream=True, timeout=client.timeout)) as response:
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        try:
            response.raise_for_status()
        except HTTPError as error:
            raise create_api_error_from_http_exception(error) from error
        chunks = response.iter_content(_CHUNK)
        return counted(split(chunks) if tty else framed(chunks), place, matches)


def counted(lines: Iterable[bytes], place: LogPlace, matches: Callable[[str], bool]) -> LogPart:
    """Count those behind `place`, each with its time in front, up to MOST_BYTES."""
    at, seen, matching, size = place.at_ns, place.seen, 0, 0
    known = place.seen
    for line in lines:
        at_ns = nanoseconds(line[:_STAMP])
        if at_ns is None or at_ns < place.at_ns:
            continue
        if at_ns == place.at_ns and known > 0:
            known -= 1
            continue
        size += len(line)
        if at_ns > at:
            at, seen = at_ns, 0
        seen += at_ns == at
        matching += matches(line[_STAMP + 1 :].decode(errors="replace").rstrip("\r\n"))
        if size >= MOST_BYTES:
            return LogPart(matching=matching, place=LogPlace(at_ns=at, seen=seen), more=True)
    return LogPart(matching=matching, place=LogPlace(at_ns=at, seen=seen), more=False)


def nanoseconds(stamp: bytes) -> int | None:
    """Since the epoch, of a time as the engine writes it; None for anything else."""
    whole = _seconds(stamp[:_SECOND])
    fraction = stamp[_SECOND + 1 : -1]
    if whole is None or len(stamp) != _STAMP or stamp[-1:] != b"Z" or not fraction.isdigit():
        return None
    return whole * 10**9 + int(fraction)


@lru_cache(maxsize=4)
def _seconds(stamp: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(stamp.decode("ascii")).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None


def framed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a stream of frames, each the first MOST_LINE bytes and its time; later pieces are left out."""
    buffer = bytearray()
    going_on: set[int] = set()
    left = 0  # bytes of the present frame that are not read yet
    source, line = 0, b""
    for chunk in chunks:
        buffer += chunk
        while buffer:
            if left == 0:
                if len(buffer) < _HEADER:
                    break
                source, left, line = buffer[0], int.from_bytes(buffer[4:_HEADER], "big"), b""
                del buffer[:_HEADER]
            piece = bytes(buffer[:left])
            del buffer[: len(piece)]
            left -= len(piece)
            line += piece[: max(0, MOST_LINE + _STAMP - len(line))]
            if left == 0 and piece:
                if source not in going_on:
                    yield line
                # The engine keeps long lines in pieces, and only the last has an end.
                (going_on.discard if piece.endswith(b"\n") else going_on.add)(source)


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a terminal's stream, which has no frames, each the first MOST_LINE bytes and its time."""
    line = b""
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            yield (line + piece)[: MOST_LINE + _STAMP]
            line = b""
        line = (line + rest)[: MOST_LINE + _STAMP]
    if line:
        yield line
