"""Plays one execution: targets, locks, steady state, phases, verdict. The anyio shell around the pure parts.

Cancelling it is undoing it: whatever ends the play, faults are undone by their own tasks, shielded, before it returns.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import anyio

from coordinator.errors import AbilityMissing, CoordinatorError, leaves
from coordinator.faults.facts import ContainerFacts
from coordinator.logging import action, continuing
from coordinator.ports import Prober, Sampler
from coordinator.record import (
    EngineRef,
    Execution,
    ExecutionState,
    Fault,
    FaultRow,
    FaultState,
    Progress,
    Sample,
    TimelineEntry,
    UndoState,
)
from coordinator.scenarios.feasible import held_against
from coordinator.scenarios.follow import follow_engine
from coordinator.scenarios.inject import Injection, Tools
from coordinator.scenarios.journal import Journal
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.phases import Phases
from coordinator.scenarios.plan import Plan, make_plan
from coordinator.scenarios.sample import Samplers
from coordinator.scenarios.stage import Ends, Rules, Stage
from coordinator.scenarios.target_locks import TargetLocks, undos_by_container
from coordinator.scenarios.undo import Undoer
from coordinator.scenarios.verdict import aborts

__all__ = ["Player", "Rules"]

LOCK_MARGIN_S: Final = 600.0
RELEASE_DEADLINE_S: Final = 10.0
FINISH_DEADLINE_S: Final = 30.0
IN_FORCE: Final = frozenset({FaultState.FIRED, FaultState.ACTIVE, FaultState.UNDOING})


class Player:
    """One execution from accepted to finished. `play` is its life; everything else may be called at any moment."""

    def __init__(
        self,
        execution: Execution,
        scenario: Scenario,
        rules: Rules,
        tools: Tools,
        prober: Prober,
        expect_plan: str | None = None,
    ) -> None:
        """Keep what it plays and what it plays with."""
        self._rules = rules
        self._tools = tools
        self._prober = prober
        self._expect_plan = expect_plan
        self._journal = Journal(execution, tools.ledger, tools.clock)
        self._ends = Ends()
        self._stage = Stage(scenario, tools, self._journal, self._ends, self._fail)
        self._locks = TargetLocks(tools.runner, tools.facts, rules.instance, execution.id)
        self._body = anyio.CancelScope()
        self._late = dict.fromkeys(scenario.probes, 0)
        self.cleared = False
        """Whether it has ended and neither a lock nor a helper of its is left on the engine, as was seen."""

    # ------------------------------------------------------------ for others

    @property
    def id(self) -> str:
        """The execution's id."""
        return self._journal.execution.id

    def view(self) -> Execution:
        """The execution as it is now, with timeline, faults and progress."""
        over = self._journal.execution.state is ExecutionState.FINISHED
        seen = self._journal.view(tuple(self._faults()), None if over else self._progress())
        if not over and any(row.outstanding and row.fault.fired_at is not None for row in self._rows()):
            seen = seen.model_copy(update={"undo": UndoState.PENDING})
        return seen

    async def record(self) -> bool:
        """Write what of its end the ledger has not taken; False while it does not. One that has none writes nothing."""
        return self._journal.execution.state is not ExecutionState.FINISHED or await self._journal.write()

    async def told_after(self, count: int) -> tuple[TimelineEntry, ...]:
        """The timeline after its first `count` entries; waits until there is something."""
        return await self._journal.after(count)

    def samples(self) -> Mapping[str, Sequence[Sample]]:
        """What the probes have seen so far."""
        sampling = self._stage.sampling
        return {} if sampling is None else {name: sampling.samples(name) for name in self._stage.scenario.probes}

    def stop(self, reason: str) -> None:
        """End it and undo; returns at once. The first reason stays; one that is finished stays as it is."""
        if self._journal.execution.state is ExecutionState.FINISHED:
            return
        self._ends.put_aborted(reason)
        self._cancel(reason)

    def undo(self, fault_id: str) -> Injection | None:
        """Ask one of its faults to end now; wait for its `done`. None if it has no such fault."""
        injection = next((one for one in self._stage.injections if one.id == fault_id), None)
        if injection is not None:
            injection.end.set()
        return injection

    def _fail(self, reason: str) -> None:
        self._ends.put_error(reason)
        self._cancel(reason)

    def _cancel(self, reason: str) -> None:
        if any(row.outstanding for row in self._rows()):
            self._journal.set(state=ExecutionState.UNDOING)
        self._body.cancel(reason=reason)

    def _rows(self) -> Iterator[FaultRow]:
        return (one.row for one in self._stage.injections if one.row is not None)

    def _faults(self) -> Iterator[Fault]:
        return (row.fault for row in self._rows())

    def _progress(self) -> Progress:
        stage = self._stage
        active = [fault for fault in self._faults() if fault.state in IN_FORCE]
        probes = {} if stage.sampling is None else {n: stage.sampling.progress(n) for n in stage.scenario.probes}
        remaining = None if stage.until is None else max(0.0, stage.until - self._tools.clock.monotonic())
        return Progress(
            phase=self._journal.execution.phase,
            remaining_s=None if remaining is None else round(remaining, 1),
            active_faults=tuple(f"{fault.type} {fault.target}" for fault in active),
            probes=probes,
        )

    # ------------------------------------------------------------ the play

    async def play(self, task: str) -> Execution:
        """Run to the verdict, continuing the Eliot task that asked for it; the finished execution is on disk."""
        name = self._stage.scenario.metadata.name
        with continuing(task, "execution", execution=self.id, scenario=name) as telling:
            ended = False
            try:
                await self._play_within_the_timeout()
                ended = True
            except* CoordinatorError as errors:
                self._ends.put_error("; ".join(dict.fromkeys(str(leaf) for leaf in leaves(errors))))
                ended = True
            finally:
                if not ended:
                    self._note_violent_end()
                # Faults are undone already: what is left is releasing locks and writing the verdict.
                with anyio.move_on_after(FINISH_DEADLINE_S, shield=True):
                    await self._finish()
            telling.add_success_fields(verdict=self._journal.execution.verdict)
        return self._journal.execution

    def _note_violent_end(self) -> None:
        if anyio.current_effective_deadline() == -math.inf:
            self._ends.put_aborted("its task was cancelled from outside")
        else:
            self._ends.put_error("it crashed: the log has the traceback")

    async def _play_within_the_timeout(self) -> None:
        own = self._stage.scenario.limits.timeout
        limit = min(self._rules.timeout_s, own or self._rules.timeout_s)
        self._journal.begin()
        self._journal.set(state=ExecutionState.PREPARING, started_at=self._tools.clock.now())
        await self._journal.save()
        with anyio.move_on_after(limit) as timeout, self._body:
            async with self._with_hands():
                if await self._prepare():
                    await self._sample_and_play()
        if timeout.cancelled_caught:
            by = "limits.timeout of the scenario" if limit == own else "SCENARIO_TIMEOUT_SECONDS"
            self._ends.put_aborted(f"timeout: longer than {limit:g} s ({by})")

    @asynccontextmanager
    async def _with_hands(self) -> AsyncIterator[None]:
        """Play with an execution's own hands; faults are undone before they are let go."""
        if self._tools.hands is None:
            yield
            return
        async with self._tools.hands(self.id) as hands:
            tools, stage = self._tools, self._stage
            undoer = Undoer(hands, tools.facts, tools.ledger, tools.clock)
            stage.tools = replace(tools, runner=hands, undoer=undoer)
            stage.hands = hands
            hands.listen(self._tell_of_hands)
            yield

    def _tell_of_hands(self, event: str, container_id: str, text: str) -> None:
        """What becomes of faults while nobody asks is on the timeline."""
        self._journal.tell(event, text, target=self._stage.name_of(container_id), level="WARNING")

    async def _prepare(self) -> bool:
        """Resolve, plan, lock; whether nothing forbids the play."""
        facts, stage, execution = self._tools.facts, self._stage, self._journal.execution
        with action("prepare"):
            engine = await facts.engine()
            stage.engine = engine
            if self._rules.environment is not None:
                ran_on = EngineRef(
                    id=engine.id, version=engine.version, operating_system=engine.operating_system,
                    kernel=engine.kernel,
                )  # fmt: skip
                self._journal.set(environment=self._rules.environment.model_copy(update={"engine": ran_on}))
            containers = await facts.containers()
            plan = make_plan(
                stage.scenario, execution.variables, containers, self._rules.policy, execution.seed, engine,
                faults_disabled=self._rules.faults_disabled, injection_enabled=self._rules.injection_enabled,
                in_container=self._rules.in_container,
            )  # fmt: skip
            plan = await held_against(plan, stage.scenario, self._tools.machine)
            self._journal.set(plan_hash=plan.hash, targets=plan.targets)
            self._tell_plan(plan, {container.id: container for container in containers})
            allowed = self._judge_plan(plan) and await self._lock(plan)
            if allowed:
                await self._prepare_helper(plan)
            await self._journal.save()
        return allowed

    def _tell_plan(self, plan: Plan, containers: Mapping[str, ContainerFacts]) -> None:
        for name, refs in plan.targets.items():
            self._stage.targets[name] = tuple(containers[ref.id] for ref in refs)
            self._journal.tell("target_resolved", ", ".join(ref.name for ref in refs) or "nothing", target=name)
        for warning in plan.warnings:
            self._journal.tell("warning", warning, level="WARNING")

    def _judge_plan(self, plan: Plan) -> bool:
        targets = self._stage.scenario.targets
        empty = tuple(
            f"target {name}:" for name, refs in plan.targets.items() if not refs and not targets[name].allow_empty
        )
        nothing = [refusal for refusal in plan.refusals if refusal.startswith(empty)] if empty else []
        others = [refusal for refusal in plan.refusals if refusal not in nothing]
        if self._expect_plan not in {None, plan.hash}:
            self._ends.put_error(f"the plan is {plan.hash}, not the expected {self._expect_plan}: look at it again")
        if others:
            self._ends.put_error("; ".join(others))
        self._ends.not_injected.extend(nothing)
        return self._ends.error is None and not nothing

    async def _lock(self, plan: Plan) -> bool:
        """Take the lock of every container a fault is aimed at."""
        expires = self._tools.clock.now().timestamp() + self._rules.timeout_s + LOCK_MARGIN_S
        self._stage.mark = f"execution={self.id} instance={self._rules.instance} expires={expires:.0f}"
        held = await self._locks.take(undos_by_container(plan), expires)
        if held:
            taken = (f"container {self._stage.name_of(container_id)} is {who}" for container_id, who in held.items())
            self._ends.put_error("; ".join(taken))
        return not held

    async def _prepare_helper(self, plan: Plan) -> None:
        """Whatever helpers need takes its time now, not when a fault is armed. Raises AbilityMissing."""
        commands = {each.inject for fault in plan.faults for each in fault.plan.targets if each.inject.of_helper}
        if commands and self._stage.hands is not None:
            await self._stage.hands.ready(sorted(commands, key=lambda command: command.argv))
        keeping = [each.keep for fault in plan.faults for each in fault.plan.targets if each.keep is not None]
        if keeping and self._stage.hands is not None:
            try:
                await self._stage.hands.ready(keeping[:1])
            except AbilityMissing as error:
                self._journal.tell("warning", f"not every undo will be exact: {error}", level="WARNING")

    async def _sample_and_play(self) -> None:
        since = self._journal.execution.started_at or self._tools.clock.now()
        async with self._prober.kept(since) as sampler:
            await self._play_watched_by(sampler)

    async def _play_watched_by(self, sampler: Sampler) -> None:
        stage = self._stage
        sampling = stage.sampling = Samplers(
            stage.scenario.probes, prober=sampler, clock=self._tools.clock, started=self._journal.started,
            targets=stage.targets, flush=self._journal.keep, on_sample=self._on_sample, on_change=self._on_change,
        )  # fmt: skip
        async with anyio.create_task_group() as group:
            group.start_soon(self._journal.write_out)
            group.start_soon(follow_engine, stage.tools.facts, self._moved)
            async with anyio.create_task_group() as samplers:
                samplers.start_soon(sampling.run)
                try:
                    await Phases(stage).play()
                finally:
                    sampling.stop()
            group.cancel_scope.cancel(reason="played to the end")

    def _moved(self, container_id: str) -> None:
        """Something happened to this container; empty: to any of them."""
        known = {each.id for containers in self._stage.targets.values() for each in containers}
        if not container_id or container_id in known:
            for injection in self._stage.injections:
                injection.moved.set()

    # ------------------------------------------------------------ probes

    def _on_sample(self, probe: str) -> None:
        sampling = self._stage.sampling
        if sampling is None:
            return
        self._count_sample(probe, sampling)
        for condition in self._stage.scenario.abort_if:
            if condition.probe == probe and self._ends.aborted is None:
                reason = aborts(condition, sampling.samples(probe))
                if reason is not None:
                    self._journal.tell("abort_condition", reason, level="WARNING")
                    self.stop(reason)

    def _count_sample(self, probe: str, sampling: Samplers) -> None:
        if self._tools.metrics is None:
            return
        late = sampling.late(probe)
        result = "late" if late > self._late[probe] else "good" if sampling.samples(probe)[-1].ok else "bad"
        self._late[probe] = late
        self._tools.metrics.probe_sample(self._stage.scenario.probes[probe].type, result)

    def _on_change(self, probe: str, sample: Sample, error: str) -> None:
        self._journal.tell("probe_good" if sample.ok else "probe_bad", error, target=probe)

    # ------------------------------------------------------------ the end

    async def _finish(self) -> None:
        """Release the locks of what is undone, settle the verdict, write it down."""
        stage, rows = self._stage, list(self._rows())
        self._journal.set(state=ExecutionState.UNDOING, phase=None)
        stage.until = None
        stuck = {undo.container_id for row in rows if row.outstanding for undo in row.undos}
        with anyio.move_on_after(RELEASE_DEADLINE_S):
            self.cleared = await self._locks.release(keep=stuck)
        for injection in stage.injections:
            self._ends.not_injected.extend(injection.not_injected)
        undo = UndoState.COMPLETE if any(row.fault.fired_at is not None for row in rows) else UndoState.NONE
        verdict, reason = self._ends.verdict()
        self._journal.set(
            state=ExecutionState.FINISHED, verdict=verdict, reason=reason, finished_at=self._tools.clock.now(),
            undo=UndoState.INCOMPLETE if any(row.outstanding for row in rows) else undo,
        )  # fmt: skip
        self._journal.tell("finished", verdict if reason is None else f"{verdict}: {reason}")
        await self._journal.settle()
