"""Watches for the effect of what was just fired: when each target was first seen to be hit by it, and in which run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import anyio

from coordinator.errors import AbilityMissing, CoordinatorError
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import ContainerFacts, EngineEvent
from coordinator.faults.looks import RunEnded, SignalSeen, StateIs, Succeeded, Undo, seen, seen_in_state
from coordinator.faults.model import TargetPlan
from coordinator.faults.refusals import done_to, refusal
from coordinator.ports import Clock, EngineFacts
from coordinator.scenarios.side_by_side import failure_text
from coordinator.scenarios.whose import changed_before

SEEN_WITHIN_S: Final = 5.0
"""How long after its command ended an effect may take to be seen."""

SEEN_AFTER_FAILURE_S: Final = 1.0
"""The same after a command that failed: some do their work all the same."""

REFUSED: Final = 1
"""The exit code of a helper's program that could not do what was asked."""

LACKING: Final = 3
"""The same where the machine lacks what it takes, whatever the target."""

FIRST_LOOK_S: Final = 0.005
LONGEST_LOOK_S: Final = 0.25
EVENT_MARGIN: Final = timedelta(seconds=1)
"""The engine's clock and ours may differ by this much."""

ANSWERING: Final = frozenset({"pause", "kill", "run"})
"""Commands that succeed only where they did it themselves; a stop of what is down succeeds too."""


@dataclass(frozen=True, slots=True)
class Effect:
    """When a target was first seen to be hit, on both clocks, and how it looked then (None: gone, or not asked)."""

    at: datetime
    monotonic: float
    container: ContainerFacts | None = None


Effects = dict[str, Effect]
"""By container id."""


def outcome_of(target: TargetPlan, ran: Mapping[Command, Outcome]) -> Outcome:
    """How the command that was for this target ended, alone or together with others."""
    if target.inject in ran:
        return ran[target.inject]

    def hits(command: Command) -> bool:
        if command.namespace or target.inject.namespace:
            return command.namespace == target.inject.namespace
        return command.argv[0] == target.inject.argv[0] and target.container_id in command.argv

    return next((end for command, end in ran.items() if hits(command)), Outcome(exit_code=None))


def refused(target: TargetPlan, ran: Mapping[Command, Outcome]) -> bool:
    """Whether the program of a helper has said that it could not do it: it has ended, and nothing more comes of it.

    Not where the engine says so, or where it was cut off: such a helper may yet be started, or go on.
    """
    by_exit_code = target.inject.of_helper and isinstance(target.effect, Succeeded)
    return by_exit_code and outcome_of(target, ran).exit_code in {REFUSED, LACKING}


def judge_started(ran: Mapping[Command, Outcome]) -> None:
    """A command that could not start is no property of a target, nor is what the machine lacks: it cannot go on.

    Raises CoordinatorError.
    """
    for command, outcome in ran.items():
        if outcome.exit_code is None and not outcome.timed_out:
            raise CoordinatorError(failure_text(outcome))
        if command.namespace and outcome.exit_code == LACKING:
            raise AbilityMissing(failure_text(outcome))


def owed(
    undos: Iterable[Undo],
    targets: Sequence[TargetPlan],
    ran: Mapping[Command, Outcome],
    runs: Mapping[str, str],
    spared: Collection[str],
) -> tuple[Undo, ...]:
    """The undos after what was run: none where nothing was done, and no waiting where nothing more comes of it.

    `runs`: when the run that was really hit began, by container id. `spared`: see `Watch.spared`.
    """
    nothing_done = {target.container_id for target in targets if outcome_of(target, ran).nothing_done}.union(spared)
    over = {target.container_id for target in targets if refused(target, ran)}
    return tuple(
        undo.model_copy(
            update={"started_at": runs.get(undo.container_id, undo.started_at)}
            | ({"settle_s": 0.0} if undo.container_id in over else {})
        )
        for undo in undos
        if undo.container_id not in nothing_done
    )


class Watch:
    """One look after another at the targets of one fault."""

    def __init__(
        self,
        facts: EngineFacts,
        clock: Clock,
        targets: Sequence[TargetPlan],
        ran: Mapping[Command, Outcome],
        fired_at: datetime,
        armed_at: datetime | None,
    ) -> None:
        """`ran` is what was run and how it ended; they were looked at last when the fault was armed."""
        self._facts = facts
        self._clock = clock
        self._targets = targets
        self._outcomes = {target.container_id: outcome_of(target, ran) for target in targets}
        self._fired_at = fired_at
        self._armed_at = armed_at
        self._hit: Effects = {}
        self.spared: dict[str, str] = {}
        """By container id, why nothing was done to it, nor will be: it was found as somebody else had made it."""

    async def effects(self) -> Effects:
        """Look until all targets are hit or the time is up. Raises EngineUnreachable."""
        for target in self._targets:
            if not isinstance(target.effect, Succeeded):
                why = refusal(target.inject, self._outcomes[target.container_id], target.container_id)
                self.spared |= {target.container_id: f"nothing was done: {why}"} if why else {}
        pause = FIRST_LOOK_S
        ok = all(outcome.ok for outcome in self._outcomes.values())
        with anyio.move_on_after(SEEN_WITHIN_S if ok else SEEN_AFTER_FAILURE_S):
            while self._waiting():
                await self._look()
                if all(isinstance(target.effect, Succeeded) for target in self._waiting()):
                    # How a command ended is known at the first look.
                    break
                await anyio.sleep(pause)
                pause = min(pause * 2, LONGEST_LOOK_S)
        await self._leave_out_what_others_did()
        return dict(self._hit)

    def _waiting(self) -> list[TargetPlan]:
        known = self._hit.keys() | self.spared.keys()
        return [target for target in self._targets if target.container_id not in known]

    async def _leave_out_what_others_did(self) -> None:
        """Of what looks like the effect, where the command does not say that it is its own."""
        unsure = {
            target.container_id
            for target in self._targets
            if isinstance(target.effect, StateIs | RunEnded)
            and target.container_id in self._hit
            and not (target.inject.argv[0] in ANSWERING and self._done_to(target.container_id))
        }
        if not unsure:
            return
        found = await self._facts.containers(unsure)
        theirs = await changed_before(found, self._armed_at, self._fired_at, self._facts, self._clock)
        for container_id in theirs:
            del self._hit[container_id]
            if self._done_to(container_id):
                state = next(each.state for each in found if each.id == container_id)
                self.spared[container_id] = f"somebody else was first, it was {state} before its time: left as it is"

    def _done_to(self, container_id: str) -> bool:
        return done_to(self._outcomes[container_id], container_id)

    async def _look(self) -> None:
        """The cheap look first: it is what the measured time from due to effect ends with."""
        by_state = [target for target in self._waiting() if isinstance(target.effect, StateIs | RunEnded)]
        if by_state:
            states = await self._facts.states({target.container_id for target in by_state})
            for target in by_state:
                if seen_in_state(target.effect, states.get(target.container_id)):
                    self._note(target, None)
        waiting = self._waiting()
        if waiting:
            containers = {c.id: c for c in await self._facts.containers({each.container_id for each in waiting})}
            events = await self._events(waiting)
            for target in waiting:
                own = [event for event in events if event.container_id == target.container_id]
                container = containers.get(target.container_id)
                if seen(target.effect, container, own, self._outcomes[target.container_id]):
                    self._note(target, container)

    def _note(self, target: TargetPlan, container: ContainerFacts | None) -> None:
        """Where the end of its own command is all there is to see, others may have been waited for since."""
        now = self._clock.monotonic()
        ended = self._outcomes[target.container_id].ended_at
        then = now if ended is None or not isinstance(target.effect, Succeeded) else ended
        self._hit[target.container_id] = Effect(self._clock.now() - timedelta(seconds=now - then), then, container)

    async def _events(self, targets: Collection[TargetPlan]) -> tuple[EngineEvent, ...]:
        ids = {target.container_id for target in targets if isinstance(target.effect, SignalSeen)}
        return await self._facts.events_since(self._fired_at - EVENT_MARGIN, ids) if ids else ()


async def of_the_runs_hit(targets: Sequence[TargetPlan], effects: Effects, facts: EngineFacts) -> dict[str, str]:
    """By container id, when the run that was really hit began: it may be a later one than was planned for.

    Raises EngineUnreachable.
    """
    unknown = {container_id for container_id, effect in effects.items() if effect.container is None}
    looked = {c.id: c for c in await facts.containers(unknown)} if unknown else {}
    runs = {}
    for target in targets:
        if target.container_id not in effects:
            continue
        container = effects[target.container_id].container or looked.get(target.container_id)
        # In the state the undo is for, it shows the run that was hit. A signal leaves its run up for a while.
        shows = isinstance(target.effect, SignalSeen) or (
            container is not None and target.undo is not None and container.state in target.undo.needed_in
        )
        if container is not None and shows:
            runs[target.container_id] = container.started_at
    return runs
