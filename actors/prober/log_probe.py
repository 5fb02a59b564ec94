"""Counts the lines of containers' logs that match a pattern, from a moment on. Each look goes on where the last one
ended, so that a line is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import anyio

from actors.prober.failures import NoContainer
from actors.prober.values import valued
from coordinator.faults.facts import ContainerFacts, LogPlace
from coordinator.ports import EngineFacts
from coordinator.record import Reading
from coordinator.scenarios.patterns import finder
from coordinator.scenarios.probes import LogProbe

_finder: Final = cache(finder)


@dataclass(slots=True)
class Tally:
    """How far one container's log is read for one pattern, and what was found."""

    place: LogPlace
    matching: int = 0
    turn: anyio.Lock = field(default_factory=anyio.Lock)


class Tallies:
    """Those of one execution, which began at `since`."""

    def __init__(self, since: LogPlace) -> None:
        """Nothing is read yet."""
        self._since = since
        self._tallies: dict[tuple[str, str, str], Tally] = {}

    def of(self, probe: LogProbe, container: str) -> Tally:
        """The tally of a container for a probe; probes that look for the same share it."""
        return self._tallies.setdefault((probe.pattern, probe.stream, container), Tally(self._since))


async def look(probe: LogProbe, containers: Sequence[ContainerFacts], facts: EngineFacts, tallies: Tallies) -> Reading:
    """Read what was added; the value is the count so far, of all the target's containers.

    Raises NoContainer, EngineUnreachable.
    """
    if not containers:
        raise NoContainer(f"target {probe.target!r} has no container")
    began = anyio.current_time()
    count = 0
    for container in containers:
        tally = tallies.of(probe, container.id)
        async with tally.turn:
            await _read_on(probe, container, tally, facts)
        count += tally.matching
    return valued(float(count), probe.expect.value, latency_s=anyio.current_time() - began)


async def _read_on(probe: LogProbe, container: ContainerFacts, tally: Tally, facts: EngineFacts) -> None:
    """Part by part, so that a look that runs out of time has read some of it for the next."""
    while True:
        part = await facts.log(container.id, tally.place, probe.stream, _finder(probe.pattern))
        if part is None:
            raise NoContainer(f"{container.name} is removed, and its log with it")
        tally.place, tally.matching = part.place, tally.matching + part.matching
        if not part.more:
            return
