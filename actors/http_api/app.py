"""The application: routes put together, every request judged, logged, counted and answered in one style."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import anyio.to_thread
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from quart import Quart, Request, Response, request
from quart.ctx import RequestContext
from quart.typing import ResponseTypes
from werkzeug.exceptions import HTTPException

from actors.http_api import (
    docs,
    engine,
    events,
    executions,
    health,
    page,
    problems,
    reports,
    scan,
    scenarios,
    tree,
    upload,
)
from actors.http_api.guard import MAX_BODY_BYTES, Guard, Head, has_body, secured
from actors.http_api.operations import Operation, Said, described
from coordinator.detached import Detached
from coordinator.errors import CoordinatorError, InvalidScenario, LedgerUnavailable
from coordinator.identity import Identity
from coordinator.listeners import TAKEN_WITHIN_MS
from coordinator.logging import log, task
from coordinator.metrics import Metrics
from coordinator.ports import Control

PREFIX: Final = "/api/v1"
OWN_NAME: Final = "http_api"
_QUIET: Final = frozenset({f"{PREFIX}/health", f"{PREFIX}/ready", "/metrics"})
"""Asked every few seconds by machines: not logged."""
MS_IN_S: Final = 1000
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Served:
    """What the application works with."""

    control: Control
    metrics: Metrics
    identity: Identity
    token: SecretStr
    now: Callable[[], datetime]
    allowed_hosts: Collection[str] = ()


class Api(Quart):
    """Quart with the house's own logging and counting. One per incarnation of the actor."""

    def __init__(self, metrics: Metrics) -> None:
        """Without static files, redirects and Quart's own log."""
        super().__init__("actors.http_api", static_folder=None)
        self.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        self.url_map.merge_slashes = False  # no redirect: it would be built from the Host header
        self.url_map.converters[scenarios.NAMED] = scenarios.NameConverter
        self._metrics = metrics
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._cutting = False
        self.ending = anyio.Event()
        """Set when the server begins to leave: streams, which would never end by themselves, end then."""

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection's request, watching its body go by."""
        if scope["type"] == "http":
            watched = upload.Upload(receive)
            upload.current.set(watched)
            receive, send = watched.receive, _patient(send)
        await super().asgi_app(scope, receive, send)

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Answer a request, whatever happens, and count it."""
        begun = time.perf_counter()
        current = asyncio.current_task()
        if current is not None:
            self._in_flight.add(current)
        try:
            response = await super().handle_request(request)
            watched = upload.current.get()
            if has_body(request.headers) and watched is not None:
                await watched.wait_sent()
        except asyncio.CancelledError:
            if not self._cutting or current is None:
                raise
            current.uncancel()
            detail = "the API is stopping; what was asked for may have been done"
            response = secured(problems.respond(HTTPStatus.SERVICE_UNAVAILABLE, detail))
        finally:
            if current is not None:
                self._in_flight.discard(current)
        route = request.url_rule.rule if request.url_rule is not None else "<none>"
        method = request.method if request.method in _METHODS else "<other>"
        self._metrics.http_request(method, route, response.status_code, time.perf_counter() - begun)
        return response

    async def full_dispatch_request(self, request_context: RequestContext | None = None) -> ResponseTypes:
        """Answer a request as a unit of work of its own: a new Eliot task, which an execution begun by it continues."""
        if request.path in _QUIET:
            return await super().full_dispatch_request(request_context)
        route = request.url_rule.rule if request.url_rule is not None else None
        with task("http:request", method=request.method, path=request.path, route=route) as work:
            response = await super().full_dispatch_request(request_context)
            work.add_success_fields(status=response.status_code)
            return response

    def log_exception(
        self, exception_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        """Log what nobody foresaw, with its stack; the client is told nothing of it."""
        log("http_api:error", "ERROR", traceback="".join(traceback.format_exception(*exception_info)))

    def cut(self) -> int:
        """End the requests that are still being worked on; returns how many."""
        self._cutting = True
        waiting = tuple(self._in_flight)
        for one in waiting:
            one.cancel()
        return len(waiting)


def make_app(served: Served, detached: Detached) -> Api:
    """The application, serving nothing yet."""
    app = Api(served.metrics)
    guard = Guard(served.token, served.allowed_hosts)
    app.register_blueprint(page.routes(served.identity))
    for blueprint in (
        health.routes(served.control, served.identity, served.now),
        tree.routes(served.control, detached, OWN_NAME),
        engine.routes(served.control, detached),
        scan.routes(served.control, detached),
        scenarios.routes(served.control),
        executions.routes(served.control, detached),
        reports.routes(served.control),
        events.routes(served.control, app.ending),
        docs.routes(app, served.identity),
    ):
        app.register_blueprint(blueprint, url_prefix=PREFIX)

    @app.get("/metrics")
    @described(Operation("Measurements", {HTTPStatus.OK: Said("Prometheus text", media_types=("text/plain",))}))
    async def show_metrics() -> Response:
        # Without a ledger nobody knows: the last count stays.
        with suppress(LedgerUnavailable):
            outstanding = await served.control.faults()
            served.metrics.faults_active(Counter(fault.type for fault in outstanding))
        return Response(await anyio.to_thread.run_sync(served.metrics.render), content_type=CONTENT_TYPE_LATEST)

    @app.before_request
    async def judge() -> None:
        guard.check(Head(path=request.path, headers=request.headers))

    app.after_request(_secured)
    app.register_error_handler(HTTPException, problems.of_http)
    app.register_error_handler(CoordinatorError, _of_coordinator)
    app.register_error_handler(problems.RequestRejected, problems.of_rejected)
    return app


def _patient(send: ASGISendCallable) -> ASGISendCallable:
    """A `send` that gives a client up which takes nothing for long: the framework ends the answer at a TimeoutError.

    Over HTTP/2 such a client may well be alive, so that the kernel sees nothing wrong.
    """

    async def send_in_time(message: ASGISendEvent) -> None:
        async with asyncio.timeout(TAKEN_WITHIN_MS / MS_IN_S):
            await send(message)

    return send_in_time


async def _secured(response: Response) -> Response:
    return secured(response)


def _of_coordinator(error: CoordinatorError) -> Response:
    return problems.of_coordinator(scenarios.as_asked(error) if isinstance(error, InvalidScenario) else error)
