"""Lets a client finish sending before it is answered: closing a connection with unread data makes the kernel reset it,
and the client never reads why (RFC 9112, 9.6). What is let go by is dropped; how much and how long is bounded.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

import anyio
from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent

PATIENCE_S: Final = 2.0
MAX_BYTES: Final = 16 * 1024 * 1024


class Upload:
    """One request's body, seen from the wire."""

    def __init__(self, receive: ASGIReceiveCallable) -> None:
        """Stand between the server and the framework."""
        self._receive = receive
        self._seen = 0
        self._over = anyio.Event()

    async def receive(self) -> ASGIReceiveEvent:
        """The server's next event, as the framework asks for it."""
        event = await self._receive()
        if event["type"] == "http.request":
            self._seen += len(event.get("body", b""))
            if not event.get("more_body", False) or self._seen > MAX_BYTES:
                self._over.set()
        else:
            self._over.set()
        return event

    async def wait_sent(self) -> None:
        """Return when the client has sent all, has gone, or has had its chance."""
        with anyio.move_on_after(PATIENCE_S):
            await self._over.wait()


current: ContextVar[Upload | None] = ContextVar("actors.http_api.upload", default=None)
"""The upload of the request that is being answered."""
