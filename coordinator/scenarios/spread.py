"""How far apart the effects of one fault on its containers lie: measured, told, and held against what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from coordinator.errors import CoordinatorError
from coordinator.faults.facts import ContainerState
from coordinator.faults.looks import AnyLook, RunEnded, RunsAnew, SignalSeen, StateIs
from coordinator.faults.model import TargetPlan
from coordinator.ports import EngineFacts
from coordinator.quantities import show_duration
from coordinator.scenarios.effects import EVENT_MARGIN, Effects

if TYPE_CHECKING:
    from coordinator.scenarios.inject import Injection

MS: Final = 1000
SHORT_MS: Final = 10


async def judge_spread(injection: Injection, effects: Effects, fired_at: datetime) -> None:
    """Tell it where several were hit. Raises EngineUnreachable, and CoordinatorError where it is above max_skew."""
    hit = [target for target in injection.plan.targets if target.container_id in effects]
    if len(hit) < 2:  # noqa: PLR2004  # one alone is not apart
        return
    spread_s = await measured(injection.tools.facts, hit, effects, fired_at)
    text = f"{_shown(spread_s)} between the first and the last"
    injection.tell("fault_spread", text, fault=injection.id, target=injection.spec.aimed_at)
    allowed = injection.spec.max_skew
    if allowed is not None and spread_s > allowed:
        raise CoordinatorError(
            f"its effects on {len(hit)} containers lie {_shown(spread_s)} apart, and max_skew allows "
            f"{show_duration(allowed)}"
        )


def _shown(seconds: float) -> str:
    """Of what is short, a tenth of a millisecond is much."""
    return f"{seconds * MS:.{int(seconds * MS < SHORT_MS)}f} ms"


async def measured(facts: EngineFacts, hit: Sequence[TargetPlan], effects: Effects, fired_at: datetime) -> float:
    """Seconds between the first and the last, by the engine's own events where those tell of each; else as it was seen.

    One look sees all that has come about since the one before. Raises EngineUnreachable.
    """
    seen = [effects[target.container_id].monotonic for target in hit]
    if all(_event(target.effect) for target in hit):
        ids = {target.container_id for target in hit}
        events = await facts.events_since(fired_at - EVENT_MARGIN, ids)
        wanted = {target.container_id: _event(target.effect) for target in hit}
        at = {event.container_id: event.at for event in events if event.action == wanted.get(event.container_id)}
        if at.keys() == ids:
            seen = list(at.values())
    return max(seen) - min(seen)


def _event(look: AnyLook) -> str:
    """What the engine's log has of the effect; empty where that does not say when it was."""
    match look:
        case StateIs():
            return "pause" if ContainerState.PAUSED in look.states else "die"
        case RunEnded():
            return "die"
        case RunsAnew():
            return "start"
        case SignalSeen():
            return "kill"
        case _:
            return ""
