"""The intake of executions: accepted in the ledger first, then queued, then played each in a child of its own.

An execution lives in the pool, not here: this actor may crash and be restarted while executions go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from coordinator.errors import Conflict, InvariantBroken, NotFound, Refused
from coordinator.logging import log, serialized_task, task_uuid
from coordinator.ports import Prober, Random
from coordinator.record import (
    Execution,
    ExecutionState,
    Report,
    Sample,
    Series,
    Submission,
    TimelineEntry,
)
from coordinator.scenarios.feasible import held_against
from coordinator.scenarios.inject import Tools
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.parse import Parsed, parse
from coordinator.scenarios.plan import Plan, forbidden, make_plan
from coordinator.scenarios.run import Player, Rules
from coordinator.supervision import ChildContext, ChildRefused, ChildSpec, Restart

StartChild = Callable[[ChildSpec], Awaitable[object]]
STOPPING: Final = "the coordinator is stopping"
STOPPED: Final = "its actor was stopped"
SEED_LIMIT: Final = 2**31
START_PATIENCE_S: Final = 5.0
"""How long the pool may take to take a child; one that takes longer is asked again."""

REFUSED_PAUSE_S: Final = 0.5
ORPHAN_LOOK_S: Final = 0.5
"""How often an execution of an earlier process is looked at: recovery finishes it in the ledger and tells nobody."""


@dataclass(eq=False, slots=True)
class _Entry:
    """One execution between acceptance and the end of its child."""

    player: Player
    task: str
    accepted: bool = False
    """Durable, and so in the queue."""
    began: bool = False
    """Its body runs or has run: it never runs again."""
    stopped: bool = False
    finished: anyio.Event = field(default_factory=anyio.Event)

    @property
    def queued(self) -> bool:
        """Whether it waits for its turn."""
        return self.accepted and not self.began


class ExecutionsActor:
    """Satisfies `actors.contract.Actor`; everything but `run` is called by the interfaces."""

    name = "executions"
    critical = True

    def __init__(
        self,
        rules: Rules,
        tools: Tools,
        prober: Prober,
        *,
        max_concurrent: int,
        stop_timeout_s: float,
        random: Random,
        start_child: StartChild,
        on_finished: Callable[[Player], None],
        revise: Callable[[Scenario], Scenario] = lambda scenario: scenario,
    ) -> None:
        """Keep the ports; `start_child` puts a child into the pool of running executions. `revise`: what is played
        instead of a scenario, for a rehearsal in which not everything can be asked.
        """
        self._revise = revise
        self._rules = rules
        self._tools = tools
        self._prober = prober
        self._max_concurrent = max_concurrent
        self._stop_timeout_s = stop_timeout_s
        self._random = random
        self._start_child = start_child
        self._on_finished = on_finished
        # In the order of acceptance, which is the order of the queue. It stands on the object: it outlives a life.
        self._entries: dict[str, _Entry] = {}
        self._wake = anyio.Event()
        self._accepting = anyio.Lock()
        self._draining = False

    # ------------------------------------------------------------ the actor

    async def run(self, life: ChildContext) -> None:
        """Start queued executions as places come free, until asked to stop."""
        life.ready()
        async with anyio.create_task_group() as group:
            group.start_soon(self._dispatch)
            await life.stopping.wait()
            group.cancel_scope.cancel(reason="asked to stop")

    async def _dispatch(self) -> None:
        while True:
            self._wake = anyio.Event()
            for execution_id, entry in tuple(self._entries.items()):
                # One that was stopped while it waited only has to be finished: it needs no place.
                if entry.queued and (entry.stopped or self._playing() < self._max_concurrent):
                    await self._start(execution_id, entry)
            await self._wake.wait()

    def _playing(self) -> int:
        return sum(entry.began for entry in self._entries.values())

    async def _start(self, execution_id: str, entry: _Entry) -> None:
        """Hand it to the pool. Its own body says that it began, so whatever happens here, it is not begun twice."""

        async def body(life: ChildContext) -> None:
            await self._play(execution_id, entry, life)

        spec = ChildSpec(
            id=execution_id,
            start=body,
            restart=Restart.TEMPORARY,
            critical=False,
            stop_timeout_s=self._stop_timeout_s,
            cancel_timeout_s=self._stop_timeout_s,
        )
        try:
            with anyio.move_on_after(START_PATIENCE_S):
                await self._start_child(spec)
        except ChildRefused as refused:
            log("execution:not_started", "WARNING", execution=execution_id, reason=str(refused))
        if entry.queued and entry.stopped:
            # Nobody takes it any more, and all it still needs is its verdict.
            entry.began = True
            await self._to_the_end(execution_id, entry)
        elif entry.queued:
            await anyio.sleep(REFUSED_PAUSE_S)
            self._wake.set()

    async def _play(self, execution_id: str, entry: _Entry, life: ChildContext) -> None:
        life.ready()
        if entry.began:
            return
        entry.began = True
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_when_asked, entry, life)
            await self._to_the_end(execution_id, entry)
            group.cancel_scope.cancel(reason="played")

    async def _to_the_end(self, execution_id: str, entry: _Entry) -> None:
        try:
            await entry.player.play(entry.task)
        finally:
            del self._entries[execution_id]
            entry.finished.set()
            self._wake.set()
            self._on_finished(entry.player)

    async def _stop_when_asked(self, entry: _Entry, life: ChildContext) -> None:
        await life.stopping.wait()
        entry.player.stop(STOPPING if self._draining else STOPPED)

    # ------------------------------------------------------------ taking work

    def playing(self, execution_id: str) -> bool:
        """Whether the execution is queued or being played here: then its faults are in good hands.

        True from before it is on disk until its verdict is; once false for an execution that was, false for ever.
        """
        return execution_id in self._entries

    def active(self) -> int:
        """How many are queued or being played."""
        return len(self._entries)

    async def submit(self, submission: Submission, idempotency_key: str | None) -> Execution:
        """Accept durably and queue. The current Eliot task becomes the execution's own.

        Raises InvalidScenario, Refused, Conflict, EngineUnreachable (only when a plan is expected), LedgerUnavailable.
        """
        self._refuse_when_draining()
        known = await self._accepted_before(submission, idempotency_key)
        if known is not None:
            return known
        parsed = parse(submission.source, file=submission.file, variables=submission.variables)
        self._refuse_forbidden(parsed)
        seed = self._seed(submission, parsed)
        await self._refuse_another_plan(submission, parsed, seed)
        # One at a time, so that two requests with the same key cannot both be the first.
        async with self._accepting:
            self._refuse_when_draining()
            known = await self._accepted_before(submission, idempotency_key)
            return known or await self._accept(submission, parsed, seed, idempotency_key)

    def _refuse_when_draining(self) -> None:
        if self._draining:
            message = f"{STOPPING}: no more executions are accepted"
            raise Refused(message)

    def _refuse_forbidden(self, parsed: Parsed) -> None:
        why = forbidden(parsed.scenario, self._rules.faults_disabled, injection_enabled=self._rules.injection_enabled)
        if why:
            raise Refused("; ".join(why))

    async def _accepted_before(self, submission: Submission, key: str | None) -> Execution | None:
        known = await self._tools.ledger.accepted_as(key) if key is not None else None
        if known is None:
            return None
        if await self._tools.ledger.submission(known) != submission:
            message = f"Idempotency-Key {key!r} was used for another request, execution {known}: use a new key"
            raise Conflict(message)
        return await self.execution(known)

    async def _refuse_another_plan(self, submission: Submission, parsed: Parsed, seed: int) -> None:
        if submission.expect_plan is not None:
            plan = await self._make_plan(parsed, seed)
            if plan.hash != submission.expect_plan:
                message = f"the plan is {plan.hash}, not the expected {submission.expect_plan}: look at it again"
                raise Conflict(message)

    async def _accept(
        self, submission: Submission, parsed: Parsed, seed: int, idempotency_key: str | None
    ) -> Execution:
        task = serialized_task()
        execution = Execution(
            id=task_uuid(task),
            scenario=parsed.scenario.metadata.name,
            state=ExecutionState.QUEUED,
            seed=seed,
            variables=parsed.variables,
            environment=self._rules.environment,
            created_at=self._tools.clock.now(),
        )
        if execution.id in self._entries or await self._tools.ledger.execution(execution.id) is not None:
            message = f"Eliot task {execution.id} already has an execution: every submission needs its own task"
            raise InvariantBroken(message)
        scenario = self._revise(parsed.scenario)
        player = Player(execution, scenario, self._rules, self._tools, self._prober, submission.expect_plan)
        # Known before it is on disk, so that recovery never takes it for an orphan.
        entry = self._entries[execution.id] = _Entry(player, task)
        try:
            # Accepted and queued are one step: a caller that goes away in between leaves no orphan.
            with anyio.CancelScope(shield=True):
                await self._tools.ledger.accept(execution, submission, task, idempotency_key)
                entry.accepted = True
        finally:
            if not entry.accepted:
                del self._entries[execution.id]
                entry.finished.set()
            self._wake.set()
        log("execution:accepted", execution=execution.id, scenario=execution.scenario, seed=seed)
        return execution

    def _seed(self, submission: Submission, parsed: Parsed) -> int:
        given = submission.seed if submission.seed is not None else parsed.scenario.seed
        return int(self._random.random() * SEED_LIMIT) if given is None else given

    async def plan(self, submission: Submission) -> Plan:
        """What it would do; touches nothing. Raises InvalidScenario, EngineUnreachable."""
        parsed = parse(submission.source, file=submission.file, variables=submission.variables)
        return await self._make_plan(parsed, self._seed(submission, parsed))

    async def _make_plan(self, parsed: Parsed, seed: int) -> Plan:
        facts = self._tools.facts
        engine, containers = await facts.engine(), await facts.containers()
        plan = make_plan(
            parsed.scenario, parsed.variables, containers, self._rules.policy, seed, engine,
            faults_disabled=self._rules.faults_disabled, injection_enabled=self._rules.injection_enabled,
            shutdown_deadline_s=self._rules.shutdown_deadline_s, in_container=self._rules.in_container,
        )  # fmt: skip
        return await held_against(plan, parsed.scenario, self._tools.machine)

    # ------------------------------------------------------------ for the interfaces

    async def execution(self, execution_id: str) -> Execution:
        """One execution, live while it is played. Raises NotFound."""
        entry = self._entries.get(execution_id)
        if entry is not None:
            return entry.player.view()
        found = await self._tools.ledger.execution(execution_id)
        if found is None:
            message = f"there is no execution {execution_id}"
            raise NotFound(message)
        return found

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """Executions, newest first; those that are played with their `undo` as it is now."""
        return tuple(map(self._as_now, await self._tools.ledger.executions(states, limit, after)))

    def _as_now(self, stored: Execution) -> Execution:
        entry = self._entries.get(stored.id)
        return stored if entry is None else stored.model_copy(update={"undo": entry.player.view().undo})

    async def finished(self, execution_id: str) -> Execution:
        """Wait until it is finished. Raises NotFound."""
        entry = self._entries.get(execution_id)
        if entry is not None:
            await entry.finished.wait()
            return entry.player.view()
        execution = await self.execution(execution_id)
        while execution.state is not ExecutionState.FINISHED:
            execution = await self._execution_later(execution_id)
        return execution

    async def _execution_later(self, execution_id: str) -> Execution:
        await anyio.sleep(ORPHAN_LOOK_S)
        return await self.execution(execution_id)

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """What happened after the first `after` entries; waits for it. Empty when it is over. Raises NotFound."""
        entry = self._entries.get(execution_id)
        found: tuple[TimelineEntry, ...] = ()
        if entry is not None:
            async with anyio.create_task_group() as group:

                async def until_told() -> None:
                    nonlocal found
                    found = await entry.player.told_after(after)
                    group.cancel_scope.cancel(reason="told")

                async def until_finished() -> None:
                    await entry.finished.wait()
                    group.cancel_scope.cancel(reason="finished")

                group.start_soon(until_told)
                group.start_soon(until_finished)
        if found:
            return found
        execution = await self.execution(execution_id)
        while len(execution.timeline) <= after and execution.state is not ExecutionState.FINISHED:
            execution = await self._execution_later(execution_id)
        return execution.timeline[after:]

    async def report(self, execution_id: str) -> Report:
        """Everything recorded of it, also while it runs. Raises NotFound."""
        entry = self._entries.get(execution_id)
        execution = await self.execution(execution_id)
        if entry is not None:
            series = {name: Series(probe=name, samples=tuple(s)) for name, s in entry.player.samples().items()}
        else:
            series = dict(await self._tools.ledger.series(execution_id))
        left: tuple[str, ...] = ()
        if execution.state is ExecutionState.FINISHED:
            rows = await self._tools.ledger.faults(execution_id=execution_id, outstanding=True)
            left = tuple(command for row in reversed(rows) for command in row.left)
        return Report(execution=execution, probes=series, left_broken=left)

    def live_samples(self, execution_id: str) -> Mapping[str, Sequence[Sample]] | None:
        """What the probes of one have seen so far; None when it is not in memory."""
        entry = self._entries.get(execution_id)
        return None if entry is None else entry.player.samples()

    async def stop(self, execution_id: str, reason: str) -> Execution:
        """Ask it to stop and undo. Raises NotFound, Conflict when it is finished."""
        entry = self._entries.get(execution_id)
        if entry is None:
            execution = await self.execution(execution_id)
            message = f"execution {execution_id} is finished: {execution.verdict}"
            raise Conflict(message)
        self._stop_entry(entry, reason)
        return entry.player.view()

    def _stop_entry(self, entry: _Entry, reason: str) -> None:
        entry.stopped = True
        entry.player.stop(reason)
        self._wake.set()

    async def stop_all(self, reason: str, *, drain: bool = False) -> None:
        """Stop all and wait until each is undone and finished; with `drain`, accept no more."""
        self._draining = self._draining or drain
        entries = tuple(self._entries.values())
        for entry in entries:
            self._stop_entry(entry, reason)
        for entry in entries:
            await entry.finished.wait()

    async def undo(self, fault_id: str) -> bool:
        """End one fault of a running execution and wait for its undo; False if no execution here has it."""
        for entry in tuple(self._entries.values()):
            injection = entry.player.undo(fault_id)
            if injection is not None:
                await injection.done.wait()
                return True
        return False
