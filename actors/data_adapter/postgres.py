"""A connection to Postgres by aiopg: satisfies `Database`. Knows no table; keeps the URL and its password to itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiopg
import anyio
import anyio.lowlevel
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn
from pydantic import SecretStr

from actors.data_adapter.database import Statement
from actors.data_adapter.refusals import meaning
from actors.data_adapter.store import Denied, Unreachable, Unusable
from coordinator.errors import CoordinatorError

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
STATEMENT_TIMEOUT_S: Final = 30.0
"""Enforced by the server: a query whose client was cancelled goes on there without it."""
_DEFAULT_PORT: Final = "5432"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where one server may be. `address` is None for a socket's folder, which libpq opens without asking a resolver."""

    host: str
    port: str
    address: str | None


class Postgres:
    """One connection whose unqualified names are those of one schema."""

    def __init__(self, url: SecretStr, schema: str, application_name: str) -> None:
        """Open nothing yet. `application_name` is what the server's administrator sees."""
        self._url = url
        self._schema = schema
        self._application_name = application_name
        self._connection: aiopg.Connection | None = None

    async def connect(self) -> None:
        """Connect to the first of the URL's addresses that answers."""
        options = self._options()
        failure: CoordinatorError = Unreachable("the URL names no host")
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                for endpoint in await _endpoints(options):
                    try:
                        self._connection = await self._open(options, endpoint)
                    except (Unreachable, Denied) as error:
                        failure = error
                    else:
                        return
        except TimeoutError as error:
            raise Unreachable(f"no answer within {CONNECT_TIMEOUT_S:g} s") from error
        raise failure

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """See `Database`."""
        async with self._asking() as cursor:
            await cursor.execute(sql, values or None)
            return list(await cursor.fetchall()) if cursor.description is not None else []

    async def run(self, statements: Sequence[Statement]) -> None:
        """See `Database`. Statements sent as one are one transaction for the server."""
        async with self._asking() as cursor:
            # A statement without values is sent as it is: only then may it hold a percent sign.
            texts = [cursor.mogrify(one.sql, one.values or None).decode() for one in statements]
            await cursor.execute(";\n".join(texts))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Database`. An error needs no rollback: its connection is closed."""
        await self.fetch("BEGIN")
        yield
        await self.fetch("COMMIT")

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[aiopg.Cursor]:
        """A cursor, and what goes wrong with it told in our words."""
        if self._connection is None:
            raise Unreachable("not connected")
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                async with self._connection.cursor() as cursor:
                    yield cursor
        except TimeoutError as error:
            raise Unreachable(f"no answer within {ANSWER_TIMEOUT_S:g} s") from error
        except (psycopg2.Error, OSError) as error:
            raise self._told(error) from error
        except asyncio.CancelledError:
            await anyio.lowlevel.checkpoint_if_cancelled()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody asked: aiopg raises this when the server ended the query at its own time limit.
            raise Unreachable("the server ended the query") from None

    async def close(self) -> None:
        """Drop the connection; one whose query was cancelled is never used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _options(self) -> dict[str, str]:
        try:
            options: dict[str, str] = parse_dsn(self._url.get_secret_value())
        except psycopg2.Error:
            options = {}
        ports = [port or _DEFAULT_PORT for port in options.get("port", "").split(",")]
        mixed_up = any("@" in options.get(name, "") for name in ("host", "port", "dbname"))
        if not options or mixed_up or not all(port.isdecimal() for port in ports) or "hostaddr" in options:
            # libpq quotes the text it stumbles over, which may be the password; the chain is cut for the same reason.
            raise Unusable(
                "POSTGRES_URL cannot be read; write postgresql://user:password@host:5432/database,"
                " with special characters of the password percent-encoded and without hostaddr"
            ) from None
        limit = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000:.0f}"
        # The last one holds: a limit may be set in the URL, another schema may not.
        schema = f"-c search_path={self._schema}"
        return options | {
            "application_name": self._application_name,
            "client_encoding": "UTF8",
            "options": " ".join(filter(None, (limit, options.get("options", ""), schema))),
        }

    async def _open(self, options: dict[str, str], endpoint: _Endpoint) -> aiopg.Connection:
        where = {"host": endpoint.host, "port": endpoint.port}
        if endpoint.address is not None:
            where["hostaddr"] = endpoint.address
        try:
            return await aiopg.connect(make_dsn(**(options | where)), timeout=CONNECT_TIMEOUT_S)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {CONNECT_TIMEOUT_S:g} s") from error
        except (psycopg2.Error, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: psycopg2.Error | OSError) -> CoordinatorError:
        return meaning(error, parse_dsn(self._url.get_secret_value()).get("password", ""))


async def _endpoints(options: dict[str, str]) -> list[_Endpoint]:
    """Every address of every host: libpq's own look-up would block the event loop for as long as the resolver takes."""
    hosts = [host or "localhost" for host in options.get("host", "").split(",")]
    ports = [port or _DEFAULT_PORT for port in options.get("port", "").split(",")]
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(hosts) != len(ports):
        raise Unusable("POSTGRES_URL: give as many ports as hosts, or one port")
    found: list[_Endpoint] = []
    failure: OSError | None = None
    for host, port in zip(hosts, ports, strict=True):
        if host.startswith(("/", "@")):
            found.append(_Endpoint(host, port, None))
            continue
        try:
            looked_up = await anyio.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = error if isinstance(error, OSError) else OSError(0, "not a host name")
        else:
            found += [_Endpoint(host, port, str(address[0])) for *_, address in looked_up]
    if not found:
        raise Unreachable(f"the host cannot be looked up: {failure.strerror if failure else 'no address'}") from failure
    return found
