"""Looks at the simulated engine: the facts of its state, at the price in time of a real look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogPart,
    LogPlace,
    TargetLock,
)
from coordinator.faults.leftovers import HELPER
from coordinator.faults.locks import parse_lock
from coordinator.identity import LABEL_ROLE
from coordinator.ports import LogStream

if TYPE_CHECKING:
    from actors.docker.simulated import SimulatedEngine

TIMEOUT_S: Final = 10.0
"""How long a look waits for an engine that hangs."""


class SimulatedFacts:
    """The EngineFacts of a simulated engine."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine

    async def engine(self) -> EngineInfo:
        """Which engine it is."""
        await self._answer(1)
        return self._engine.info.model_copy(update={"time": self._engine.clock.now().isoformat()})

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        """All containers, or those of `ids` that still exist, sorted by name."""
        known = self._engine.state.containers
        await self._answer(len(known) if ids is None else len(ids))
        found = (container for container in known.values() if ids is None or container.id in ids)
        return tuple(container.facts() for container in sorted(found, key=lambda container: container.name))

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        """The states of those of `ids` that still exist."""
        await self._answer(1)
        return {each.id: each.state for each in self._engine.state.containers.values() if each.id in ids}

    async def locks(self) -> tuple[TargetLock, ...]:
        """Every target lock on the engine."""
        await self._answer(1)
        parsed = (parse_lock(name, labels) for name, labels in self._engine.state.volumes.items())
        return tuple(sorted((lock for lock in parsed if lock is not None), key=lambda lock: lock.container_id))

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        """Every helper container, sorted by name."""
        return tuple(each for each in await self.containers() if each.labels.get(LABEL_ROLE) == HELPER)

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        """Count what a container logged behind `place`; None if it is gone."""
        await self._answer(1)
        container = self._engine.state.containers.get(container_id)
        if container is None:
            return None
        lines = [line for line in container.logged if line.at_ns >= place.at_ns and stream in {"both", line.stream}]
        behind = [line for at, line in enumerate(lines) if line.at_ns > place.at_ns or at >= place.seen]
        last = behind[-1].at_ns if behind else place.at_ns
        return LogPart(
            matching=sum(matches(line.text) for line in behind),
            place=LogPlace(at_ns=last, seen=sum(line.at_ns == last for line in lines)),
        )

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        """The container events of `ids` that the log still holds, from `since` until now."""
        await self._answer(1)
        return tuple(
            event
            for event in self._engine.state.log
            if event.type == "container" and event.container_id in ids and event.at >= since.timestamp()
        )

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """Events as they happen."""
        return self._watch()

    @asynccontextmanager
    async def _watch(self) -> AsyncIterator[AsyncIterator[EngineEvent]]:
        await self._answer(1)
        # Unbounded: the engine's own instant must not wait for a reader.
        offer, taken = anyio.create_memory_object_stream[EngineEvent](float("inf"))
        self._engine.streams.append(offer)
        try:
            with taken:
                yield _Events(taken, self._lost("the event stream ended"))
        finally:
            # The engine drops and closes its streams when it goes down.
            if offer in self._engine.streams:
                self._engine.streams.remove(offer)
            offer.close()

    async def _answer(self, looks: int) -> None:
        """Take a look's time. Raises EngineUnreachable as the real one does."""
        with anyio.move_on_after(TIMEOUT_S) as patience:
            await self._engine.answering.wait()
            await anyio.sleep(self._engine.pace.look * max(1, looks))
        if patience.cancelled_caught:
            raise self._lost(f"no answer within {TIMEOUT_S:g} s: is it overloaded or stopped?")
        if not self._engine.reachable:
            raise self._lost("the socket refuses connections: start Docker")

    def _lost(self, why: str) -> EngineUnreachable:
        return EngineUnreachable(f"Docker engine at {self._engine.info.endpoint}: {why}")


class _Events:
    """The consumer's side of a stream of events."""

    def __init__(self, taken: MemoryObjectReceiveStream[EngineEvent], end: EngineUnreachable) -> None:
        self._taken = taken
        self._end = end

    def __aiter__(self) -> AsyncIterator[EngineEvent]:
        return self

    async def __anext__(self) -> EngineEvent:
        try:
            return await self._taken.receive()
        except anyio.EndOfStream:
            raise self._end from None
