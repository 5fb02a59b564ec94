"""Puts faults back: looks, runs the undo where it is needed, looks again, until it is seen or the deadline passes.

Knows only what a ledger row holds, so the scope of a fault, recovery and `recover` all undo in the same way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import anyio

from coordinator.errors import EngineUnreachable, LedgerUnavailable
from coordinator.faults.commands import LEFT, Command, batch
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import Undo, need
from coordinator.faults.needs import Need, hit_until
from coordinator.faults.refusals import network_gone
from coordinator.logging import action, log
from coordinator.packets import Met, met, sentence
from coordinator.ports import Clock, CommandRunner, EngineFacts
from coordinator.record import FaultRow, FaultState, TargetOutcome
from coordinator.scenarios.outcomes import NETWORK_GONE, NO_EFFECT, NOT_OURS, NOTHING_LEFT, OUTCOMES, OVER, RUN_OVER
from coordinator.scenarios.side_by_side import failure_text, run_all
from coordinator.scenarios.whose import changed_before

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
SETTLE_LOOK_S: Final = 0.25
"""Between two looks at what the engine may yet do."""

FAILING_S: Final = 5.0
"""For how long the commands of an undo fail before others are told; the engine being away does not count."""

LEDGER_PATIENCE_S: Final = 10.0
"""How long an undo waits for the ledger to take its row; it goes on without."""

SETTLING: Final = "what was fired may still come about: waiting until that would be seen"
FROZEN: Final = "it is paused, and hit only when it goes on: unpause it"


def _to_nobody() -> None:
    """Nobody waits for its turn."""


class FaultRows(Protocol):
    """Where the rows of faults are kept; a Ledger is one."""

    async def save_fault(self, row: FaultRow) -> None:
        """Insert or replace. Raises LedgerUnavailable."""
        ...


class Undoer:
    """Undoes fault rows through the ports. Idempotent; safe to call again at any time."""

    def __init__(self, runner: CommandRunner, facts: EngineFacts, ledger: FaultRows, clock: Clock) -> None:
        """Keep the ports."""
        self._runner = runner
        self._facts = facts
        self._ledger = ledger
        self._clock = clock
        self._answering: dict[str, float] = {}

    async def undo(self, row: FaultRow, deadline_s: float, failing: Callable[[], None] = _to_nobody) -> FaultRow:
        """Put one fault back within `deadline_s` seconds and record it; the row returned owes nothing, or is stuck.

        `failing` is called when its commands have failed for FAILING_S; it goes on all the same. A row of another
        engine is left outstanding at once, with the reason. Never raises for what it finds.
        """
        with action("undo", fault=row.fault.id, fault_type=row.fault.type) as undoing:
            attempt = _Attempt(row, self._runner, self._facts, self._clock, self._record, self._answering)
            attempt.tell_failing = failing
            with anyio.move_on_after(deadline_s):
                await attempt.work()
            ended = attempt.ended()
            if not ended.outstanding:
                self._answering.pop(row.fault.id, None)
            await self._record(ended)
            undoing.add_success_fields(state=ended.fault.state, error=ended.last_error)
        return ended

    async def _record(self, row: FaultRow) -> None:
        """Write it down; without a ledger the row on disk stays outstanding, and is looked at again later."""
        reason = f"no answer from the ledger within {LEDGER_PATIENCE_S:g} s"
        with anyio.move_on_after(LEDGER_PATIENCE_S):
            try:
                await self._ledger.save_fault(row)
                reason = ""
            except LedgerUnavailable as error:
                reason = str(error)
        if reason:
            log("undo:not_recorded", "ERROR", fault=row.fault.id, state=row.fault.state, reason=reason)


class _Attempt:
    """One go at undoing one row: which undos are still open, and what became of the others."""

    def __init__(
        self,
        row: FaultRow,
        runner: CommandRunner,
        facts: EngineFacts,
        clock: Clock,
        record: Callable[[FaultRow], Awaitable[None]],
        answering: dict[str, float],
    ) -> None:
        """`answering`: since when the engine answers, by fault; kept over short attempts of this one process."""
        self._row = row.model_copy(update={"attempts": row.attempts + 1})
        self._runner = runner
        self._facts = facts
        self._clock = clock
        self._record = record
        put_back = {target.container_id for target in row.fault.targets if target.undone_at is not None}
        # Fired is on disk before the inject runs: a row that is only armed changed nothing.
        self._fired = row.fault.fired_at
        self._open = [undo for undo in reversed(row.undos) if self._fired and undo.container_id not in put_back]
        self._effective = {t.container_id: t.effective_at for t in row.fault.targets if t.effective_at is not None}
        self._attempted = set(row.attempted)
        self._ended: dict[str, tuple[datetime, Need]] = {}
        self._over: dict[str, str] = {}
        """What is said of those where the run or network is gone that it was done to; by container id."""
        self._untouched: dict[str, str] = {}
        """By container id, why nothing of this fault's was done to it."""
        self._met: dict[str, Met] = {}
        self._mending: list[Undo] = []
        self._waits = SETTLING
        self._engine_known = False
        self._foreign = False
        self._answering = answering
        self._error = ""
        self._failed = False
        self._failing_since: float | None = None
        self.tell_failing: Callable[[], None] = _to_nobody

    async def work(self) -> None:
        """Look and undo until nothing is open, or it is another engine. Cancelled at the deadline by the caller."""
        pause = FIRST_PAUSE_S
        while self._open and not self._foreign:
            before, begun, self._failed = len(self._open), self._clock.monotonic(), False
            try:
                ran = await self._round()
            except EngineUnreachable as error:
                self._error = str(error)
                self._engine_known = False
                self._answering.pop(self._row.fault.id, None)
                ran = True
            self._note_failing(begun)
            if self._open and not self._foreign:
                if len(self._open) < before:
                    pause = FIRST_PAUSE_S
                await anyio.sleep(pause if ran else min(pause, SETTLE_LOOK_S))
                pause = min(pause * 2, LONGEST_PAUSE_S)

    def _note_failing(self, begun: float) -> None:
        """What the round that began then has come to."""
        if not self._failed:
            self._failing_since = None
            return
        if self._failing_since is None:
            self._failing_since = begun
        if self._clock.monotonic() - self._failing_since >= FAILING_S:
            self.tell_failing()

    def ended(self) -> FaultRow:
        """The row as it is now: it owes nothing when nothing is open, else it is stuck with the last error."""
        update: dict[str, object] = {"targets": tuple(self._outcome(target) for target in self._row.fault.targets)}
        if self._open:
            update["state"] = FaultState.STUCK
        elif self._nothing_happened():
            update["state"] = FaultState.NOT_INJECTED
        else:
            update |= {"state": FaultState.UNDONE, "undone_at": self._clock.now()}
        fault = self._row.fault.model_copy(update=update)
        error = (self._error or "the deadline passed before it could be looked at") if self._open else ""
        return self._row.model_copy(update={"fault": fault, "last_error": error})

    def _nothing_happened(self) -> bool:
        touched = any(target.undone_at is not None for target in self._row.fault.targets) or self._attempted
        return not touched and not self._effective and self._ended.keys() <= self._untouched.keys()

    def _outcome(self, target: TargetOutcome) -> TargetOutcome:
        if target.container_id not in self._ended:
            return target
        at, how = self._ended[target.container_id]
        if target.container_id in self._untouched:
            return target.model_copy(update={"outcome": target.outcome or self._untouched[target.container_id]})
        said = self._said(target, how)
        text = f"{target.outcome}; {said}" if target.outcome else said
        if target.container_id not in self._met:
            return target.model_copy(update={"undone_at": at, "outcome": text})
        counted = self._met[target.container_id]
        text = f"{text}; {sentence(self._row.fault.type, counted)}"
        return target.model_copy(update={"undone_at": at, "outcome": text, **counted.model_dump()})

    def _said(self, target: TargetOutcome, how: Need) -> str:
        """What became of its undo, for a person."""
        if how is Need.GONE:
            return OUTCOMES[how]
        looked_at = any(undo.looked_at for undo in self._row.undos if undo.container_id == target.container_id)
        if not looked_at and target.outcome and target.effective_at is None:
            return NOTHING_LEFT
        return self._over.get(target.container_id, OUTCOMES[how])

    # ------------------------------------------------------------ one round

    async def _round(self) -> bool:
        """One look and what follows from it; True when commands were run."""
        if not self._engine_known and not await self._is_our_engine():
            return False
        needed = await self._look()
        if not needed and not self._mending:
            self._error = self._waits
            return False
        if needed:
            await self._remember_attempt(needed)
            await self._run(needed)
            for undo in await self._look():
                self._error = self._error or f"{undo.name} is unchanged after `{undo.command.shown()}`"
                self._failed |= undo.looked_at
        await self._mend()
        return True

    async def _mend(self) -> None:
        """What is left to do where all else is undone."""
        mending = [(undo, undo.mend) for undo in self._mending if undo.mend is not None]
        whose = self._row.fault.execution_id, self._row.fault.id
        outcomes = await run_all(self._runner, [command.on_behalf(*whose) for _, command in mending])
        for (undo, _), outcome in zip(mending, outcomes, strict=True):
            if outcome.ok:
                self._end(undo, Need.DONE if undo.needed_in else Need.SUPERSEDED)
            else:
                self._error, self._failed = failure_text(outcome), True

    async def _is_our_engine(self) -> bool:
        engine = await self._facts.engine()
        self._engine_known = engine.id == self._row.engine_id
        self._foreign = not self._engine_known
        if self._foreign:
            self._error = (
                f"belongs to engine {self._row.engine_id}, this is {engine.id} at {engine.endpoint}: "
                "undo it with DOCKER_HOST set to that engine"
            )
        return self._engine_known

    async def _remember_attempt(self, needed: Sequence[Undo]) -> None:
        """On disk before the commands run: after a crash, the runs they began are known to be ours."""
        ids = {undo.container_id for undo in needed}
        if ids <= self._attempted:
            return
        self._attempted |= ids
        fault = self._row.fault.model_copy(update={"state": FaultState.UNDOING})
        self._row = self._row.model_copy(update={"fault": fault, "attempted": tuple(sorted(self._attempted))})
        await self._record(self._row)

    async def _run(self, needed: Sequence[Undo]) -> None:
        # Where the exit code is all there is to see, each command must have its own.
        alone = [undo for undo in needed if not undo.looked_at]
        together = batch([undo.command for undo in needed if undo.looked_at])
        whose = self._row.fault.execution_id, self._row.fault.id
        commands = [command.on_behalf(*whose) for command in (*(undo.command for undo in alone), *together)]
        outcomes = await run_all(self._runner, commands)
        ran = list(zip(commands, outcomes, strict=True))
        failures = [outcome for command, outcome in ran if not outcome.ok and not network_gone(command, outcome)]
        self._note_gone({command for command, outcome in ran if network_gone(command, outcome)})
        self._error, self._failed = failure_text(failures[0]) if failures else "", bool(failures)
        for undo, outcome in zip(alone, outcomes, strict=False):
            counted = met(undo, outcome, self._effective.get(undo.container_id))
            if counted is not None:
                self._met[undo.container_id] = counted
            if outcome.ok and self._settled(undo):
                left = undo.command.of_helper and outcome.stdout.startswith(LEFT)
                self._end(undo, Need.SUPERSEDED if left else Need.DONE)

    def _note_gone(self, refused: Collection[Command]) -> None:
        """Where there is no network to go back to: nothing is owed any more but what is mended."""
        gone = {undo.container_id for undo in self._open if undo.command in refused}
        self._over |= dict.fromkeys(gone, NETWORK_GONE)
        self._open = [undo.left() if undo.container_id in gone else undo for undo in self._open]

    async def _look(self) -> list[Undo]:
        """Close what is done, gone or superseded; return what must be run."""
        if not self._open:
            return []
        containers = {c.id: c for c in await self._facts.containers({undo.container_id for undo in self._open})}
        self._answering.setdefault(self._row.fault.id, self._clock.monotonic())
        needed, self._mending, self._waits = [], [], SETTLING
        needs = [(undo, self._need(undo, containers.get(undo.container_id))) for undo in self._open]
        theirs = await self._what_others_did([undo for undo, state in needs if state is Need.NEEDED], containers)
        for undo, state in needs:
            container = containers.get(undo.container_id)
            if container is not None and undo.run_over(container):
                self._over[undo.container_id] = OVER if undo.command.of_helper else RUN_OVER
            if state is Need.NEEDED and undo.container_id not in theirs:
                needed.append(undo)
            elif container is None or not self._may_still_happen(undo, container):
                self._note_untouched(undo, container, state)
                if undo.to_mend(container, self._unseen_since(undo)):
                    self._mending.append(undo)
                else:
                    self._end(undo, Need.SUPERSEDED if state is Need.NEEDED else state)
        return needed

    async def _what_others_did(self, undos: Sequence[Undo], containers: Mapping[str, ContainerFacts]) -> frozenset[str]:
        """The containers that somebody else stopped or paused before the fault could, where nobody saw its effect: it
        ended with its coordinator between the command and the record of what came of it.
        """
        unseen = {undo.container_id for undo in undos if undo.restores is not None}
        unseen -= self._effective.keys() | self._attempted
        if self._fired is None or not unseen:
            return frozenset()
        found = [containers[container_id] for container_id in sorted(unseen)]
        return await changed_before(found, self._row.fault.armed_at, self._fired, self._facts, self._clock)

    def _need(self, undo: Undo, container: ContainerFacts | None) -> Need:
        attempted, unseen_since = undo.container_id in self._attempted, self._unseen_since(undo)
        return need(undo, container, attempted=attempted, unseen_since=unseen_since)

    def _unseen_since(self, undo: Undo) -> str | None:
        """Until when a run may have begun to be the one that was hit, where nobody saw which was."""
        if self._fired is None or undo.container_id in self._effective:
            return None
        return hit_until(self._fired)

    def _may_still_happen(self, undo: Undo, container: ContainerFacts) -> bool:
        """Whether what was fired may still come about: then "not needed" is no answer yet.

        Without an effect seen, it counts from when the engine answers, not from the firing: one that hung works off
        what it was asked when it wakes. A process that was frozen is like that too.
        """
        if undo.container_id in self._attempted:
            return False
        if undo.container_id in self._effective and undo.container_id not in self._row.unsettled:
            since = (self._clock.now() - self._effective[undo.container_id]).total_seconds()
            # The clock was set back meanwhile: it counts from the first look.
            return (since if since >= 0 else self._quiet_s) < undo.lingers_s
        if undo.frozen_later and container.state is ContainerState.PAUSED:
            self._answering[self._row.fault.id] = self._clock.monotonic()
            self._waits = FROZEN
            return True
        return self._quiet_s < max(undo.settle_s, undo.lingers_s)

    @property
    def _quiet_s(self) -> float:
        """How long the engine has answered."""
        return self._clock.monotonic() - self._answering[self._row.fault.id]

    def _settled(self, undo: Undo) -> bool:
        """Whether an undo that succeeded was the last word: what nobody saw come about may do so after it."""
        if undo.container_id in self._effective and undo.container_id not in self._row.unsettled:
            return True
        return self._quiet_s >= undo.settle_s

    def _note_untouched(self, undo: Undo, container: ContainerFacts | None, how: Need) -> None:
        known = undo.container_id in self._effective.keys() | self._attempted
        if known or container is None:
            return
        if how is Need.NEEDED:
            self._untouched[undo.container_id] = NOT_OURS
        elif how is Need.DONE and container.started_at == undo.started_at:
            self._untouched[undo.container_id] = NO_EFFECT

    def _end(self, undo: Undo, how: Need) -> None:
        self._open.remove(undo)
        self._ended[undo.container_id] = (self._clock.now(), how)
