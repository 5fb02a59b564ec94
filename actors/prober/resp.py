"""A connection to a Redis server, and one command over it: RESP2, which every Redis speaks. Bounded in what it reads;
knows no command but AUTH and SELECT.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from actors.prober.connect import opened
from actors.prober.connections import Lost

Reply = int | str | None | list["Reply"]
"""What RESP2 can say: a number, a text, nothing, a list."""

MOST_BYTES: Final = 1 << 20
"""Of one text in a reply."""
MOST_ITEMS: Final = 100_000
"""Of one reply, all its lists counted."""
_LINE: Final = 65536
_DEPTH: Final = 8
_PORT: Final = 6379


class ServerError(Exception):
    """The server answered with an error; the message is its own."""


class NotRedis(Exception):
    """What came is not RESP, or more than is read."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a server is and as whom it is asked."""

    host: str
    port: int
    database: int
    tls: bool
    user: str = ""
    password: str = field(default="", repr=False)


def parse_address(url: str, password: str | None) -> RedisAddress:
    """Take `redis://user:password@host:port/database` apart; `password` stands in for the one in it.

    Raises ValueError.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/") or "0"
    if not parts.hostname or not database.isdecimal() or parts.query:
        raise ValueError("not the URL of a Redis server: write redis://user@host:6379/0")
    return RedisAddress(
        host=parts.hostname,
        port=parts.port or _PORT,
        database=int(database),
        tls=parts.scheme == "rediss",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or "") if password is None else password,
    )


class RedisConnection:
    """One connection, for one command at a time."""

    def __init__(self, stream: ByteStream) -> None:
        """Take over an open stream."""
        self._stream = stream
        self._replies = BufferedByteReceiveStream(stream)

    async def run(self, *words: str) -> Reply:
        """Send a command and read its answer. Raises ServerError, NotRedis, Lost."""
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        try:
            await self._stream.send(b"".join(parts))
            return await self._reply([MOST_ITEMS])
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as error:
            raise Lost("the server closed the connection") from error

    async def aclose(self) -> None:
        """Let go at once."""
        await anyio.aclose_forcefully(self._stream)

    async def _reply(self, room: list[int], depth: int = 0) -> Reply:
        """One value. `room` holds how many more there may be."""
        try:
            line = await self._replies.receive_until(b"\r\n", _LINE)
        except anyio.DelimiterNotFound:
            raise NotRedis("a line without an end: is this a Redis server?") from None
        room[0] -= 1
        if room[0] < 0 or depth > _DEPTH:
            raise NotRedis(f"a reply of more than {MOST_ITEMS} items or {_DEPTH} lists in each other")
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"+":
            return rest
        if kind == b"-":
            raise ServerError(rest)
        number = _whole(kind, rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [await self._reply(room, depth + 1) for _ in range(number)]
        if number > MOST_BYTES:
            raise NotRedis(f"a reply of {number} bytes, above the {MOST_BYTES} that are read")
        text = await self._replies.receive_exactly(number + 2)
        return text[:-2].decode(errors="replace")


def _whole(kind: bytes, rest: str) -> int:
    """The number behind `:`, `$` or `*`. Raises NotRedis."""
    try:
        if kind in {b":", b"$", b"*"}:
            return int(rest)
    except ValueError:
        pass
    raise NotRedis("not an answer of a Redis server")


async def connect(address: RedisAddress, tls: Callable[[], ssl.SSLContext]) -> RedisConnection:
    """Connect, log in and choose the database.

    Raises OSError, SSLError, LinkLocalAddress, ServerError, NotRedis, Lost.
    """
    stream = await opened(address.host, address.port, tls if address.tls else None)
    done = False
    try:
        connection = RedisConnection(stream)
        if address.password:
            await connection.run("AUTH", *filter(None, (address.user, address.password)))
        if address.database:
            await connection.run("SELECT", str(address.database))
        done = True
        return connection
    finally:
        if not done:
            await anyio.aclose_forcefully(stream)
