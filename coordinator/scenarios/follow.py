"""Follows targets that move while a fault is on: restarted, removed, put back by somebody else, or readdressed.

What happened is read from the containers as they are; the engine's events only say when to look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio

from coordinator.errors import AbilityMissing, EngineUnreachable, MissingSecret, Refused
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import UP, Detached, RunEnded, StateIs, Succeeded, seen
from coordinator.faults.model import FaultPlan, Surroundings, TargetPlan
from coordinator.logging import log
from coordinator.ports import EngineFacts
from coordinator.scenarios.effects import Watch, refused
from coordinator.scenarios.side_by_side import failure_text, run_all

if TYPE_CHECKING:
    from coordinator.scenarios.inject import Injection

RECONNECT_S: Final = 1.0
ASK_EVERY_S: Final = 10.0
KILLED: Final = 137
"""The exit code of a main process that was killed."""

MOVING: Final = frozenset({
    "die", "start", "destroy", "pause", "unpause", "stop", "restart", "rename", "connect", "disconnect",
})  # fmt: skip
"""The engine's events after which a container may not be what it was."""


async def follow_engine(facts: EngineFacts, moved: Callable[[str], None]) -> None:
    """Call `moved` with the id of a container that something happens to, through any number of the engine's restarts;
    with an empty id when anything may have happened meanwhile. Runs until it is cancelled.
    """
    while True:
        try:
            async with facts.events() as events, anyio.create_task_group() as group:
                moved("")
                group.start_soon(ask_now_and_then, facts)
                async for event in events:
                    if event.action in MOVING:
                        moved(event.container_id)
                group.cancel_scope.cancel(reason="the event stream ended")
        except* EngineUnreachable:
            # Whoever asks the engine for something tells of it.
            pass
        await anyio.sleep(RECONNECT_S)


async def ask_now_and_then(facts: EngineFacts) -> None:
    """Until the engine does not answer: one that hangs, or that is lost, keeps its event stream open and silent.
    Raises EngineUnreachable.
    """
    while True:
        await anyio.sleep(ASK_EVERY_S)
        await facts.engine()


async def follow(injection: Injection) -> None:
    """Look at the targets of a fault that is on whenever something happens to them, until cancelled."""
    if injection.spec.one_off:
        return
    following = _Following(injection)
    while True:
        await injection.moved.wait()
        injection.moved = anyio.Event()
        try:
            await following.look()
        except (EngineUnreachable, Refused) as error:
            log("fault:not_followed", "WARNING", fault=injection.id, reason=str(error))


def holds(target: TargetPlan, container: ContainerFacts | None) -> bool:
    """Whether the effect of a fault that was seen is still there."""
    same_run = container is not None and container.started_at == target.started_at
    match target.effect:
        case StateIs():
            return container is not None and same_run and container.state in target.effect.states
        case RunEnded():
            return container is None or container.state not in UP
        case Detached():
            return seen(target.effect, container)
        case Succeeded():
            return container is not None and same_run and container.state in UP
        case _:
            # A signal was delivered, a restart has happened: nothing of it lasts.
            return True


def undone_by_others(target: TargetPlan, container: ContainerFacts | None) -> bool:
    """Whether a fault that does not hold any more was undone within the very run, or network, that it was put on."""
    if container is None:
        return False
    match target.effect:
        case StateIs():
            return container.started_at == target.started_at and container.state in UP
        case Detached():
            return True
        case _:
            # A run that is over does not come again, and rules and limits bear the fault's name.
            return False


def what_happened(target: TargetPlan, container: ContainerFacts | None) -> str:
    """Why a fault does not hold any more, in a few words."""
    if container is None:
        return "the container is gone, and the fault with it"
    if container.state not in UP:
        if container.out_of_memory and container.exit_code == KILLED:
            return f"the container is {container.state}: the kernel killed it for want of memory, as the engine says"
        return f"the container is {container.state}, and the fault is gone with its run"
    if isinstance(target.effect, Detached):
        return f"the container is in network {target.effect.network} again: somebody else undid it"
    if container.started_at != target.started_at:
        return "the container runs anew, without the fault"
    return f"the container is {container.state} again: somebody else undid it"


class _Following:
    """One fault's targets since it came into force."""

    def __init__(self, injection: Injection) -> None:
        self._injection = injection
        self._interrupted: dict[str, float] = {}
        """Since when it does not hold, on the monotonic clock, by container id."""

    async def look(self) -> None:
        """Once. Raises EngineUnreachable, Refused, LedgerUnavailable."""
        injection = self._injection
        looked_at = injection.tools.clock.now()
        around = await injection.look_around()
        containers = {each.id: each for each in around.of(injection.spec.aims())}
        again = []
        lost = []
        for target in self._effective():
            container = containers.get(target.container_id)
            if not holds(target, container):
                lost.append((target, container))
            elif container is None or container.state is not ContainerState.RESTARTING:
                # Should it be interrupted once more, that is told as well; but not of every run of what keeps failing.
                self._interrupted.pop(target.container_id, None)
        await self._leave([target.container_id for target, container in lost if undone_by_others(target, container)])
        for target, container in lost:
            self._note(target, container)
            anew = container is not None and container.started_at != target.started_at
            if container is not None and anew and container.state is ContainerState.RUNNING:
                again.append(container)
        if again and injection.spec.on_target_restart == "reapply":
            await self._reapply(again, around, looked_at)
        if injection.spec.peers():
            await self._readdress(tuple(containers.values()), around)

    def _effective(self) -> list[TargetPlan]:
        row = self._injection.armed_row
        effective = {target.container_id for target in row.fault.targets if target.effective_at is not None}
        return [target for target in self._injection.plan.targets if target.container_id in effective]

    async def _leave(self, container_ids: Sequence[str]) -> None:
        """Durable before it is told: what these are owed somebody else has done; the same state, if it comes again, is
        not ours. What was put on a next run and not seen there may still come about, and so stays owed.
        """
        row = self._injection.armed_row
        ids = set(container_ids) - set(row.unsettled)
        undos = tuple(undo.left() if undo.container_id in ids else undo for undo in row.undos)
        if undos != row.undos:
            await self._injection.save(row.model_copy(update={"undos": undos}))

    def _note(self, target: TargetPlan, container: ContainerFacts | None) -> None:
        """On the timeline, once until it holds again."""
        if target.container_id in self._interrupted:
            return
        injection = self._injection
        self._interrupted[target.container_id] = injection.tools.clock.monotonic()
        text = what_happened(target, container)
        injection.tell("fault_interrupted", text, fault=injection.id, target=target.name)

    async def _reapply(self, containers: Sequence[ContainerFacts], around: Surroundings, looked_at: datetime) -> None:
        """On the new run, its undo durable first."""
        injection = self._injection
        plan = injection.planned(containers, around)
        if not plan.targets:
            return
        try:
            plan = await injection.made_ready(plan)
        except (AbilityMissing, MissingSecret) as error:
            for target in plan.targets:
                injection.tell("fault_not_reapplied", str(error), fault=injection.id, target=target.name)
            return
        row, ids = injection.armed_row, {target.container_id for target in plan.targets}
        undos = (*(undo for undo in row.undos if undo.container_id not in ids), *plan.undos)
        await injection.save(
            row.model_copy(update={"undos": undos, "unsettled": tuple(sorted({*row.unsettled, *ids}))})
        )
        injection.plan = FaultPlan(
            targets=(*(each for each in injection.plan.targets if each.container_id not in ids), *plan.targets)
        )
        commands, fired_at = injection.commands(plan), injection.tools.clock.now()
        outcomes = await run_all(injection.tools.runner, commands)
        ran = dict(zip(commands, outcomes, strict=True))
        watch = Watch(injection.tools.facts, injection.tools.clock, plan.targets, ran, fired_at, looked_at)
        effects = await watch.effects()
        over = {target.container_id for target in plan.targets if refused(target, ran)}
        row = injection.armed_row
        unseen = ids - effects.keys() - over - watch.spared.keys()
        unsettled = tuple(sorted(set(row.unsettled) - ids | unseen))
        undos = tuple(undo.left() if undo.container_id in watch.spared else undo for undo in row.undos)
        await injection.save(row.model_copy(update={"undos": undos, "unsettled": unsettled}))
        failed = next((failure_text(outcome) for outcome in outcomes if not outcome.ok), "no effect was seen")
        for target in plan.targets:
            if target.container_id not in effects:
                why = watch.spared.get(target.container_id, failed)
                injection.tell("fault_not_reapplied", why, fault=injection.id, target=target.name)
                continue
            since = self._interrupted.pop(target.container_id)
            gap_s = effects[target.container_id].monotonic - since
            injection.tell("fault_reapplied", f"gap {gap_s:.1f} s", fault=injection.id, target=target.name)

    async def _readdress(self, containers: Sequence[ContainerFacts], around: Surroundings) -> None:
        """Change in place what names addresses that are others by now."""
        injection = self._injection
        known = {target.container_id: target for target in self._effective()}
        fresh = injection.planned([each for each in containers if each.id not in self._interrupted], around)
        moved = [
            target
            for target in fresh.targets
            if target.container_id in known
            and target.started_at == known[target.container_id].started_at
            and target.inject != known[target.container_id].inject
        ]
        if not moved:
            return
        outcomes = await run_all(injection.tools.runner, injection.commands(FaultPlan(targets=tuple(moved))))
        for target, outcome in zip(moved, outcomes, strict=True):
            if outcome.ok:
                known[target.container_id] = target
                text = "follows the new addresses of the other side"
                injection.tell("fault_followed", text, fault=injection.id, target=target.name)
            else:
                text = failure_text(outcome)
                injection.tell("fault_not_followed", text, fault=injection.id, target=target.name)
        injection.plan = FaultPlan(targets=tuple(known.get(each.container_id, each) for each in injection.plan.targets))
