"""Sends a Redis server one command over a kept connection, and reads a value out of the answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial

import anyio

from actors.prober import resp
from actors.prober.connections import Connections
from actors.prober.failures import wrong_answer
from actors.prober.secret_texts import SecretSource, revealed, without
from actors.prober.values import number_or_text, valued
from coordinator.record import Reading
from coordinator.scenarios.probes import RedisProbe


async def look(
    probe: RedisProbe, secrets: SecretSource, tls: Callable[[], ssl.SSLContext], connections: Connections
) -> Reading:
    """Ask once. The latency is of the command, and of connecting where there was no connection.

    Raises OSError, ValueError, LinkLocalAddress, MissingSecret, Lost.
    """
    address = resp.parse_address(probe.url, revealed(probe.password, secrets))

    async def question(connection: resp.RedisConnection) -> resp.Reply | resp.ServerError:
        try:
            return await connection.run(*probe.command)
        except resp.ServerError as error:
            return error  # an answer like others: the connection stays good

    began = anyio.current_time()
    reply: resp.Reply | resp.ServerError | resp.NotRedis
    try:
        reply = await connections.ask(address, partial(resp.connect, address, tls), question)
    except (resp.ServerError, resp.NotRedis) as error:
        reply = error
    latency_s = anyio.current_time() - began
    if isinstance(reply, Exception):
        return wrong_answer(without(str(reply), address.password), latency_s=latency_s)
    return valued(value_of(reply), probe.expect.value, latency_s=latency_s)


def value_of(reply: resp.Reply) -> float | str | None:
    """A number or text as it is, of a list its length, None for nil."""
    if isinstance(reply, list):
        return float(len(reply))
    return number_or_text(reply) if isinstance(reply, str) else None if reply is None else float(reply)
