"""The life of one fault: arm, fire, see, hold, undo. One task, one Eliot action, one ledger row.

The row is durable before anything is done to the engine, and whatever ends the task, the undo runs shielded.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import anyio

from coordinator.errors import CoordinatorError, InvariantBroken, LedgerUnavailable, leaves
from coordinator.faults.commands import FAULT, MARK, Command, Outcome, batch
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.lifecycle import DOWN
from coordinator.faults.looks import RunsAnew, Succeeded
from coordinator.faults.model import FaultPlan, FaultSpec, Surroundings
from coordinator.logging import action, log, serialized_task
from coordinator.ports import Clock, CommandRunner, EngineFacts, Hands, Ledger, Machine
from coordinator.record import Fault, FaultRow, FaultState, TargetOutcome
from coordinator.scenarios.effects import Effects, Watch, judge_started, of_the_runs_hit, owed
from coordinator.scenarios.follow import follow
from coordinator.scenarios.keeping import keeping
from coordinator.scenarios.proof import undone
from coordinator.scenarios.side_by_side import failure_text, run_all
from coordinator.scenarios.spread import judge_spread
from coordinator.scenarios.telling import Meter, Tell
from coordinator.scenarios.turns import turn
from coordinator.scenarios.undo import LEDGER_PATIENCE_S, Undoer

LEAD_S: Final = 2.0
"""How long before its time a later fault of a phase is armed."""

GONE: Final = "no longer exists"
FIRE_LEAD_S: Final = 0.1
"""How long before its time a fault is written down as fired, so that nothing slow stands between time and command."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an injection works with."""

    runner: CommandRunner
    facts: EngineFacts
    ledger: Ledger
    clock: Clock
    undoer: Undoer
    undo_deadline_s: float
    metrics: Meter | None = None
    hands: Callable[[str], AbstractAsyncContextManager[Hands]] | None = None
    """What an execution's commands run with, by its id; without it, `runner`, which keeps nothing ready."""
    machine: Machine | None = None


@dataclass(eq=False, slots=True)
class PhaseTime:
    """When a phase starts, on the monotonic clock, and whether it is over: known to all its faults."""

    start: float = math.nan
    over: bool = False
    known: anyio.Event = field(default_factory=anyio.Event)

    def begin(self, start: float) -> None:
        """Say when it starts."""
        self.start = start
        self.known.set()


@dataclass(eq=False)
class Injection:
    """One fault of one phase. `live` is its whole life; the rest is for the phase that runs it to look at."""

    execution_id: str
    phase: str
    key: str
    spec: FaultSpec
    container_ids: tuple[str, ...]
    """Of the containers it is aimed at."""
    look_around: Callable[[], Awaitable[Surroundings]]
    """Every target as it is now. Raises EngineUnreachable."""
    mark: str
    """What names it inside a kernel, but for its id: its execution, instance and deadline."""
    engine_id: str
    tools: Tools
    tell: Tell
    fail: Callable[[str], None]
    """Ends the execution with verdict error."""
    hands: Hands | None = None
    shared: frozenset[str] = frozenset()
    """Ids of containers that other faults of the phase hit too: what changes there may be our own doing."""

    armed: anyio.Event = field(default_factory=anyio.Event)
    end: anyio.Event = field(default_factory=anyio.Event)
    done: anyio.Event = field(default_factory=anyio.Event)
    gives_way: anyio.Event = field(default_factory=anyio.Event)
    """Its undo is done, or keeps failing: others need not wait for it."""
    row: FaultRow | None = None
    first_effect_at: float | None = None
    """On the monotonic clock; None while no effect was seen."""
    not_injected: list[str] = field(default_factory=list)
    moved: anyio.Event = field(default_factory=anyio.Event)
    """Something happened to a container: look whether the fault still holds."""
    plan: FaultPlan = field(default_factory=lambda: FaultPlan(targets=()))
    _began: bool = False
    _ended_alone: bool = False

    @property
    def id(self) -> str:
        """Derived from the execution and the place in its scenario, so the same run names it the same."""
        return str(uuid.uuid5(uuid.UUID(self.execution_id), self.key))

    async def live(self, time: PhaseTime, undone_first: Iterable[Injection]) -> None:
        """Arm, fire at its time, hold until `for` or the phase ends, undo.

        `undone_first` are those to be undone before it, when they end together.
        """
        with action("fault", fault=self.id, fault_type=self.spec.type, target=self.spec.aimed_at, phase=self.phase):
            try:
                await self._arm_in_time(time)
                await time.known.wait()
                await self._fire(time.start + self.spec.at)
                async with anyio.create_task_group() as following:
                    following.start_soon(follow, self)
                    await self._hold(time)
                    following.cancel_scope.cancel(reason="held to the end")
                self._ended_alone = not time.over
            except* CoordinatorError as errors:
                self.fail(f"{self.spec.type} on {self.spec.aimed_at}: {next(leaves(errors))}")
            finally:
                self.armed.set()
                try:
                    with anyio.move_on_after(self.tools.undo_deadline_s + 2 * LEDGER_PATIENCE_S, shield=True):
                        await self._undo(() if self._ended_alone else undone_first)
                finally:
                    self.gives_way.set()
                    self.done.set()

    # ------------------------------------------------------------ arm

    async def _arm_in_time(self, time: PhaseTime) -> None:
        if self.spec.at > LEAD_S:
            await time.known.wait()
            await anyio.sleep(max(0.0, time.start + self.spec.at - LEAD_S - self.tools.clock.monotonic()))
        around = await self.look_around()
        containers = around.of(self.spec.aims())
        self.plan = self.planned(containers, around)
        for each in (missing := sorted(set(self.container_ids) - {container.id for container in containers})):
            self._left_out(each[:12], GONE)
        for left in self.plan.untouched:
            self._left_out(left.name, left.why)
        self.plan = await self.made_ready(self.plan)
        await self.save(self._first_row(missing))
        if self.plan.targets:
            text = f"{self.spec.type}, {self.plan.drawn}" if self.plan.drawn else self.spec.type
            self.tell("fault_armed", text, fault=self.id)
        else:
            self._count(FaultState.NOT_INJECTED)
        self.armed.set()

    def planned(self, containers: Sequence[ContainerFacts], around: Surroundings) -> FaultPlan:
        """The plan for these containers, with this fault's own id in its commands. Raises Refused."""
        return self.spec.plan(containers, around).filled({FAULT: self.id, MARK: f"fault={self.id} {self.mark}"})

    async def made_ready(self, plan: FaultPlan) -> FaultPlan:
        """The plan with what its undos have to know of the targets as they are.

        Whatever its commands need takes its time now, not when the fault is due. Raises AbilityMissing, MissingSecret.
        """
        if self.hands is not None:
            # An undo that lacks a secret must not come to light when it is due.
            secret = [undo.command for undo in plan.undos if undo.command.secrets]
            await self.hands.ready([*(target.inject for target in plan.targets), *secret])
        return await keeping(plan, self.tools.runner, self.execution_id, self.id, self.tell)

    def _left_out(self, name: str, why: str) -> None:
        self.not_injected.append(f"{self.spec.type}: {name}: {why}")
        self.tell("fault_not_injected", why, fault=self.id, target=name)

    def _first_row(self, missing: Iterable[str]) -> FaultRow:
        plan = self.plan
        outcomes = [TargetOutcome(container_id=t.container_id, name=t.name) for t in plan.targets]
        outcomes += [TargetOutcome(container_id=u.container_id, name=u.name, outcome=u.why) for u in plan.untouched]
        outcomes += [TargetOutcome(container_id=each, name=each[:12], outcome=GONE) for each in missing]
        fault = Fault(
            id=self.id, execution_id=self.execution_id, phase=self.phase, type=self.spec.type,
            target=self.spec.aimed_at, fault_class=self.spec.fault_class,
            mechanism=self.spec.done_by, armed_at=self.tools.clock.now(),
            state=FaultState.ARMED if plan.targets else FaultState.NOT_INJECTED,
            targets=tuple(outcomes), inject_commands=_injecting(plan), undo_commands=_undoing(plan),
        )  # fmt: skip
        return FaultRow(
            fault=fault, engine_id=self.engine_id, task=serialized_task(), undos=plan.undos,
            pre_states={target.container_id: target.pre_state for target in plan.targets},
        )  # fmt: skip

    # ------------------------------------------------------------ fire and see

    async def _fire(self, due: float) -> None:
        if not self.plan.targets:
            return
        clock, armed = self.tools.clock, self.armed_row
        if await self._ended_before(due - FIRE_LEAD_S):
            return
        armed = await self._without_the_changed(armed)
        if not self.plan.targets:
            await self.save(armed)
            self._count(FaultState.NOT_INJECTED)
            return
        due_at = clock.now() + timedelta(seconds=due - clock.monotonic())
        fired = {"state": FaultState.FIRED, "due_at": due_at, "fired_at": max(due_at, clock.now())}
        await self.save(armed.model_copy(update={"fault": armed.fault.model_copy(update=fired)}))
        commands = self.commands(self.plan)
        if await self._ended_before(due):
            return
        self._began = True
        fired_at = clock.now()
        outcomes = await run_all(self.tools.runner, commands)
        ran = dict(zip(commands, outcomes, strict=True))
        judge_started(ran)
        watch = Watch(self.tools.facts, clock, self.plan.targets, ran, fired_at, armed.fault.armed_at)
        effects = await watch.effects()
        failed = next((outcome for outcome in outcomes if not outcome.ok), None)
        unseen = "the command succeeded but no effect was seen" if failed is None else failure_text(failed)
        why_not = {target.container_id: watch.spared.get(target.container_id, unseen) for target in self.plan.targets}
        await self._record_effects(effects, why_not, due, ran, watch.spared)

    def commands(self, plan: FaultPlan) -> list[Command]:
        """What is run to inject it, its helpers labelled."""
        commands = batch(target.inject for target in plan.targets)
        return [command.on_behalf(self.execution_id, self.id) for command in commands]

    async def _without_the_changed(self, row: FaultRow) -> FaultRow:
        """The row, and the plan, without targets that somebody stopped, paused or removed since they were armed.

        Where another fault of the phase may have changed it, one that is down is out of reach only of what is seen by
        its own exit code. An engine that is slow to tell delays the firing only where it would show too late: a restart
        starts what somebody stopped. All else is told apart by what the command met; see `Watch`. Raises
        EngineUnreachable.
        """
        states: Mapping[str, ContainerState] | None = None
        starts = any(isinstance(target.effect, RunsAnew) for target in self.plan.targets)
        with anyio.move_on_after(math.inf if starts else FIRE_LEAD_S / 2):
            states = await self.tools.facts.states([target.container_id for target in self.plan.targets])
        if states is None:
            log("fault:not_looked_at_again", "WARNING", fault=self.id, reason="the engine is slow to answer")
            return row
        changed = {}
        for target in self.plan.targets:
            state = states.get(target.container_id)
            ours = target.container_id in self.shared
            reached = ours and (not isinstance(target.effect, Succeeded) or state not in (None, *DOWN))
            if state != target.pre_state and not reached:
                why = f"is {state}, not {target.pre_state} any more: left alone" if state else GONE
                changed[target.container_id] = why
                self._left_out(target.name, why)
        self.plan = FaultPlan(targets=tuple(t for t in self.plan.targets if t.container_id not in changed))
        fault = row.fault.model_copy(
            update={
                "state": FaultState.ARMED if self.plan.targets else FaultState.NOT_INJECTED,
                "targets": tuple(
                    target.model_copy(update={"outcome": changed.get(target.container_id, target.outcome)})
                    for target in row.fault.targets
                ),
                "inject_commands": _injecting(self.plan),
                "undo_commands": _undoing(self.plan),
            }
        )
        pre_states = {target.container_id: target.pre_state for target in self.plan.targets}
        return row.model_copy(update={"fault": fault, "undos": self.plan.undos, "pre_states": pre_states})

    async def _ended_before(self, moment: float) -> bool:
        """Wait until the moment; True when somebody asked for the end before."""
        with anyio.move_on_after(max(0.0, moment - self.tools.clock.monotonic())):
            await self.end.wait()
            self.not_injected.append(f"{self.spec.type} on {self.spec.aimed_at}: ended before its time")
            return True
        return False

    async def _record_effects(
        self,
        effects: Effects,
        why_not: Mapping[str, str],
        due: float,
        ran: Mapping[Command, Outcome],
        spared: Collection[str],
    ) -> None:
        """Durable what was seen, then on the timeline. `why_not` is by container id."""
        row = self.armed_row
        runs = await of_the_runs_hit(self.plan.targets, effects, self.tools.facts)
        undos = owed(row.undos, self.plan.targets, ran, runs, spared)
        targets = tuple(self._outcome(target, effects, why_not) for target in row.fault.targets)
        state = FaultState.ACTIVE if effects else FaultState.FIRED
        if effects:
            self.first_effect_at = min(effect.monotonic for effect in effects.values())
        fault = row.fault.model_copy(update={"state": state, "targets": targets})
        await self.save(row.model_copy(update={"fault": fault, "undos": undos}))
        inject_s = None if self.first_effect_at is None else self.first_effect_at - due
        self._count(FaultState.ACTIVE if effects else FaultState.NOT_INJECTED, inject_s)
        for target in targets:
            if target.effective_at is not None and fault.due_at is not None:
                text = f"{(target.effective_at - fault.due_at).total_seconds() * 1000:.0f} ms after due"
                self.tell("fault_effective", text, fault=self.id, target=target.name)
            elif target.container_id in row.pre_states:
                self._left_out(target.name, why_not[target.container_id])
        if row.fault.fired_at is not None:
            await judge_spread(self, effects, row.fault.fired_at)

    def _outcome(self, target: TargetOutcome, effects: Effects, why_not: Mapping[str, str]) -> TargetOutcome:
        if target.container_id in effects:
            at = effects[target.container_id].at
            return target.model_copy(update={"effective_at": at, "outcome": "effective"})
        if target.container_id in self.armed_row.pre_states:
            return target.model_copy(update={"outcome": f"not injected: {why_not[target.container_id]}"})
        return target

    @property
    def armed_row(self) -> FaultRow:
        """Its row in the ledger. Raises InvariantBroken before it is armed."""
        if self.row is None:
            message = f"fault {self.id} was fired before it was armed"
            raise InvariantBroken(message)
        return self.row

    # ------------------------------------------------------------ hold and undo

    async def _hold(self, time: PhaseTime) -> None:
        """Until the fault's own time is over, the phase ends, or somebody asks for its undo."""
        if self.spec.lasts is None:
            await self.end.wait()
            return
        until = time.start + self.spec.at + self.spec.lasts
        with anyio.move_on_after(max(0.0, until - self.tools.clock.monotonic())):
            await self.end.wait()

    async def _undo(self, first: Iterable[Injection]) -> None:
        """After those that hit the same containers later; if one of them does not end, this one still has its turn."""
        if self.row is None or not self.row.outstanding:
            return
        if not self._began:
            # The command never ran: on disk it may be fired, but nothing was done.
            unfired = {"state": FaultState.ARMED, "fired_at": None}
            self.row = self.row.model_copy(update={"fault": self.row.fault.model_copy(update=unfired)})
        left = self.tools.undo_deadline_s - await turn(self, first, self.tools.undo_deadline_s / 2)
        row, begun = self.row, self.tools.clock.monotonic()
        if self._began:
            self.row = row.model_copy(update={"fault": row.fault.model_copy(update={"state": FaultState.UNDOING})})
        self.row = await self.tools.undoer.undo(row, left, self.gives_way.set)
        if self._began and self.tools.metrics is not None:
            self.tools.metrics.fault_undone(self.spec.type, self.tools.clock.monotonic() - begun)
        for event, text, name in undone(self.row):
            self.tell(event, text, fault=self.id, target=name)

    def _count(self, state: FaultState, inject_s: float | None = None) -> None:
        if self.tools.metrics is not None:
            self.tools.metrics.fault_injected(self.spec.type, state.value, inject_s)

    async def save(self, row: FaultRow) -> None:
        """Durable first, then in memory: what we believe is never ahead of the disk. Raises LedgerUnavailable."""
        saved = False
        with anyio.move_on_after(LEDGER_PATIENCE_S, shield=True):
            await self.tools.ledger.save_fault(row)
            self.row = row
            saved = True
        if not saved:
            raise LedgerUnavailable(f"the ledger took no fault within {LEDGER_PATIENCE_S:g} s")
        log("fault:state", "DEBUG", fault=self.id, state=row.fault.state)


def _injecting(plan: FaultPlan) -> tuple[str, ...]:
    """The commands that inject, for people."""
    return tuple(command.shown() for command in batch(target.inject for target in plan.targets))


def _undoing(plan: FaultPlan) -> tuple[str, ...]:
    """The commands that undo, for people, last injected first."""
    return tuple(command for undo in reversed(plan.undos) for command in undo.shown())
