"""The edges of the real process killed again and again under load: nothing refused, nothing lost count of, no leak.

20 kills of each in the ordinary run; `KILLS=100 pytest tests/integration/test_storm.py` for more.
"""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import grpc
import grpc.aio
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator.assembly import Serving
from coordinator.assembly.tree import Patience
from coordinator.supervision import IMMEDIATE, ChildState, Snapshot, health
from tests.integration.test_actors import back, serving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]
KILLS = int(os.environ.get("KILLS", "20"))
VICTIMS = ("chaos", "http_api", "grpc_api", "data_adapter")
CLIENTS = 4
WARM_UP = 5


@pytest.fixture
def anyio_backend() -> str:
    """The whole process runs on asyncio."""
    return "asyncio"


class Load:
    """Clients that connect anew for each request, and ask gRPC as well."""

    def __init__(self, parts: Serving) -> None:
        self._parts = parts
        self.refused: list[str] = []
        self.answers: Counter[str] = Counter()
        self.answered = anyio.Event()

    async def ask_http(self) -> None:
        """For ever."""
        while True:
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                    answer = await client.get(f"http://{self._parts.http}/api/v1/health")
                self.answers[answer.json()["status"]] += 1
                self.answered.set()
                self.answered = anyio.Event()
            except httpx.ConnectError as error:
                self.refused.append(str(error))
            except httpx.TransportError:
                # The connection was accepted, and lost with the incarnation that held it.
                self.answers["lost"] += 1

    async def ask_grpc(self) -> None:
        """For ever; gRPC clients retry by themselves, a call in flight may be lost."""
        async with grpc.aio.insecure_channel(self._parts.grpc) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while True:
                try:
                    await stub.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
                    self.answers["grpc"] += 1
                except grpc.aio.AioRpcError as error:
                    self.answers[f"grpc {error.code().name}"] += 1
                await anyio.sleep(0.01)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """While the block runs."""
        async with anyio.create_task_group() as group:
            for _ in range(CLIENTS):
                group.start_soon(self.ask_http)
            group.start_soon(self.ask_grpc)
            yield
            group.cancel_scope.cancel()


def true_to_the_tree(snapshot: Snapshot) -> bool:
    """Whether health says degraded exactly when one of the victims does not run."""
    down = [view for view in snapshot.root.children if view.state is not ChildState.RUNNING or view.degraded]
    return (health(snapshot).status == "healthy") == (not down)


async def kill_each(parts: Serving, load: Load, times: int, lives: dict[str, int]) -> None:
    """Kill each victim so many times, waiting for its next life and for an answer in between."""
    for _ in range(times):
        for victim in VICTIMS:
            await parts.supervisor.crash_child(victim)
            lives[victim] += 1
            await back(parts, victim, lives[victim])
            # Two: the first may have been asked for before.
            await load.answered.wait()
            await load.answered.wait()


async def test_a_storm_of_kills(tmp_path: Path, engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Chaos, HTTP, gRPC and data adapter each killed again and again under load."""
    patience = Patience(intensity=10**6, backoff=IMMEDIATE)
    process = psutil.Process()
    untrue: list[Snapshot] = []
    async with serving(tmp_path, patience) as parts:
        parts.watch(lambda snapshot: None if true_to_the_tree(snapshot) else untrue.append(snapshot))
        load = Load(parts)
        lives = dict.fromkeys(VICTIMS, 1)
        async with load.going_on():
            await kill_each(parts, load, WARM_UP, lives)
        before = process.num_fds(), process.num_threads()
        async with load.going_on():
            await kill_each(parts, load, KILLS - WARM_UP, lives)
        with anyio.move_on_after(20):
            # What is in flight goes; what is left by each life stays.
            while process.num_fds() > before[0] + 2 or process.num_threads() > before[1] + 2:  # noqa: ASYNC110  # no event
                await anyio.sleep(0.1)
        after = process.num_fds(), process.num_threads()
        assert load.refused == []
        assert load.answers["healthy"] >= KILLS
        assert load.answers["grpc"] > 0
        lost = {"lost", "grpc UNAVAILABLE", "grpc CANCELLED"}
        assert set(load.answers) <= {"healthy", "degraded", "grpc"} | lost
        assert untrue == []
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 2
    log = (tmp_path / "logs" / "test-coordinator.jsonl").read_text().splitlines()
    messages = [json.loads(line) for line in log]
    for victim in VICTIMS:
        ready = [
            message["incarnation"]
            for message in messages
            if message.get("message_type") == "actor:progress" and message["actor"] == f"root/{victim}"
        ]
        assert ready == list(range(1, KILLS + 2))
    capfd.readouterr()
