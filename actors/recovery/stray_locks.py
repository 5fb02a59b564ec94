"""Undoes what a lock on a target says, where no ledger knows of it: from the lock's own labels, strictly read.

Runs nothing from labels but unpause and start of that very container, and only where its state calls for it. Limits,
stopped processes and skewed clocks are taken back by commands of our own, as the container itself keeps what was done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from coordinator.faults.commands import LEFT, Outcome
from coordinator.faults.disk import INTO, filled_folder, filled_way
from coordinator.faults.facts import ContainerFacts, LockedUndo, TargetLock
from coordinator.faults.locks import (
    NAME_PREFIX,
    outlives_runs,
    shown,
    sweep,
    takes_rules_out,
    undo_from_labels,
    unlock_command,
)
from coordinator.faults.looks import UP, Undo
from coordinator.ports import Clock, CommandRunner, EngineFacts
from coordinator.record import Fault, FaultClass, FaultRow, FaultState, TargetOutcome
from coordinator.scenarios.side_by_side import failure_text, run_all
from coordinator.scenarios.undo import Undoer

UNDO_S: Final = 20.0
"""How long one undo may take beyond the time that what was fired may still need."""

UNREADABLE: Final = "its labels are not those of this version: undo it by hand"
OVER: Final = "that run of the container is over"
NOT_FROM_LABELS: Final = "is not run from labels: whether it is needed, only a person can tell"
LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
"""When a fault is taken to have been fired: then no run but the one that the lock names counts as hit."""


class _Unkept:
    """Where rows go that are in no ledger."""

    async def save_fault(self, row: FaultRow) -> None:
        """Let it go."""


class Undone(NamedTuple):
    """What was done about a lock, in a few words, and the commands that are left for a person: none when the lock is
    gone too. `for_good`: nothing that is left will be another time, unless somebody changes the container or the lock.
    """

    text: str
    commands: tuple[str, ...]
    for_good: bool = False


class StrayLocks:
    """Undoes and releases one lock after another; knows nothing of whose they are."""

    def __init__(self, runner: CommandRunner, facts: EngineFacts, clock: Clock) -> None:
        """Keep the ports."""
        self._runner = runner
        self._facts = facts
        self._clock = clock
        self._undoer = Undoer(runner, facts, _Unkept(), clock)

    async def undo(self, lock: TargetLock, *, rules_are_gone: bool, looked_into: bool) -> Undone:
        """Undo it and release it. Raises EngineUnreachable.

        `rules_are_gone` says whether nothing of this lock's execution is in a network namespace or a container any
        more; `looked_into`, whether all of this container was looked at then.
        """
        unlock = unlock_command(lock.container_id)
        if lock.undos is None:
            return Undone(UNREADABLE, (*lock.undo, unlock.shown()), for_good=True)
        engine_id = (await self._facts.engine()).id
        told: list[str] = []
        left: list[str] = []
        for_good = True
        for locked in reversed(lock.undos):
            seen, filled = takes_rules_out(locked), bool(filled_folder(locked.argv))
            clear = rules_are_gone and (seen or (filled and looked_into))
            text, done = await self._one(lock, locked, engine_id, clear=clear)
            told.append(text)
            if not done:
                # What is looked for may be found and removed the next time; what is tried may succeed.
                findable = seen or INTO in filled_way(locked.argv)
                for_good &= text.endswith(NOT_FROM_LABELS) and not findable
                swept = sweep(lock.container_id, locked)
                left += shown(lock, locked) if swept is None else (swept.shown(),)
        if not left:
            (outcome,) = await run_all(self._runner, [unlock])
            if outcome.ok:
                return Undone("; ".join(dict.fromkeys(told)) or "nothing was owed", ())
            told.append(f"the lock could not be removed: {failure_text(outcome)}")
            for_good = False
        return Undone("; ".join(dict.fromkeys(told)), (*dict.fromkeys(left), unlock.shown()), for_good)

    async def _one(self, lock: TargetLock, locked: LockedUndo, engine_id: str, *, clear: bool) -> tuple[str, bool]:
        """What became of one undo, and whether it owes nothing any more; `clear`: what it takes back is gone."""
        undo = undo_from_labels(lock.container_id, locked)
        if undo is None:
            found = await self._facts.containers([lock.container_id])
            # Of a container that is gone, a volume or a folder of the machine may still hold a file.
            if not (_same_run(found, locked) or (found and outlives_runs(locked)) or INTO in filled_way(locked.argv)):
                return OVER, True
            if clear:
                return "nothing of it is there any more", True
            swept = sweep(lock.container_id, locked)
            if swept is not None and found[0].state not in UP:
                return OVER, True
            if swept is not None:
                (outcome,) = await run_all(self._runner, [swept])
                return (what_came_of(outcome), True) if outcome.ok else (failure_text(outcome), False)
            return f"`{locked.argv[0] if locked.argv else ''}` {NOT_FROM_LABELS}", False
        if 0 < lock.expires < self._clock.now().timestamp():
            # Whatever was fired has long come about.
            undo = undo.model_copy(update={"settle_s": 0.0, "lingers_s": 0.0})
        row = await self._undoer.undo(_row(lock, undo, engine_id), UNDO_S + max(undo.settle_s, undo.lingers_s))
        return (row.last_error, False) if row.outstanding else (row.fault.targets[0].outcome, True)


def what_came_of(swept: Outcome) -> str:
    """Of a program that has taken back all it had done, in its own words where somebody else has changed some of it."""
    said = swept.stdout.strip()
    return said if said.startswith(LEFT) else "put back"


def _same_run(found: tuple[ContainerFacts, ...], locked: LockedUndo) -> bool:
    return bool(found) and found[0].started_at == locked.run


def _row(lock: TargetLock, undo: Undo, engine_id: str) -> FaultRow:
    """What a ledger would have held, as far as it matters for the undo."""
    fault = Fault(
        id=f"{NAME_PREFIX}{lock.container_id}",
        execution_id=lock.execution,
        phase="",
        type="unknown",
        target=undo.name,
        fault_class=FaultClass.JOURNAL,
        mechanism="",
        state=FaultState.FIRED,
        fired_at=LONG_AGO,
        targets=(TargetOutcome(container_id=undo.container_id, name=undo.name),),
    )
    return FaultRow(fault=fault, engine_id=engine_id, task="", undos=(undo,))
