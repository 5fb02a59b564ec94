"""Takes and releases the locks on an execution's targets, on the engine itself. Removes only what it reads back as its
own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import Outcome
from coordinator.faults.facts import TargetLock
from coordinator.faults.leftovers import mark_of_labels
from coordinator.faults.locks import holder_text, lock_command, unlock_command
from coordinator.faults.looks import Undo
from coordinator.logging import action, log
from coordinator.ports import CommandRunner, EngineFacts
from coordinator.record import FaultClass
from coordinator.scenarios.plan import Plan
from coordinator.scenarios.side_by_side import failure_text, run_all


class TargetLocks:
    """The locks of one execution of one instance."""

    def __init__(self, runner: CommandRunner, facts: EngineFacts, instance: str, execution_id: str) -> None:
        """Hold none yet."""
        self._runner = runner
        self._facts = facts
        self._instance = instance
        self._execution_id = execution_id
        self._asked = False

    async def take(self, undos: Mapping[str, Sequence[Undo]], expires: float) -> Mapping[str, str]:
        """Lock every container of `undos` until `expires` (seconds since the epoch).

        Returns who holds those that could not be had, by container id. Raises EngineUnreachable.
        """
        if not undos:
            return {}
        commands = [
            lock_command(container_id, self._instance, self._execution_id, "", expires, own)
            for container_id, own in undos.items()
        ]
        with action("lock_targets", targets=len(commands)):
            self._asked = True
            outcomes = dict(zip(undos, await run_all(self._runner, commands), strict=True))
            locks = {lock.container_id: lock for lock in await self._facts.locks()}
        return {
            container_id: holder_text(locks[container_id])
            if container_id in locks
            else f"nobody, and cannot be locked: {_why_not(outcomes[container_id])}"
            for container_id in undos
            if container_id not in locks or not self._is_ours(locks[container_id])
        }

    async def release(self, keep: Collection[str]) -> bool:
        """Remove the locks but for those of the containers in `keep`. What cannot be removed is left to recovery.

        Returns whether none is left, those that are kept among them, nor a helper of this execution.
        """
        if not self._asked:
            return True
        with action("unlock_targets"):
            try:
                locks = await self._facts.locks()
            except EngineUnreachable as error:
                log("locks:not_released", "WARNING", reason=str(error))
                return False
            own = [lock.container_id for lock in locks if self._is_ours(lock) and lock.container_id not in keep]
            outcomes = await run_all(self._runner, [unlock_command(container_id) for container_id in own])
            left = [container_id for container_id, end in zip(own, outcomes, strict=True) if not end.ok]
            if left:
                log("locks:not_released", "WARNING", containers=left)
            kept = any(self._is_ours(lock) and lock.container_id in keep for lock in locks)
            return not left and not kept and await self._helpers_are_gone()

    async def _helpers_are_gone(self) -> bool:
        """Looked at: what removed them may have met the same trouble as we."""
        try:
            marks = [mark_of_labels(helper.labels) for helper in await self._facts.helpers()]
        except EngineUnreachable as error:
            log("locks:helpers_not_seen", "WARNING", reason=str(error))
            return False
        return all((mark.instance, mark.execution) != (self._instance, self._execution_id) for mark in marks)

    def _is_ours(self, lock: TargetLock) -> bool:
        return (lock.instance, lock.execution) == (self._instance, self._execution_id)


def _why_not(outcome: Outcome) -> str:
    return "the engine did not keep the lock" if outcome.ok else failure_text(outcome)


def undos_by_container(plan: Plan) -> dict[str, list[Undo]]:
    """Every container a fault is aimed at, with the undos it may be owed; one that is not running now may be when its
    time comes, and a lease ends by itself.
    """
    undos: dict[str, list[Undo]] = {}
    for fault in plan.faults:
        owing = fault.fault_class is FaultClass.JOURNAL
        for target in fault.plan.targets:
            undos.setdefault(target.container_id, []).extend([target.undo] if target.undo and owing else [])
        for left in fault.plan.untouched:
            undos.setdefault(left.container_id, [])
    return undos
