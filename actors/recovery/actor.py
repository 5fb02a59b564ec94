"""Undoes every outstanding fault of the ledger that no running execution holds: at start before anything is accepted,
then again whenever the engine comes back, until all is put back. Finishes the executions a dead coordinator left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Final

import anyio

from actors.recovery.held_locks import HeldLocks
from actors.recovery.order import least_s, together
from actors.recovery.orphans import Orphans
from actors.recovery.scan import EngineScan
from coordinator.errors import Conflict, EngineUnreachable, LedgerUnavailable, NotFound
from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerState
from coordinator.faults.leftovers import Leftover, LeftoverState, ScanReport, mark_of_labels
from coordinator.logging import continuing, log
from coordinator.ports import Clock, CommandRunner, EngineFacts, Ledger
from coordinator.record import FaultRow, FaultState, stamp
from coordinator.scenarios.side_by_side import failure_text, run_all
from coordinator.scenarios.undo import Undoer
from coordinator.supervision import ChildContext

FIRST_PASS_S: Final = 20.0
"""How long the start waits for undos; what takes longer goes on beside the work."""

LATER_PASS_S: Final = 15.0
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
"""Also how often it looks for locks that a killed command left, when nothing is outstanding."""

PURGE_EVERY_S: Final = 3600.0
REMOVE_S: Final = 30.0


class RecoveryActor:
    """Satisfies `actors.contract.Actor`. `playing` says whether an execution is in the hands of its own task."""

    name = "recovery"
    critical = True

    def __init__(
        self,
        ledger: Ledger,
        facts: EngineFacts,
        runner: CommandRunner,
        undoer: Undoer,
        clock: Clock,
        *,
        instance: str,
        playing: Callable[[str], bool],
        retention_days: int,
    ) -> None:
        """Keep the ports."""
        self._ledger = ledger
        self._facts = facts
        self._runner = runner
        self._undoer = undoer
        self._clock = clock
        self._instance = instance
        self._playing = playing
        self._retention = timedelta(days=retention_days)
        self._locks = HeldLocks(ledger, facts, runner, instance=instance, playing=playing)
        self._idle: set[str] | None = None
        """Helpers of no execution that did not run at the last look; None before the first."""
        self._orphans = Orphans(ledger, clock, playing)
        self._scan = EngineScan(ledger, facts, runner, clock, instance=instance, playing=playing)
        self._ledger_lost = False
        self.on_scanned: Callable[[], Awaitable[None]] = _nothing
        """Called when the engine was scanned for what a lost ledger knew."""
        self.left_on_engine: str | None = None
        """What the last scan left for a person."""
        self._found: tuple[Leftover, ...] = ()
        """What the scan for a lost ledger put back, until somebody who asks for a scan is told."""
        self._wake = anyio.Event()
        self._owed: frozenset[str] = frozenset()
        """The containers in which the last pass left something."""
        self._passing = anyio.Lock()
        self._trouble: str | None = None
        self.unsure = True
        """Whether locks or helpers of executions that have ended may be left on the engine: since such a one ended, or
        since the start, no pass has seen everything through.
        """
        self._uncleared = False
        """Whether such a one has ended since the last pass began."""

    @property
    def trouble(self) -> str | None:
        """What kept the last pass from seeing everything through, besides faults that are stuck."""
        return self._trouble

    def wake(self) -> None:
        """Look again soon: the engine answers."""
        self._wake.set()

    def ended(self, execution_id: str, record: Callable[[], Awaitable[bool]], *, cleared: bool) -> None:
        """Look again soon: this one has ended; `record` writes what of its end is not on disk, and says whether it is;
        `cleared`: it is known that nothing of it is left on the engine.
        """
        self._orphans.ended(execution_id, record)
        self._uncleared |= not cleared
        self.unsure |= not cleared
        self.wake()

    def container_runs(self, container_id: str) -> None:
        """Look again soon where an undo waits for this container to run."""
        if container_id in self._owed:
            self._wake.set()

    def ledger_lost(self) -> None:
        """What the ledger knew is gone: the engine is scanned for it at the next look, which is soon."""
        self._ledger_lost = True
        self._wake.set()

    # ------------------------------------------------------------ the actor

    async def run(self, life: ChildContext) -> None:
        """Recover, say ready, then look again when woken and while anything is outstanding."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, life)
            group.start_soon(self._ready_at_the_latest, life)
            group.start_soon(self._purge)
            await life.stopping.wait()
            group.cancel_scope.cancel(reason="asked to stop")

    async def _watch(self, life: ChildContext) -> None:
        deadline, pause = FIRST_PASS_S, FIRST_RETRY_S
        while True:
            self._wake = anyio.Event()
            left = await self.recover(deadline)
            self._owed = frozenset(undo.container_id for row in left for undo in row.undos)
            trouble = _left_text(left) if left else self._trouble or self.left_on_engine
            life.degraded(trouble)
            life.ready()
            deadline = LATER_PASS_S
            pause = min(pause * 2, LONGEST_RETRY_S) if trouble else FIRST_RETRY_S
            with anyio.move_on_after(pause if trouble else LONGEST_RETRY_S):
                await self._wake.wait()
                pause = FIRST_RETRY_S

    async def _ready_at_the_latest(self, life: ChildContext) -> None:
        """A pass may take longer than its undos: a hung engine is waited for at every look."""
        await anyio.sleep(FIRST_PASS_S)
        life.ready()

    async def _purge(self) -> None:
        while True:
            try:
                purged = await self._ledger.purge(self._clock.now() - self._retention)
                if purged:
                    log("recovery:purged", executions=purged)
            except LedgerUnavailable as error:
                log("recovery:no_ledger", "ERROR", reason=str(error))
            await anyio.sleep(PURGE_EVERY_S)

    # ------------------------------------------------------------ a pass

    async def recover(self, deadline_s: float) -> tuple[FaultRow, ...]:
        """One pass over everything outstanding that no running execution holds; returns what is left.

        `deadline_s` is for all of it together. Never raises for what it finds.
        """
        async with self._passing:
            self._trouble, self._uncleared = None, False
            try:
                # Where nothing was ever played, an engine that is away keeps nothing of ours.
                self.unsure = self.unsure and bool(await self._ledger.executions(None, 1))
                await self._undo_all(await self._orphans.rows(), deadline_s)
                await self._orphans.settle()
                await self._release_locks()
                await self._remove_helpers()
                await self._scan_where_called_for()
                left = await self._orphans.rows()
            except LedgerUnavailable as error:
                self._trouble = f"the ledger: {error}"
                log("recovery:no_ledger", "ERROR", reason=str(error))
                return ()
            if left or self._trouble is None:
                self.unsure = bool(left) or self._uncleared
            return left

    async def _undo_all(self, rows: tuple[FaultRow, ...], deadline_s: float) -> None:
        """Side by side, but in order where they share a container."""
        fired = [row for row in rows if row.fault.fired_at is not None]
        if fired and not await self._engine_answers():
            # Their rows stay as they are: there is nothing to learn before the engine is back.
            rows = tuple(row for row in rows if row.fault.fired_at is None)
        until = self._clock.monotonic() + deadline_s
        async with anyio.create_task_group() as group:
            for own in together(rows):
                group.start_soon(self._undo_in_order, own, until)

    async def _engine_answers(self) -> bool:
        try:
            await self._facts.engine()
        except EngineUnreachable as error:
            self._trouble = str(error)
            log("recovery:engine_away", "WARNING", reason=str(error))
            return False
        return True

    async def _undo_in_order(self, rows: list[FaultRow], until: float) -> None:
        """One that is stuck leaves its share of the time to the others; none has less than it takes to undo it."""
        for done, row in enumerate(rows):
            share = max(0.0, until - self._clock.monotonic()) / (len(rows) - done)
            await self._undo_row(row, max(least_s(row), share))

    async def _undo_row(self, row: FaultRow, deadline_s: float) -> FaultRow:
        """Continue the Eliot task of its own execution."""
        with continuing(row.task, "recovery", fault=row.fault.id, state=row.fault.state) as telling:
            done = await self._undoer.undo(row, deadline_s)
            telling.add_success_fields(outcome=done.fault.state, error=done.last_error)
        self._orphans.note(done)
        return done

    # ------------------------------------------------------------ without a ledger

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        """Put back what the engine itself shows to be left; see `EngineScan.scan`. Raises EngineUnreachable.

        What was put back before for a lost ledger is told with it, once.
        """
        async with self._passing:
            report = await self._scan.scan(instances)
            await self._found_again()
            self.left_on_engine = _found_text(report)
            found, self._found = (*self._found, *report.found), ()
        self._wake.set()
        return report.model_copy(update={"found": found})

    async def _scan_where_called_for(self) -> None:
        """After the ledger was lost, or where something of this instance is past its deadline and in no ledger."""
        try:
            if self._ledger_lost:
                report = await self._scan.scan()
                self._found = _put_back(report, stamp(self._clock.now()))
                await self._found_again()
            elif await self._scan.is_called_for():
                report = await self._scan.scan(careful=True)
            else:
                return
            self.left_on_engine = _found_text(report)
        except EngineUnreachable as error:
            self._trouble = str(error)

    async def _found_again(self) -> None:
        if self._ledger_lost:
            self._ledger_lost = False
            try:
                await self.on_scanned()
            except LedgerUnavailable as error:
                # Then the next start scans once more.
                log("recovery:no_ledger", "ERROR", reason=str(error))

    # ------------------------------------------------------------ one fault

    async def undo(self, fault_id: str, deadline_s: float) -> FaultRow:
        """Undo one outstanding fault now. Raises NotFound, Conflict when a running execution holds it."""
        async with self._passing:
            row = await self._orphan(fault_id)
            if row.outstanding:
                row = await self._undo_row(row, deadline_s)
                await self._orphans.settle()
                await self._release_locks()
        return row

    async def forget(self, fault_id: str) -> FaultRow:
        """Give a fault up: what it changed stays as it is. Raises NotFound when it is not outstanding, Conflict."""
        async with self._passing:
            row = await self._orphan(fault_id)
            if not row.outstanding:
                message = f"fault {fault_id} is not outstanding: there is nothing to forget"
                raise NotFound(message)
            row = _given_up(row)
            with continuing(row.task, "recovery:forget", fault=fault_id):
                await self._ledger.save_fault(row)
                log("recovery:forgotten", "WARNING", fault=fault_id, commands=list(row.fault.undo_commands))
            await self._release_locks()
        return row

    async def _orphan(self, fault_id: str) -> FaultRow:
        """A row that no running execution can change any more."""
        row = await self._ledger.fault(fault_id)
        if row is None:
            message = f"there is no fault {fault_id}"
            raise NotFound(message)
        if self._playing(row.fault.execution_id):
            message = f"fault {fault_id} belongs to execution {row.fault.execution_id}, which is running: stop that"
            raise Conflict(message)
        # Once more: it may have ended between the read and the question.
        return await self._ledger.fault(fault_id) or row

    # ------------------------------------------------------------ what is left on the engine

    async def _release_locks(self) -> None:
        try:
            self._trouble = await self._locks.release() or self._trouble
        except EngineUnreachable as error:
            self._trouble = str(error)
            log("recovery:locks_not_seen", "WARNING", reason=str(error))

    async def _remove_helpers(self) -> None:
        """Remove the helpers of executions that ended with a coordinator, and those that were made for none, to see
        what can be done here, and never started: the engine keeps them.
        """
        try:
            ours = [(each, mark_of_labels(each.labels)) for each in await self._facts.helpers()]
            ours = [(helper, mark) for helper, mark in ours if mark.instance == self._instance]
            idle = {each.id for each, mark in ours if not mark.execution and each.state is not ContainerState.RUNNING}
            # One that came since may be about to start; before the first look nobody of ours was there to make one.
            left = idle if self._idle is None else idle & self._idle
            self._idle = idle
            for helper, mark in ours:
                known = mark.execution and not self._playing(mark.execution)
                if helper.id not in left and not (known and await self._ledger.execution(mark.execution)):
                    continue
                remove = DockerCommand(argv=("rm", "--force", helper.id), deadline_s=REMOVE_S)
                (outcome,) = await run_all(self._runner, [remove])
                if not outcome.ok:
                    self._trouble = f"the helper {helper.name} could not be removed: {failure_text(outcome)}"
        except EngineUnreachable as error:
            self._trouble = str(error)
            log("recovery:helpers_not_seen", "WARNING", reason=str(error))


async def _nothing() -> None:
    """Nobody wants to know."""


def _given_up(row: FaultRow) -> FaultRow:
    """The row as one that owes nothing, with the reason why."""
    targets = tuple(
        target
        if target.undone_at is not None
        else target.model_copy(update={"outcome": f"{target.outcome}; forgotten by a person".removeprefix("; ")})
        for target in row.fault.targets
    )
    fault = row.fault.model_copy(update={"state": FaultState.UNDONE, "targets": targets})
    return row.model_copy(update={"fault": fault, "last_error": "forgotten by a person"})


def _put_back(report: ScanReport, when: str) -> tuple[Leftover, ...]:
    undone = (each for each in report.found if each.state is LeftoverState.UNDONE)
    return tuple(each.model_copy(update={"text": f"{each.text} at {when}"}) for each in undone)


def _found_text(report: ScanReport) -> str | None:
    if not report.left:
        return None
    first = report.left[0]
    more = f" and {len(report.left) - 1} more" if len(report.left) > 1 else ""
    return (
        f"left on the engine: {first.kind} on {first.where} ({first.text or first.why}){more}; `recover --scan` tells"
    )


def _left_text(rows: tuple[FaultRow, ...]) -> str:
    first = rows[0]
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"outstanding: {first.fault.type} on {first.fault.target} ({first.last_error or 'not undone yet'}){more}"
