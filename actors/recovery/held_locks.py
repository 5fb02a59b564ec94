"""Releases the locks of this instance's executions that are over, and removes those that are nobody's."""

from __future__ import annotations

from collections.abc import Callable

from coordinator.faults.facts import TargetLock
from coordinator.faults.locks import TORN, unlock_command
from coordinator.logging import log
from coordinator.ports import CommandRunner, EngineFacts, Ledger
from coordinator.scenarios.side_by_side import run_all


class HeldLocks:
    """The view of one recovery on the locks of its engine."""

    def __init__(
        self,
        ledger: Ledger,
        facts: EngineFacts,
        runner: CommandRunner,
        *,
        instance: str,
        playing: Callable[[str], bool],
    ) -> None:
        """Look at nothing yet."""
        self._ledger = ledger
        self._facts = facts
        self._runner = runner
        self._instance = instance
        self._playing = playing
        self._told: set[tuple[str, str]] = set()

    async def release(self) -> str | None:
        """Remove what nothing outstanding needs; a lock that the ledger knows nothing of stays, and is told.

        Returns what kept one from being removed. Raises EngineUnreachable, LedgerUnavailable.
        """
        needed = {u.container_id for row in await self._ledger.faults(outstanding=True) for u in row.undos}
        stale = {
            (lock.container_id, lock.execution)
            for lock in await self._facts.locks()
            if lock.torn or (lock.instance == self._instance and not self._playing(lock.execution))
        }
        if not stale:
            return None
        trouble = None
        # Read anew: one that was just released may by now be the lock of the next execution.
        for lock in await self._facts.locks():
            if (lock.container_id, lock.execution) not in stale or lock.container_id in needed:
                continue
            if not (await self._is_in_the_way(lock) if lock.torn else await self._is_known(lock)):
                continue
            (outcome,) = await run_all(self._runner, [unlock_command(lock.container_id)])
            if not outcome.ok:
                trouble = f"the lock on {lock.container_id[:12]} could not be removed"
        return trouble

    async def _is_in_the_way(self, torn: TargetLock) -> bool:
        """Whether its container is there: else it may be anybody's volume."""
        there = bool(await self._facts.containers([torn.container_id]))
        if there:
            log("recovery:torn_lock", "WARNING", container_id=torn.container_id, reason=TORN)
        return there

    async def _is_known(self, lock: TargetLock) -> bool:
        """To the ledger. What is not is told once, not at every look: nothing here will ever release it."""
        known = await self._ledger.execution(lock.execution) is not None
        if not known and (lock.container_id, lock.execution) not in self._told:
            self._told.add((lock.container_id, lock.execution))
            self._tell_unknown(lock)
        return known

    @staticmethod
    def _tell_unknown(lock: TargetLock) -> None:
        log(
            "recovery:unknown_lock",
            "WARNING",
            container_id=lock.container_id,
            execution=lock.execution,
            undo=list(lock.undo),
            reason="not in this DATA_DIR's ledger: `recover --scan` undoes it, and so does recovery after its deadline",
        )
