"""An engine on which coordinators live one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import anyio
from anyio.abc import TaskGroup

from actors.docker.simulated import SimulatedEngine
from coordinator.faults.facts import ContainerState
from tests.clocks import LoopClock
from tests.fleet import FailingLedger
from tests.life import Life


@dataclass
class Scene:
    """An engine, a disk, and the lives that come and go on them."""

    engine: SimulatedEngine
    disk: FailingLedger
    group: TaskGroup

    async def begin(self, retention_days: int = 7, seed: int = 1) -> Life:
        """A new coordinator, running; one that is to play as well after another did needs a seed of its own."""
        life = Life(self.engine, self.disk, retention_days=retention_days, seed=seed)
        self.group.start_soon(life.supervisor.run)
        await anyio.sleep(0.5)
        return life

    async def dead(self, *texts: str, after: float = 5) -> Life:
        """A coordinator that died while it played these, so many seconds after they were accepted."""
        life = await self.begin()
        for text in texts:
            await life.submit(text)
        await anyio.sleep(after)
        life.dead = True
        return life

    def state(self, name: str) -> ContainerState:
        """A container's state now."""
        return self.engine.state.find(name).state

    def locked(self) -> list[str]:
        """Whose locks there are."""
        return [labels["test-coordinator.instance"] for labels in self.engine.state.volumes.values()]


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """Two containers, an empty disk; every life is ended by force."""
    async with SimulatedEngine(LoopClock(), Random(1)) as engine, anyio.create_task_group() as group:
        for name in ("web", "db"):
            engine.add(name)
        yield Scene(engine, FailingLedger(), group)
        group.cancel_scope.cancel()
