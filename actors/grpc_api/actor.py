"""Serves gRPC on the process's port: executions, health, which follows the tree, and reflection. asyncio-only."""

from __future__ import annotations

from typing import Any, Final

import anyio
import grpc
import grpc.aio
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import SecretStr

from actors.grpc_api.executions import SERVICE_NAME, ExecutionService
from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2_grpc
from actors.grpc_api.guard import TokenGuard
from actors.grpc_api.health import serving
from coordinator.detached import Detached
from coordinator.errors import CoordinatorError
from coordinator.listeners import Listeners
from coordinator.ports import Control
from coordinator.supervision import ChildContext, Snapshot
from coordinator.tls import KeyPair

GRACE_S: Final = 0.5
"""What calls in flight get at a stop; a health watch never ends by itself."""
STOP_WITHIN_S: Final = 1.5
_OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    # A client that is gone without a word is noticed, and its streams are given up.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A scenario has at most a mebibyte.
    ("grpc.max_receive_message_length", 2 * 1024 * 1024),
)
MAX_CALLS: Final = 2000
"""Calls at once, watches included; further ones are told RESOURCE_EXHAUSTED."""
_SERVICES: Final = (SERVICE_NAME, health_service.SERVICE_NAME, reflection.SERVICE_NAME)


class GrpcApiActor:
    """The actor behind gRPC. The work clients left behind outlives its incarnations."""

    name = "grpc_api"
    critical = False

    def __init__(self, listeners: Listeners, control: Control, token: SecretStr, *, tls: KeyPair | None = None) -> None:
        """Serve nothing yet. With `tls` nothing is served in cleartext; with its client CA only to whom that signed."""
        self._listeners = listeners
        self._control = control
        self._guard = TokenGuard(token)
        self._detached = Detached()
        self._tls = tls
        self._latest: Snapshot | None = None
        self._changed: anyio.Event | None = None

    def published(self, snapshot: Snapshot) -> None:
        """Take the tree's latest snapshot; to be called with each one, on the event loop. Never waits."""
        self._latest = snapshot
        if self._changed is not None:
            self._changed.set()

    async def run(self, life: ChildContext) -> None:
        """Serve until asked to stop. Raises CoordinatorError when the port cannot be had."""
        server = grpc.aio.server(options=_OPTIONS, interceptors=(self._guard,), maximum_concurrent_rpcs=MAX_CALLS)
        executions = ExecutionService(self._control, self._detached)
        executions_pb2_grpc.add_ExecutionServiceServicer_to_server(executions, server)
        servicer = health_service.aio.HealthServicer()
        # Not serving until the first snapshot says so.
        await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        reflection.enable_server_reflection(_SERVICES, server)
        where = self._listeners.grpc
        try:
            await self._bind(server, str(where))
        except RuntimeError as error:
            raise CoordinatorError(f"GRPC_PORT={where.port}: gRPC cannot listen on {where}: {error}") from error
        try:
            await server.start()
            async with anyio.create_task_group() as group:
                group.start_soon(self._follow, servicer)
                life.ready()
                await life.stopping.wait()
                group.cancel_scope.cancel(reason="asked to stop")
        finally:
            executions.ending.set()
            # A stop that is itself cancelled leaves the server half-stopped, holding the port.
            with anyio.move_on_after(STOP_WITHIN_S, shield=True):
                await servicer.enter_graceful_shutdown()
                await server.stop(GRACE_S)

    async def _bind(self, server: grpc.aio.Server, where: str) -> None:
        if self._tls is None:
            server.add_insecure_port(where)
            return
        pair = [(await anyio.Path(self._tls.key).read_bytes(), await anyio.Path(self._tls.certificate).read_bytes())]
        ca = await anyio.Path(self._tls.client_ca).read_bytes() if self._tls.client_ca else None
        credentials = grpc.ssl_server_credentials(pair, root_certificates=ca, require_client_auth=ca is not None)
        server.add_secure_port(where, credentials)

    async def _follow(self, servicer: Any) -> None:
        """Pass each change of the tree on to those who watch."""
        told: dict[str, bool] = {}
        while True:
            self._changed = anyio.Event()
            now = serving(self._latest) if self._latest is not None else {}
            for service in told.keys() - now.keys():
                await servicer.set(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            for service, up in now.items():
                if told.get(service) != up:
                    status = (
                        health_pb2.HealthCheckResponse.SERVING if up else health_pb2.HealthCheckResponse.NOT_SERVING
                    )
                    await servicer.set(service, status)
            told = now
            await self._changed.wait()
