"""What the ledger holds that no running execution answers for: rows to be undone, executions to be given their verdict.

Judges by reading after asking: an execution that is not playing is never changed by its own task any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from coordinator.errors import LedgerUnavailable
from coordinator.logging import continuing, log
from coordinator.ports import Clock, Ledger
from coordinator.record import UNFINISHED, Execution, ExecutionState, FaultRow, TimelineEntry, UndoState, Verdict

PAGE: Final = 200
RESTARTED: Final = "coordinator restarted"
NOT_RECORDED: Final = "its end could not be recorded: see the log"


class Orphans:
    """The view of one recovery on the ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, playing: Callable[[str], bool]) -> None:
        """Know nothing yet: the first `settle` looks through all executions."""
        self._ledger = ledger
        self._clock = clock
        self._playing = playing
        self._looked_through = False
        self._unsettled: set[str] = set()
        self._ended: dict[str, Callable[[], Awaitable[bool]]] = {}
        """Those that have ended here, until a pass has seen that the ledger has their end: what writes it."""

    def ended(self, execution_id: str, record: Callable[[], Awaitable[bool]]) -> None:
        """Its own task is over: what the ledger has not taken of its end is written once it takes it."""
        self._ended[execution_id] = record

    async def rows(self) -> tuple[FaultRow, ...]:
        """The outstanding rows, read after it was sure that nobody else works on them."""
        rows = []
        for seen in await self._ledger.faults(outstanding=True):
            if self._playing(seen.fault.execution_id):
                continue
            row = await self._ledger.fault(seen.fault.id)
            if row is not None and row.outstanding:
                self.note(row)
                rows.append(row)
        return tuple(rows)

    def note(self, row: FaultRow) -> None:
        """An execution whose `undo` may have to be told anew."""
        self._unsettled.add(row.fault.execution_id)

    async def settle(self) -> None:
        """Give every execution without a task its verdict; correct those left incomplete whose faults are all back."""
        outstanding = {row.fault.execution_id for row in await self._ledger.faults(outstanding=True)}
        await self._record()
        for execution in await self._all(UNFINISHED):
            await self._finish(execution.id)
        if not self._looked_through:
            for execution in await self._all({ExecutionState.FINISHED}):
                if execution.undo in {UndoState.PENDING, UndoState.INCOMPLETE}:
                    self._unsettled.add(execution.id)
            self._looked_through = True
        for execution_id in sorted(self._unsettled - outstanding):
            await self._complete(execution_id)
            self._unsettled.discard(execution_id)

    async def _all(self, states: Collection[ExecutionState]) -> list[Execution]:
        found: list[Execution] = []
        while True:
            page = await self._ledger.executions(states, PAGE, found[-1].id if found else None)
            found += page
            if len(page) < PAGE:
                return found

    async def _record(self) -> None:
        """What ended here and is not on disk. Raises LedgerUnavailable where it still cannot be written."""
        for execution_id, record in tuple(self._ended.items()):
            execution = await self._ledger.execution(execution_id)
            if execution is not None and execution.state in UNFINISHED:
                if not await record():
                    message = f"it does not take the end of execution {execution_id}"
                    raise LedgerUnavailable(message)
                self._unsettled.add(execution_id)
            del self._ended[execution_id]

    async def _finish(self, execution_id: str) -> None:
        if self._playing(execution_id):
            return
        execution = await self._ledger.execution(execution_id)
        if execution is None or execution.state is ExecutionState.FINISHED:
            return
        rows = await self._ledger.faults(execution_id=execution_id)
        fired = any(row.fault.fired_at is not None for row in rows)
        undo = UndoState.COMPLETE if fired else UndoState.NONE
        reason = NOT_RECORDED if self._looked_through else RESTARTED
        finished = execution.model_copy(
            update={
                "state": ExecutionState.FINISHED,
                "verdict": Verdict.ABORTED,
                "reason": reason,
                "undo": UndoState.INCOMPLETE if any(row.outstanding for row in rows) else undo,
                "phase": None,
                "finished_at": self._clock.now(),
            }
        )
        await self._ledger.save_execution(finished)
        await self._tell(finished, "finished", f"{Verdict.ABORTED}: {reason}")

    async def _complete(self, execution_id: str) -> None:
        """All rows owe nothing any more; one that was given up leaves its execution incomplete for ever."""
        execution = await self._ledger.execution(execution_id)
        if execution is None or execution.undo not in {UndoState.PENDING, UndoState.INCOMPLETE}:
            return
        rows = await self._ledger.faults(execution_id=execution_id)
        if any(row.outstanding or row.last_error for row in rows):
            return
        await self._ledger.save_execution(execution.model_copy(update={"undo": UndoState.COMPLETE}))
        await self._tell(execution, "undo_complete", "everything is put back")

    async def _tell(self, execution: Execution, event: str, text: str) -> None:
        """On the timeline, and in the log in the execution's own task."""
        now = self._clock.now()
        begun = execution.started_at or execution.created_at
        offset = round((now - begun).total_seconds(), 3)
        await self._ledger.append_timeline(execution.id, TimelineEntry(at=now, offset_s=offset, event=event, text=text))
        task = await self._ledger.task(execution.id)
        if task is not None:
            with continuing(task, "recovery", execution=execution.id):
                log(f"execution:{event}", text=text)
