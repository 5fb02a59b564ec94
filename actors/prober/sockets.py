"""Plain connections with as little around them as can be: a thousand are made in a second. Knows no name and no
protocol.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from typing import Final

import anyio
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class Plain(ByteStream):
    """A connected socket as a stream; what goes wrong with it is the OSError that it is."""

    def __init__(self, connected: socket.socket) -> None:
        """Take it over."""
        self._socket = connected

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What has come, at least a byte. Raises EndOfStream, OSError."""
        while True:
            try:
                received = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            if not received:
                raise anyio.EndOfStream
            return received

    async def send(self, item: bytes) -> None:
        """Send all of it. Raises OSError."""
        left = memoryview(item)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    async def send_eof(self) -> None:
        """Send no more."""
        await checkpoint()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close it at once."""
        self._socket.close()
        await checkpoint()


async def connected(address: str, port: int) -> socket.socket:
    """An open connection to an address. Raises OSError, told apart by class."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    done = False
    try:
        made.setblocking(False)
        error = made.connect_ex((address, port))
        if error in _UNDER_WAY:
            await anyio.wait_writable(made)
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = True
        return made
    finally:
        if not done:
            made.close()


async def encrypted(plain: Plain, host: str, trusted: ssl.SSLContext) -> ByteStream:
    """Shake hands with a server that proves to be `host`. Raises SSLError, OSError; the connection is closed then."""
    done = False
    try:
        # Not compatible: servers close without a word, and the protocol above knows where its end is.
        stream = await TLSStream.wrap(plain, hostname=host, ssl_context=trusted, standard_compatible=False)
        done = True
        return stream
    finally:
        if not done:
            await anyio.aclose_forcefully(plain)
