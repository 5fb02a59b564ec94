"""A connection to Redis by redis.asyncio. Knows no key; keeps the URL, with the password in it, to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote, urlsplit

import anyio
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, WatchError

from actors.data_adapter.store import Denied, Unreachable, Unusable, first_line, without

TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 1.0
PROTOCOL: Final = 2
"""RESP2: every Redis speaks it, and replies keep one shape whatever the library's default becomes."""


class Forbidden(Exception):
    """The user of REDIS_URL lacks a right; the message names the command or the key, as Redis does."""


class Overtaken(Exception):
    """What was watched has changed: look again."""


class RedisStore:
    """The client of one life; made anew by `connect`."""

    def __init__(self, url: SecretStr, client_name: str) -> None:
        """Open nothing yet. `client_name` is what the server's administrator sees."""
        self._url = url
        self._client_name: str | None = client_name
        self._client: Redis | None = None

    async def connect(self) -> None:
        """Make a client and see that it is answered. Raises Unreachable, Denied, Unusable."""
        try:
            self._client = Redis.from_url(
                self._url.get_secret_value(),
                protocol=PROTOCOL,
                client_name=self._client_name,
                decode_responses=True,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                max_connections=1,
                retry=Retry(NoBackoff(), 0),  # the adapter paces retries itself
            )
        except (ValueError, TypeError):
            # The library quotes the part it stumbles over, which may be the password.
            raise Unusable(
                "REDIS_URL cannot be read; write redis://user:password@host:6379/0,"
                " with special characters of the password percent-encoded"
            ) from None
        await self.ping()

    async def ping(self) -> None:
        """Send PING; a refusal is an answer too. Raises Unreachable, Denied."""
        try:
            async with self.asked() as client:
                await client.ping()
        except Forbidden as error:
            if self._client_name is not None and "setname" in str(error):
                # The name is a courtesy to the administrator.
                self._client_name = None
                raise Unreachable("this user may not name its connection: trying without a name") from error

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[Redis]:
        """The client, for calls that belong together. Raises Unreachable, Denied, Forbidden, Overtaken."""
        if self._client is None:
            raise Unreachable("not connected")
        try:
            with anyio.fail_after(TIMEOUT_S):
                yield self._client
        except TimeoutError as error:
            raise Unreachable(f"no answer within {TIMEOUT_S:g} s") from error
        except NoPermissionError as error:
            raise Forbidden(self._told(error)) from error
        except WatchError as error:
            raise Overtaken from error
        except (AuthenticationError, AuthorizationError) as error:
            raise Denied(f"{self._told(error)}; correct REDIS_URL or the server's users") from error
        except (RedisError, OSError, UnicodeError) as error:
            raise Unreachable(self._told(error)) from error

    def _told(self, error: BaseException) -> str:
        password = urlsplit(self._url.get_secret_value()).password or ""
        return without(first_line(error), password, unquote(password))

    async def close(self) -> None:
        """Close the connections of this client."""
        client, self._client = self._client, None
        if client is None:
            return
        with anyio.move_on_after(CLOSE_TIMEOUT_S):
            try:
                await client.aclose()
            except (RedisError, OSError):
                return  # already gone, which is what was wanted
