"""Opens a TCP connection and closes it: is anyone listening, and how long does it take to be let in?"""

from __future__ import annotations

import socket

import anyio

from actors.prober.connect import first_answering
from actors.prober.sockets import connected
from coordinator.record import Reading


async def look(host: str, port: int) -> Reading:
    """Connect once; value and latency are the seconds it took, name included. Raises OSError, LinkLocalAddress."""

    async def attempt(address: str) -> socket.socket:
        return await connected(address, port)

    began = anyio.current_time()
    with await first_answering(host, port, attempt):
        seconds = anyio.current_time() - began
    return Reading(ok=True, latency_s=seconds, value=seconds)
