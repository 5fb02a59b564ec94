"""Asks a gRPC server for its health over a kept channel (grpc.health.v1). Runs on asyncio alone, as grpc.aio does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

import anyio
import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from actors.prober.cancelling import asked_for
from actors.prober.connect import listening
from actors.prober.connections import Connections, Lost
from actors.prober.failures import wrong_answer
from coordinator.record import Reading
from coordinator.scenarios.probes import GrpcHealthProbe

UNKNOWN_SERVICE: Final = "SERVICE_UNKNOWN"
_OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    # Channels to one address would share its connection, and how long to wait before trying again.
    ("grpc.use_local_subchannel_pool", 1),
)


class _Channel:
    """A channel, closed without waiting for what is under way."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub = health_pb2_grpc.HealthStub(channel)

    async def check(self, service: str) -> str:
        """The status. Raises TimeoutError, Lost."""
        try:
            answer = await self._stub.Check(health_pb2.HealthCheckRequest(service=service))
        except grpc.aio.AioRpcError as error:
            code = error.code()
            if code is grpc.StatusCode.NOT_FOUND:
                return UNKNOWN_SERVICE
            if code is grpc.StatusCode.UNAVAILABLE:
                raise Lost(error.details() or code.name) from error
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError(error.details()) from error
            return f"{code.name}: {error.details()}"
        except asyncio.CancelledError:
            # grpc.aio replaces the one it met by one that no cancel scope knows.
            if await asked_for():
                raise
            raise Lost("the call was cancelled") from None
        status: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return status

    async def aclose(self) -> None:
        await self._channel.close(None)


async def look(
    probe: GrpcHealthProbe, host: str, tls: Callable[[], ssl.SSLContext], connections: Connections
) -> Reading:
    """Ask once. The latency is of the call, and of connecting where there was no channel.

    Raises OSError, SSLError, LinkLocalAddress, Lost.
    """

    async def connect() -> _Channel:
        trusted = tls if probe.tls else None
        return _Channel(_open(await listening(host, probe.port, trusted), host, probe.port, trusted))

    began = anyio.current_time()
    server = ("grpc", host, probe.port, probe.tls)
    status = await connections.ask(server, connect, lambda channel: channel.check(probe.service))
    latency_s = anyio.current_time() - began
    value = status.partition(":")[0]
    if value != probe.expect.status:
        return wrong_answer(f"{status}, expected {probe.expect.status}", latency_s=latency_s, value=value)
    return Reading(ok=True, latency_s=latency_s, value=value)


def _open(address: str, host: str, port: int, trusted: Callable[[], ssl.SSLContext] | None) -> grpc.aio.Channel:
    """A channel to the address that was looked at, under the name that was asked for."""
    place = f"ipv6:[{address}]:{port}" if ":" in address else f"ipv4:{address}:{port}"
    shown = f"[{host}]" if ":" in host else host
    options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.default_authority", f"{shown}:{port}")]
    if trusted is None:
        return grpc.aio.insecure_channel(place, options)
    # Its own are others than this machine's.
    roots = "".join(map(ssl.DER_cert_to_PEM_cert, trusted().get_ca_certs(binary_form=True)))
    credentials = grpc.ssl_channel_credentials(roots.encode() or None)
    return grpc.aio.secure_channel(place, credentials, [*options, ("grpc.ssl_target_name_override", host)])
