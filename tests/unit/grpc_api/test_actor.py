import asyncio
from pathlib import Path
from typing import Any

import anyio
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coordinator.listeners import Listeners
from coordinator.supervision import ChildState
from coordinator.tls import KeyPair
from tests.unit.certificates import self_signed
from tests.unit.grpc_api.stage import PATIENCE_S, Life, client, living, made, snapshot

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def status_of(channel: grpc.aio.Channel, service: str) -> int:
    """One look at a service."""
    call = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S, wait_for_ready=True
    )
    answer: Any = await call
    return int(answer.status)


async def test_health_follows_the_tree(listeners: Listeners) -> None:
    """A watcher is pushed every change of its service; nobody is said to serve before the first snapshot."""
    actor = made(listeners)
    async with living(actor), client(listeners) as channel:
        assert await status_of(channel, "") == NOT_SERVING
        actor.published(snapshot(ChildState.RUNNING))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="chaos"))
        seen = []
        async with asyncio.timeout(PATIENCE_S):
            async for change in watch:
                seen.append(change.status)
                if change.status == SERVING:
                    if NOT_SERVING in seen:
                        break
                    actor.published(snapshot(ChildState.BACKOFF))
                elif change.status == NOT_SERVING:
                    actor.published(snapshot(ChildState.RUNNING))
        watch.cancel()
        assert seen[-3:] == [SERVING, NOT_SERVING, SERVING]
        assert await status_of(channel, "") == SERVING


async def test_an_unknown_service_is_not_found(listeners: Listeners) -> None:
    """A name that is no actor's is NOT_FOUND, as the protocol says."""
    actor = made(listeners)
    async with living(actor), client(listeners) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await status_of(channel, "nobody")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(listeners: Listeners) -> None:
    """A client without our protos finds the health service."""
    async with living(made(listeners)), client(listeners) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S)
        names = [service.name async for answer in call for service in answer.list_services_response.service]
    assert "grpc.health.v1.Health" in names


async def test_a_stop_tells_watchers_and_ends_their_calls(listeners: Listeners) -> None:
    """A stop pushes NOT_SERVING, which later snapshots do not lift, and is over although a watch never ends."""
    actor = made(listeners)
    async with client(listeners) as channel:
        seen: list[int] = []
        async with living(actor) as life:

            async def watch() -> None:
                request = health_pb2.HealthCheckRequest(service="chaos")
                async for change in health_pb2_grpc.HealthStub(channel).Watch(request):
                    seen.append(change.status)
                    life.stopping.set()
                    actor.published(snapshot(ChildState.RUNNING))

            actor.published(snapshot(ChildState.RUNNING))
            assert await status_of(channel, "chaos") == SERVING
            with pytest.raises(grpc.aio.AioRpcError):
                await watch()
        assert seen == [SERVING, NOT_SERVING]


async def test_every_incarnation_has_the_same_port(listeners: Listeners) -> None:
    """A stopped and a cancelled incarnation both leave the port to the next one, and clients find it again."""
    actor = made(listeners)
    actor.published(snapshot(ChildState.RUNNING))
    async with client(listeners) as channel:
        async with living(actor):
            assert await status_of(channel, "chaos") == SERVING
        crashed = Life()
        async with anyio.create_task_group() as tree:
            tree.start_soon(actor.run, crashed)
            await crashed.up.wait()
            assert await status_of(channel, "chaos") == SERVING
            tree.cancel_scope.cancel()
        async with living(actor):
            assert await status_of(channel, "chaos") == SERVING


async def test_with_a_client_authority_only_its_clients_come_in(listeners: Listeners, tmp_path: Path) -> None:
    """With TLS cleartext is not answered; with a client authority neither is a client without its certificate."""
    server, client_own = self_signed(tmp_path, "server"), self_signed(tmp_path, "client")
    root, key, chain = server.certificate.read_bytes(), client_own.key.read_bytes(), client_own.certificate.read_bytes()
    actor = made(listeners, tls=KeyPair(server.certificate, server.key, client_own.certificate))
    actor.published(snapshot(ChildState.RUNNING))
    where, options = str(listeners.grpc), [("grpc.use_local_subchannel_pool", 1)]
    stranger = grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(root), options=options)
    friend = grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(root, key, chain), options=options)
    request = health_pb2.HealthCheckRequest(service="")
    async with living(actor), stranger, friend, client(listeners) as cleartext:
        known = await health_pb2_grpc.HealthStub(friend).Check(request, timeout=PATIENCE_S)
        assert known.status == SERVING
        for turned_away in (stranger, cleartext):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health_pb2_grpc.HealthStub(turned_away).Check(request, timeout=PATIENCE_S)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
