"""Releases the locks of this instance's executions that are over, and removes those that are nobody's."""

from __future__ import annotations

from collections.abc import Callable

from coordinator.faults.facts import TargetLock
from coordinator.faults.locks import TORN, unlock_command
from coordinator.logging import log
from coordinator.ports import CommandRunner, EngineFacts, Ledger
from coordinator.scenarios.side_by_side import failure_text, run_all


async def remove_torn(container_id: str, facts: EngineFacts, runner: CommandRunner) -> str:
    """Remove it, unless by now it is gone, or the lock of somebody; why it could not be, else nothing.

    The engine cannot be asked to remove what is still torn: the look is as late as can be. Raises EngineUnreachable.
    """
    if not await _is_torn(container_id, facts):
        return ""
    (outcome,) = await run_all(runner, [unlock_command(container_id)])
    return "" if outcome.ok or not await _is_torn(container_id, facts) else failure_text(outcome)


async def _is_torn(container_id: str, facts: EngineFacts) -> bool:
    return any(lock.torn and lock.container_id == container_id for lock in await facts.locks())


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
            failed = await (self._remove_torn(lock) if lock.torn else self._remove(lock))
            if failed:
                trouble = f"the lock on {lock.container_id[:12]} could not be removed"
        return trouble

    async def _remove(self, lock: TargetLock) -> bool:
        """Whether it could not be, which it was to be."""
        if not await self._is_known(lock):
            return False
        (outcome,) = await run_all(self._runner, [unlock_command(lock.container_id)])
        return not outcome.ok

    async def _remove_torn(self, lock: TargetLock) -> bool:
        """As above. Only where its container is there: else it may be anybody's volume."""
        if not await self._facts.containers([lock.container_id]):
            return False
        failure = await remove_torn(lock.container_id, self._facts, self._runner)
        if not failure:
            log("recovery:torn_lock_removed", "WARNING", container_id=lock.container_id, reason=TORN)
        return bool(failure)

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
