"""Whose doing it is that a container is down or paused, where no command's answer tells: by the engine's own times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.ports import Clock, EngineFacts

SAME_CLOCK: Final = timedelta(milliseconds=50)
"""Clocks that agree while an answer takes no longer than this are one: no docker command ends a run any faster."""

NONE: Final = timedelta(0)
MARGIN: Final = timedelta(seconds=1)
_DOWN: Final = (ContainerState.EXITED, ContainerState.DEAD)


async def changed_before(
    containers: Iterable[ContainerFacts], armed: datetime | None, fired: datetime, facts: EngineFacts, clock: Clock
) -> frozenset[str]:
    """The ids of those that came to be down or paused before what was fired at `fired` could act: by somebody else.

    They were up when the fault was armed. A time that contradicts this says only that the engine's clock cannot be
    relied on: then, and wherever else it cannot be told, it counts as ours, to be put back. Raises EngineUnreachable.
    """
    changed = [each for each in containers if each.state in (*_DOWN, ContainerState.PAUSED)]
    if not changed or armed is None or not armed < min(fired, clock.now()):
        return frozenset()
    ahead = await _ahead(facts, clock)
    if ahead is None:
        return frozenset()
    paused = {each.id for each in changed if each.state is ContainerState.PAUSED}
    since = {each.id: each.finished_at for each in changed if each.state in _DOWN}
    at = {container_id: _time(text) for container_id, text in since.items()}
    if paused:
        for event in await facts.events_since(armed + ahead - MARGIN, paused):
            if event.action == "pause":
                at[event.container_id] = datetime.fromtimestamp(event.at, armed.tzinfo)
    return frozenset(
        container_id for container_id, then in at.items() if then is not None and armed <= then - ahead < fired
    )


async def _ahead(facts: EngineFacts, clock: Clock) -> timedelta | None:
    """How much the engine's clock is ahead of ours: at least so much. None where it does not say."""
    asked = clock.now()
    then = _time((await facts.engine()).time)
    answered = clock.now()
    if then is None:
        return None
    if asked <= then <= answered and answered - asked <= SAME_CLOCK:
        return NONE
    return then - answered


def _time(text: str) -> datetime | None:
    """An RFC 3339 time. None for whatever is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
