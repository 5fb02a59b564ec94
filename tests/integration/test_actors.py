"""Every actor of the real tree is killed: it comes back, is counted, and nobody else notices."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest

from coordinator.assembly import Serving, serve
from coordinator.assembly.tree import Patience
from coordinator.logging import task
from coordinator.record import ExecutionState, FaultState, Submission, Verdict
from coordinator.settings import Settings
from coordinator.supervision import ChildState, Snapshot, health
from tests.integration.coordinator_process import scenario
from tests.integration.sandbox import Sandbox

pytestmark = pytest.mark.anyio
ACTORS = ("ledger", "warden", "data_adapter", "chaos", "prober", "recovery", "executions", "http_api", "grpc_api")


@pytest.fixture
def anyio_backend() -> str:
    """The whole process runs on asyncio: gRPC, Quart and aiopg know no other."""
    return "asyncio"


@asynccontextmanager
async def serving(folder: Path, patience: Patience | None = None) -> AsyncIterator[Serving]:
    """The process body inside this test's event loop, ended in order."""
    up = anyio.Event()
    parts: list[Serving] = []

    def started(serving: Serving) -> None:
        parts.append(serving)
        up.set()

    settings = Settings(data_dir=folder, http_port=0, grpc_port=0)
    async with anyio.create_task_group() as group:
        group.start_soon(partial(serve, settings, on_started=started, take_signals=False, patience=patience))
        await up.wait()
        yield parts[0]
        parts[0].process.stop("the test has ended")


def incarnations(snapshot: Snapshot) -> dict[str, int]:
    """By actor: which life it lives."""
    return {name: view.incarnation for name in ACTORS if (view := snapshot.find(name)) is not None}


async def back(parts: Serving, actor: str, incarnation: int) -> None:
    """Wait until the actor runs in this incarnation; the test's timeout bounds it."""

    def is_back(snapshot: Snapshot) -> bool:
        view = snapshot.find(actor)
        return view is not None and view.incarnation >= incarnation and view.state is ChildState.RUNNING

    came = anyio.Event()
    parts.watch(lambda snapshot: came.set() if is_back(snapshot) else None)
    if not is_back(parts.supervisor.snapshot):
        await came.wait()


async def fault_in(parts: Serving, execution_id: str, state: FaultState) -> None:
    """Wait until the execution's one fault is in this state; the test's timeout bounds it."""
    while True:
        execution = await parts.control.execution(execution_id)
        if [fault.state for fault in execution.faults] == [state]:
            return
        await anyio.sleep(0.02)


@pytest.mark.parametrize("actor", ACTORS)
async def test_a_killed_actor_comes_back_alone(actor: str, tmp_path: Path, engine: str) -> None:
    """It restarts, metrics and the API count it, health is degraded meanwhile and whole again, no other is touched."""
    async with (
        serving(tmp_path) as parts,
        httpx.AsyncClient(base_url=f"http://{parts.http}", trust_env=False) as client,
    ):
        assert health(parts.supervisor.snapshot).status == "healthy"
        before = incarnations(parts.supervisor.snapshot)
        seen = [health(parts.supervisor.snapshot).status]
        parts.watch(lambda snapshot: seen.append(health(snapshot).status))
        await parts.supervisor.crash_child(actor)
        await back(parts, actor, before[actor] + 1)
        assert incarnations(parts.supervisor.snapshot) == before | {actor: before[actor] + 1}
        assert set(seen) == {"healthy", "degraded"}
        token = {"Authorization": f"Bearer {(tmp_path / 'api-token').read_text().strip()}"}
        actors = (await client.get("/api/v1/actors", headers=token)).json()["items"]
        assert {item["id"]: item["restarts"] for item in actors if item["restarts"]} == {actor: 1}
        metrics = (await client.get("/metrics")).text
        assert re.search(rf'^test_coordinator_actor_restarts_total{{actor="root/{actor}"}} 1.0$', metrics, re.MULTILINE)
        assert (await client.get("/api/v1/health")).json()["status"] == "healthy"


async def test_no_connection_is_refused_while_http_dies(tmp_path: Path, engine: str) -> None:
    """Clients that connect anew for each request are never refused while the HTTP actor is killed again and again."""
    async with serving(tmp_path) as parts:
        refused: list[str] = []
        answered = anyio.Semaphore(0)
        done = anyio.Event()

        async def ask() -> None:
            while not done.is_set():
                try:
                    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
                        await client.get(f"http://{parts.http}/api/v1/health")
                    answered.release()
                except httpx.ConnectError as error:
                    refused.append(str(error))
                except httpx.TransportError:
                    # A request in flight is lost with the incarnation that held it; its connection was accepted.
                    continue

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(ask)
            for incarnation in range(2, 7):
                await parts.supervisor.crash_child("http_api")
                await back(parts, "http_api", incarnation)
                for _ in range(5):
                    await answered.acquire()
            done.set()
        assert refused == []


async def test_a_running_execution_goes_on(tmp_path: Path, containers: Sandbox) -> None:
    """While every actor is killed once, an execution keeps its fault, its samples and its pace, and passes."""
    target = containers.run("target")
    probe = {"type": "container", "target": "t", "every": "200ms", "expect": {"state": "paused"}}
    phase_assertion = [{"probe": "c", "error_rate": "<= 20%"}]
    definition = scenario([{"type": "container_pause"}], names=[target.name], duration="12s", probes={"c": probe})
    definition["phases"] = [{**definition["phases"][0], "assert": phase_assertion}]  # type: ignore[index]  # a JSON tree
    async with serving(tmp_path) as parts:
        with task("test"):
            accepted = await parts.control.submit(Submission(source=json.dumps(definition)))
        await fault_in(parts, accepted.id, FaultState.ACTIVE)
        for actor in ACTORS:
            view = parts.supervisor.snapshot.find(actor)
            assert view is not None
            await parts.supervisor.crash_child(actor)
            await back(parts, actor, view.incarnation + 1)
        execution = await parts.control.execution(accepted.id)
        assert execution.state is ExecutionState.RUNNING
        assert execution.faults[0].state is FaultState.ACTIVE
        execution = await parts.control.finished(accepted.id)
        assert execution.verdict is Verdict.PASSED, execution.reason
        report = await parts.control.report(accepted.id)
        assert len(report.probes["c"].samples) >= 50
    assert target.status == "running"
