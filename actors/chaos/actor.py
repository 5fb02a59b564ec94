"""Keeps an eye on the engine: reachable or not, its identity, its events. Runs no command and holds no fault:
executions go on while it is down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio

from coordinator.errors import EngineUnreachable, leaves
from coordinator.faults.facts import EngineEvent, EngineInfo
from coordinator.logging import log
from coordinator.ports import EngineFacts
from coordinator.scenarios.follow import ask_now_and_then
from coordinator.supervision import ChildContext

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
RUNS: Final = frozenset({"start", "unpause"})
"""The engine's events after which a container runs that did not."""


class ChaosActor:
    """Satisfies `actors.contract.Actor`. `status` is what readiness shows, `engine` the last engine seen."""

    name = "chaos"
    critical = False

    def __init__(self, facts: EngineFacts, *, on_engine_up: Callable[[], None], on_runs: Callable[[str], None]) -> None:
        """`on_engine_up` is called whenever the engine begins to answer, `on_runs` with the id of each container that
        begins to run.
        """
        self._facts = facts
        self._on_engine_up = on_engine_up
        self._on_runs = on_runs
        self._pause = FIRST_PAUSE_S
        self.engine: EngineInfo | None = None
        self.status = "error: not looked at yet"

    async def run(self, life: ChildContext) -> None:
        """Follow the engine's events until asked to stop, through any number of its restarts."""
        self._pause = FIRST_PAUSE_S
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow, life)
            await life.stopping.wait()
            group.cancel_scope.cancel(reason="asked to stop")

    async def _follow(self, life: ChildContext) -> None:
        while True:
            reason = "the event stream ended"
            try:
                await self._follow_once(life)
            except* EngineUnreachable as errors:
                reason = str(next(leaves(errors)))
            self._down(reason, life)
            life.ready()
            await anyio.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)

    async def _follow_once(self, life: ChildContext) -> None:
        """While the engine answers. Raises EngineUnreachable, alone or in a group, when it does not."""
        engine = await self._facts.engine()
        async with self._facts.events() as events, anyio.create_task_group() as group:
            self._up(engine, life)
            self._pause = FIRST_PAUSE_S
            life.ready()
            group.start_soon(ask_now_and_then, self._facts)
            await self._hear(events)
            group.cancel_scope.cancel(reason="the event stream ended")

    async def _hear(self, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            log(
                "engine:event",
                "DEBUG",
                event_type=event.type,
                event=event.action,
                target=event.name,
                container_id=event.container_id,
            )
            if event.type == "container" and event.action in RUNS:
                self._on_runs(event.container_id)

    def _up(self, engine: EngineInfo, life: ChildContext) -> None:
        if self.status != "ok":
            log("engine:reachable", engine_id=engine.id, endpoint=engine.endpoint, version=engine.version)
        self.engine = engine
        self.status = "ok"
        life.degraded(None)
        self._on_engine_up()

    def _down(self, reason: str, life: ChildContext) -> None:
        if self.status != f"degraded: {reason}":
            log("engine:unreachable", "WARNING", reason=reason)
        self.status = f"degraded: {reason}"
        life.degraded(f"docker: {reason}")
