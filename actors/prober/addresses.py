"""Where a target's container is reached now: the address it was resolved with, until a look without an answer makes
that doubtful; a restarted container may come back with another one. Keeps to one container per target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from actors.prober.failures import NoContainer
from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import ContainerFacts
from coordinator.ports import EngineFacts

LOOK_AGAIN_S: Final = 0.25
"""Seconds between two looks at the engine for one container: an outage must not become a storm of inspects."""

MAX_KNOWN: Final = 1024
"""Containers remembered; the oldest is forgotten first."""


@dataclass(slots=True)
class _Known:
    address: str
    doubtful: bool
    looked_at: float = float("-inf")


class Addresses:
    """The addresses of the containers that probes go to."""

    def __init__(self, facts: EngineFacts) -> None:
        self._facts = facts
        self._known: dict[tuple[str, str, str], _Known] = {}

    async def of(self, target: str, containers: Sequence[ContainerFacts]) -> str:
        """The address of the first container that had one when the target was resolved. Raises NoContainer."""
        container = _chosen(containers)
        if container is None:
            raise NoContainer(f"target {target!r} has no container")
        known = self._entry(container)
        if known.doubtful and anyio.current_time() - known.looked_at >= LOOK_AGAIN_S:
            await self._look(container, known)
        if not known.address:
            raise NoContainer(f"{container.name} has no address: it is not running, or on no network")
        return known.address

    def doubt(self, containers: Sequence[ContainerFacts]) -> None:
        """No answer came from there."""
        container = _chosen(containers)
        if container is not None:
            self._entry(container).doubtful = True

    async def _look(self, container: ContainerFacts, known: _Known) -> None:
        """Ask the engine, for at most half of the time that is left; without its answer the last address stands."""
        known.looked_at = anyio.current_time()
        try:
            with anyio.move_on_after((anyio.current_effective_deadline() - known.looked_at) / 2):
                seen = await self._facts.containers([container.id])
                known.address = seen[0].address if seen else ""
                known.doubtful = not known.address
        except EngineUnreachable:
            return

    def _entry(self, container: ContainerFacts) -> _Known:
        """What is known of a container since these facts of it were taken."""
        key = (container.id, container.started_at, container.address)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]
            known = self._known[key] = _Known(container.address, doubtful=not container.address)
        return known


def _chosen(containers: Sequence[ContainerFacts]) -> ContainerFacts | None:
    return next((container for container in containers if container.address), next(iter(containers), None))
