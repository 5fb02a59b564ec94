"""Serves the HTTP API on the process's own socket, one incarnation after another. asyncio-only: Hypercorn's server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from hypercorn.asyncio import serve
from hypercorn.config import Config

from actors.http_api.app import OWN_NAME, Api, Served, make_app
from actors.http_api.departures import departures_ignored
from coordinator.detached import Detached
from coordinator.listeners import Listeners
from coordinator.logging import log
from coordinator.supervision import ChildContext
from coordinator.tls import KeyPair

GRACE_S: Final = 1.0
"""What requests in flight get at a stop, shorter than the supervisor's own patience."""
_MARGIN_S: Final = 0.5


class HttpApiActor:
    """The actor behind the API. The socket and the work clients left behind outlive its incarnations."""

    name = OWN_NAME
    critical = True

    def __init__(
        self, listeners: Listeners, served: Served, *, tls: KeyPair | None = None, grace_s: float = GRACE_S
    ) -> None:
        """Serve nothing yet. With `tls` nothing is served in cleartext."""
        self._listeners = listeners
        self._served = served
        self._tls = tls
        self._grace_s = grace_s
        self._detached = Detached()

    async def run(self, life: ChildContext) -> None:
        """Serve until asked to stop. Raises what the server raises."""
        with departures_ignored():
            await self._serve(life)

    async def _serve(self, life: ChildContext) -> None:
        app = make_app(self._served, self._detached)
        up, leave = anyio.Event(), anyio.Event()
        app.before_serving(_setter(up))
        # A task of its own, which this one's cancellation does not reach: a cancelled Hypercorn fails with requests in
        # flight, and may leave its listener open.
        server = asyncio.create_task(serve(app, self._config(), shutdown_trigger=leave.wait), name="hypercorn")
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_tell_ready, up, life)
                group.start_soon(_leave_when_asked, life, group.cancel_scope)
                await asyncio.wait({server})
                group.cancel_scope.cancel(reason="the server has ended")
        finally:
            app.ending.set()
            leave.set()
            with anyio.move_on_after(self._grace_s + 3 * _MARGIN_S, shield=True):
                await self._closed(server, app)
        if server.done() and not server.cancelled():
            server.result()

    def _config(self) -> Config:
        config = Config()
        config.bind = [self._listeners.http_bind()]
        if self._tls is not None:
            config.certfile, config.keyfile = str(self._tls.certificate), str(self._tls.key)
        config.include_server_header = False
        config.accesslog = None
        config.errorlog = logging.getLogger("hypercorn.error")
        logging.getLogger("hypercorn.error").setLevel(logging.WARNING)
        config.graceful_timeout = self._grace_s + _MARGIN_S
        return config

    async def _closed(self, server: asyncio.Task[None], app: Api) -> None:
        """Let requests finish, then answer for those that have not."""
        await asyncio.wait({server}, timeout=self._grace_s)
        if not server.done():
            cut = app.cut()
            log("http_api:cut", "WARNING", requests=cut)
            await asyncio.wait({server}, timeout=_MARGIN_S)
        if not server.done():
            server.cancel()
            await asyncio.wait({server}, timeout=_MARGIN_S)


def _setter(event: anyio.Event) -> Callable[[], Awaitable[None]]:
    async def set_it() -> None:  # called in a task of Hypercorn's, where nothing else may be done
        event.set()

    return set_it


async def _tell_ready(up: anyio.Event, life: ChildContext) -> None:
    await up.wait()
    life.ready()


async def _leave_when_asked(life: ChildContext, scope: anyio.CancelScope) -> None:
    await life.stopping.wait()
    scope.cancel(reason="asked to stop")
