"""A gRPC actor around a coordinator in memory, and clients of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import grpc
import grpc.aio
from pydantic import SecretStr

from actors.grpc_api import GrpcApiActor
from coordinator.listeners import Listeners
from coordinator.ports import Control
from coordinator.supervision import ChildState, ChildView, Snapshot
from coordinator.tls import KeyPair
from tests.unit.http_api.memory_control import MemoryControl

PATIENCE_S = 20
TOKEN = "t0ken"
BEARER = (("authorization", f"Bearer {TOKEN}"),)


class Life:
    """What an actor is given, and what it said."""

    path = "root/grpc_api"
    incarnation = 1

    def __init__(self) -> None:
        self.stopping = anyio.Event()
        self.up = anyio.Event()

    def ready(self, value: object = None) -> None:
        """It is up."""
        assert value is None
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        """It never is."""
        raise AssertionError(reason)


def snapshot(state: ChildState) -> Snapshot:
    """A tree with one critical actor."""
    chaos = ChildView("chaos", "root/chaos", "worker", state, critical=True, incarnation=1, restarts=0, since=0.0)
    root = ChildView(
        "root", "root", "supervisor", ChildState.RUNNING, critical=True, incarnation=1, restarts=0, since=0.0,
        children=(chaos,),
    )  # fmt: skip
    return Snapshot(root)


@asynccontextmanager
async def living(actor: GrpcApiActor) -> AsyncIterator[Life]:
    """A life that is asked to stop at the end, and does."""
    life = Life()
    with anyio.fail_after(2 * PATIENCE_S):
        async with anyio.create_task_group() as tree:
            tree.start_soon(actor.run, life)
            await life.up.wait()
            yield life
            life.stopping.set()


def made(listeners: Listeners, control: Control | None = None, tls: KeyPair | None = None) -> GrpcApiActor:
    """An actor that serves a coordinator in memory."""
    return GrpcApiActor(listeners, control or MemoryControl(), SecretStr(TOKEN), tls=tls)


@asynccontextmanager
async def client(listeners: Listeners) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of its own, which shares no connection with an earlier one."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
    async with grpc.aio.insecure_channel(str(listeners.grpc), options=options) as channel:
        yield channel
