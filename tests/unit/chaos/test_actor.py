"""The eye on the engine: what it tells when the engine comes, goes and hangs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from actors.chaos import ChaosActor
from actors.docker.simulated import SimulatedEngine
from tests.clocks import LoopClock
from tests.conformance.virtual_time import Backend, virtual_backend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@dataclass
class Context:
    """Satisfies ChildContext; remembers what it is told."""

    path: str = "root/chaos"
    incarnation: int = 1
    stopping: anyio.Event = field(default_factory=anyio.Event)
    is_ready: bool = False
    impaired: str | None = None

    def ready(self, value: object = None) -> None:
        self.is_ready = True

    def degraded(self, reason: str | None) -> None:
        self.impaired = reason


@dataclass
class Scene:
    engine: SimulatedEngine
    actor: ChaosActor
    context: Context
    ups: list[float]
    ran: list[str]


@asynccontextmanager
async def watching() -> AsyncIterator[Scene]:
    """An actor that has not begun; it is stopped at the end."""
    async with SimulatedEngine(LoopClock(), Random(1)) as engine:
        engine.add("web")
        ups: list[float] = []
        ran: list[str] = []
        actor = ChaosActor(engine.facts, on_engine_up=lambda: ups.append(anyio.current_time()), on_runs=ran.append)
        context = Context()
        async with anyio.create_task_group() as group:
            yield Scene(engine, actor, context, ups, ran)
            group.start_soon(actor.run, context)
            context.stopping.set()


async def test_an_engine_that_answers() -> None:
    """It is ready, says ok, knows which engine it is, and calls back once."""
    async with watching() as scene, anyio.create_task_group() as group:
        assert scene.actor.status.startswith("error")
        group.start_soon(scene.actor.run, scene.context)
        await anyio.sleep(60)
        assert (scene.context.is_ready, scene.context.impaired, scene.actor.status) == (True, None, "ok")
        assert scene.actor.engine is not None
        assert scene.actor.engine.id == scene.engine.info.id
        assert len(scene.ups) == 1
        group.cancel_scope.cancel()


async def test_ready_without_an_engine() -> None:
    """Without an engine it is ready and degraded, and calls back when the engine comes."""
    async with watching() as scene, anyio.create_task_group() as group:
        scene.engine.down()
        group.start_soon(scene.actor.run, scene.context)
        await anyio.sleep(30)
        assert scene.context.is_ready
        assert scene.actor.status.startswith("degraded: ")
        assert "start Docker" in (scene.context.impaired or "")
        assert scene.ups == []
        scene.engine.up()
        await anyio.sleep(6)
        assert (scene.actor.status, scene.context.impaired, len(scene.ups)) == ("ok", None, 1)
        group.cancel_scope.cancel()


async def test_through_restarts_of_the_engine() -> None:
    """Each time the engine is back it calls back."""
    async with watching() as scene, anyio.create_task_group() as group:
        group.start_soon(scene.actor.run, scene.context)
        for _ in range(5):
            await anyio.sleep(10)
            scene.engine.down()
            await anyio.sleep(7)
            assert scene.actor.status.startswith("degraded")
            scene.engine.up()
        await anyio.sleep(10)
        assert (scene.actor.status, len(scene.ups)) == ("ok", 6)
        group.cancel_scope.cancel()


async def test_an_engine_that_hangs_is_noticed() -> None:
    """A hung engine keeps its event stream open; asking it tells."""
    async with watching() as scene, anyio.create_task_group() as group:
        group.start_soon(scene.actor.run, scene.context)
        await anyio.sleep(5)
        scene.engine.hang()
        await anyio.sleep(30)
        assert scene.actor.status.startswith("degraded")
        scene.engine.up()
        await anyio.sleep(10)
        assert (scene.actor.status, len(scene.ups)) == ("ok", 2)
        group.cancel_scope.cancel()


async def test_asked_to_stop_it_stops() -> None:
    """It returns soon after it was asked, with an engine and without."""
    async with watching() as scene:
        for change in (scene.engine.up, scene.engine.down, scene.engine.hang):
            change()
            context = Context()
            with anyio.fail_after(2):
                async with anyio.create_task_group() as group:
                    group.start_soon(scene.actor.run, context)
                    await anyio.sleep(1)
                    context.stopping.set()
            assert context.is_ready or change == scene.engine.hang


async def test_it_tells_which_containers_begin_to_run() -> None:
    """Started or thawed; that one stops or is frozen is told to nobody."""
    async with watching() as scene, anyio.create_task_group() as group:
        group.start_soon(scene.actor.run, scene.context)
        await anyio.sleep(5)
        web = scene.engine.state.find("web").id
        await scene.engine.stop("web", 0, 0)
        await scene.engine.start("web")
        await anyio.sleep(5)
        assert scene.ran == [web]
        group.cancel_scope.cancel()
