"""Asks a Postgres server for one value over a kept connection. Runs on asyncio alone, as aiopg does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

import aiopg
import anyio
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from actors.prober.cancelling import asked_for
from actors.prober.connect import listening
from actors.prober.connections import Connections, Lost
from actors.prober.failures import shortened, wrong_answer
from actors.prober.secret_texts import SecretSource, revealed, without
from actors.prober.values import valued
from coordinator.record import Reading
from coordinator.scenarios.probes import SqlProbe

_PORT: Final = "5432"
_SHUTTING_DOWN: Final = ("57P01", "57P02", "57P03")
"""The codes with which a server ends its connections, or lets nobody in yet."""
_CLOSED: Final = "server closed the connection"
"""How libpq, whose texts nobody translated for this process, words an end without an answer: it has no code for it."""


class Refusal(Exception):
    """The server answered with an error; the message is its own."""


async def look(probe: SqlProbe, secrets: SecretSource, connections: Connections) -> Reading:
    """Ask once. The latency is of the query, and of connecting where there was no connection.

    Raises OSError, ValueError, LinkLocalAddress, MissingSecret, Lost.
    """
    options = options_of(probe, secrets)

    async def question(session: _Session) -> float | str | Refusal | None:
        try:
            return await session.value(probe.query)
        except Refusal as refusal:
            return refusal  # an answer like others: the connection stays good

    began = anyio.current_time()
    try:
        found = await connections.ask(("sql", *sorted(options.items())), partial(_connect, options), question)
    except Refusal as refusal:
        found = refusal
    latency_s = anyio.current_time() - began
    if isinstance(found, Refusal):
        return wrong_answer(without(str(found), options.get("password", "")), latency_s=latency_s)
    return valued(found, probe.expect.value, latency_s=latency_s)


def options_of(probe: SqlProbe, secrets: SecretSource) -> dict[str, str]:
    """What libpq is told. Raises ValueError, MissingSecret."""
    password = revealed(probe.password, secrets)
    try:
        options: dict[str, str] = parse_dsn(revealed(probe.dsn, secrets))
    except psycopg2.Error:
        options = {}
    host, port = options.get("host", ""), options.get("port", _PORT)
    if not host or "," in host or "@" in host or not port.isdecimal() or "hostaddr" in options:
        # libpq quotes the text it stumbles over, which may be the password; the chain is cut for the same reason.
        raise ValueError(
            "the dsn cannot be read: write postgresql://user:password@host:5432/database, with one host, and special"
            " characters of the password percent-encoded"
        ) from None
    # By the server: a query whose asker gave up goes on there, and the next sample would add another.
    limit = f"-c statement_timeout={max(1, round(probe.timeout * 1000))}"
    given = {"password": password} if password is not None else {}
    return {
        "application_name": "test-coordinator probe",
        **options,
        **given,
        "client_encoding": "UTF8",
        "options": " ".join(filter(None, (limit, options.get("options", "")))),
    }


async def _connect(options: Mapping[str, str]) -> _Session:
    """Raises OSError, LinkLocalAddress, Refusal, Lost."""
    host, where = options["host"], dict(options)
    if not host.startswith(("/", "@")):
        # libpq's own look-up would block the event loop, and it tells no refused connection from another failure.
        where["hostaddr"] = await listening(host, int(options.get("port", _PORT)))
    try:
        opening = aiopg.connect(make_dsn(**where), enable_json=False, enable_hstore=False, enable_uuid=False)
        return _Session(await opening)
    except psycopg2.Error as error:
        said = _first_line(error)
        if _CLOSED in said:
            raise Lost(said) from error
        raise Refusal(said.rsplit("FATAL:", 1)[-1].strip()) from error


class _Session:
    """A connection on which one query is asked at a time."""

    def __init__(self, connection: aiopg.Connection) -> None:
        self._connection = connection

    async def value(self, query: str) -> float | str | None:
        """The value; of a statement that gives no rows, how many it changed. Raises Refusal, Lost, TimeoutError."""
        try:
            async with self._connection.cursor() as cursor:
                await cursor.execute(query)
                if cursor.description is None:
                    return float(cursor.rowcount)
                return single(len(cursor.description), cursor.rowcount, await cursor.fetchmany(1))
        except psycopg2.Error as error:
            if error.pgcode is None and not isinstance(error, psycopg2.ProgrammingError):
                raise Lost(_first_line(error)) from error
            if error.pgcode in _SHUTTING_DOWN:
                raise Lost(_first_line(error)) from error
            raise Refusal(" ".join(filter(None, (error.pgcode, _first_line(error))))) from error
        except asyncio.CancelledError:
            if await asked_for():
                raise
            # aiopg raises this when the server ended the query at its own time limit.
            raise TimeoutError("the server ended the query") from None

    async def aclose(self) -> None:
        """Close the socket; the server ends what it still does at its own limit."""
        await self._connection.close()


def single(columns: int, count: int, rows: list[tuple[Any, ...]]) -> float | str | None:
    """The one value of a result; None when there is no row, or NULL. Raises Refusal."""
    if columns != 1 or count > 1:
        raise Refusal(f"the query gives {columns} columns and {count} rows, expected one of each")
    cell = rows[0][0] if rows else None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float | Decimal) and math.isfinite(cell):
        return float(cell)
    return None if cell is None else shortened(str(cell))


def _first_line(error: psycopg2.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
