"""Finds on the engine itself what a coordinator left there, needing no ledger: locks, helpers, and what lies in the
network namespaces of the engine's machine. Puts back what is ours, or past its deadline; tells everything else.

A container that is paused or down without a lock that says we did it is a person's, and is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import anyio

from actors.recovery.container_scan import UNREADABLE, ContainerScan, removed
from actors.recovery.held_locks import remove_torn
from actors.recovery.stray_locks import StrayLocks, Undone
from coordinator.errors import EngineUnreachable, LedgerUnavailable
from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerFacts, ContainerState, TargetLock
from coordinator.faults.leftovers import (
    Claim,
    Leftover,
    LeftoverState,
    Mark,
    Namespace,
    Placed,
    ScanReport,
    Sight,
    Trace,
    by_hand,
    claim,
    claim_text,
    look_command,
    mark_of_comment,
    mark_of_labels,
    parse_placed,
    parse_sight,
    remove_command,
)
from coordinator.faults.locks import NAME_PREFIX, TORN, unlock_command
from coordinator.faults.strays import Stray, StraySight, mark_of
from coordinator.logging import Level, action, log
from coordinator.ports import Clock, CommandRunner, EngineFacts, Ledger
from coordinator.scenarios.side_by_side import failure_text, run_all

REMOVE_S: Final = 30.0
SHORT: Final = 12
"""Characters of an id that a person knows."""
IN_LEDGER: Final = "this coordinator's ledger knows it: recovery undoes it"
UNNAMED: Final = "a stressor was killed before it took its name off"
UNSEEN: Final = "network namespaces"


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a scan answers for: these instances, and of all others what is past its deadline. `careful`: of these
    instances too only that, and nothing of others, since nobody said that no other coordinator bears our name. What is
    nobody's (a torn lock) is anybody's to remove.
    """

    instances: frozenset[str]
    careful: bool

    def covers(self, how: Claim, mark: Mark) -> bool:
        if self.careful:
            return how is Claim.EXPIRED and mark.instance in self.instances
        return how in {Claim.OURS, Claim.EXPIRED}


@dataclass(frozen=True, slots=True)
class _Seen:
    """The executions of which something is still there, None where not all could be looked at; and the containers that
    were looked into.
    """

    remaining: frozenset[str] | None
    looked: frozenset[str]


class _Due(NamedTuple):
    """What of this instance is past its deadline and in no ledger, by the container it is on, as that is."""

    container: str
    execution: str
    expires: float
    state: str
    run: str


class EngineScan:
    """The scans of one coordinator. `playing` says whether an execution is in the hands of its own task."""

    def __init__(
        self,
        ledger: Ledger,
        facts: EngineFacts,
        runner: CommandRunner,
        clock: Clock,
        *,
        instance: str,
        playing: Callable[[str], bool],
    ) -> None:
        """Look at nothing yet."""
        self._ledger = ledger
        self._facts = facts
        self._runner = runner
        self._clock = clock
        self._instance = instance
        self._playing = playing
        self._locks = StrayLocks(runner, facts, clock)
        self._inside = ContainerScan(runner)
        self._hopeless: frozenset[_Due] = frozenset()
        """What is due, and the last scan left to a person alone."""

    async def scan(self, instances: Collection[str] = (), *, careful: bool = False) -> ScanReport:
        """Look everywhere, put back what is this instance's, of one of `instances`, or past its deadline; tell all.

        `careful`: only what is this instance's and past its deadline, or nobody's. Raises EngineUnreachable.
        """
        reach = _Reach(frozenset({self._instance, *instances}), careful)
        with action("recovery:scan", instances=sorted(reach.instances), careful=careful) as scanning:
            # Helpers first: one that lives would renew what is taken out after it.
            found = [await self._helper(helper, reach) for helper in await self._facts.helpers()]
            sight, unable = await self._look()
            locks = await self._facts.locks()
            strays, also_unable = await self._inside.look(locks)
            met = await self._met(sight, strays, locks)
            names = {each.id: each.name for each in met}
            traces, remaining = await self._traces(sight, _holders(locks), names, reach)
            pids = {each.id: each.pid for each in met}
            left, still = await self._inside.clear(strays, names, pids, partial(self._judged_stray, reach))
            found += [*traces, *left]
            seen = _Seen(None if unable or also_unable else remaining | still, frozenset(strays.looked))
            stray = await self._stray(locks, names, reach, seen)
            found += [told for told, _ in stray]
            by_id = {each.id: each for each in met}
            for_good = [lock for lock, (_, for_good) in zip(locks, stray, strict=True) if for_good]
            self._hopeless = frozenset(
                [_due(lock.container_id, _mark_of_lock(lock), by_id.get(lock.container_id)) for lock in for_good]
            )
            report = ScanReport(found=tuple(found), unable=(*sight.unable, *strays.unable, *unable, *also_unable))
            for each in report.found:
                level: Level = "WARNING" if each.state is LeftoverState.LEFT else "INFO"
                log("recovery:found", level, **each.model_dump(mode="json"))
            scanning.add_success_fields(found=len(report.found), left=len(report.left), unable=list(report.unable))
        return report

    async def is_called_for(self) -> bool:
        """Whether a lock or helper of this instance is past its deadline and in no ledger, which the last scan has not
        left to a person as it is; or one that it has left so is gone. Raises EngineUnreachable.
        """
        locks = [lock for lock in await self._facts.locks() if await self._is_due(_mark_of_lock(lock))]
        held = {each.id: each for each in await self._facts.containers({lock.container_id for lock in locks})}
        due = {_due(lock.container_id, _mark_of_lock(lock), held.get(lock.container_id)) for lock in locks}
        for helper in await self._facts.helpers():
            mark = mark_of_labels(helper.labels)
            if await self._is_due(mark):
                due.add(_due(helper.id, mark, helper))
        return due != self._hopeless

    async def _is_due(self, mark: Mark) -> bool:
        expired = self._claim(mark, _Reach(frozenset({self._instance}), careful=True)) is Claim.EXPIRED
        return mark.instance == self._instance and expired and not await self._known(mark.execution)

    def _claim(self, mark: Mark, reach: _Reach) -> Claim:
        busy = bool(mark.execution) and self._playing(mark.execution)
        return claim(mark, reach.instances, self._clock.now().timestamp(), busy=busy)

    async def _known(self, execution_id: str) -> bool:
        """Whether the ledger has this execution. One that cannot be read knows nothing."""
        try:
            return bool(execution_id) and await self._ledger.execution(execution_id) is not None
        except LedgerUnavailable:
            return False

    async def _met(self, sight: Sight, strays: StraySight, locks: Sequence[TargetLock]) -> tuple[ContainerFacts, ...]:
        """The containers that were met."""
        ids = {lock.container_id for lock in locks} | {stray.container for stray in strays.strays}
        ids |= {each for namespace in sight.namespaces for each in namespace.containers}
        return await self._facts.containers(ids)

    def _judged_stray(self, reach: _Reach, stray: Stray) -> tuple[str, bool, LeftoverState]:
        """See `container_scan.Judge`."""
        if stray.inert:
            return UNNAMED, not reach.careful, LeftoverState.KEPT
        mark = mark_of(stray)
        how = self._claim(mark, reach)
        state = LeftoverState.LEFT if how is Claim.NAMELESS else LeftoverState.KEPT
        return claim_text(how, mark), reach.covers(how, mark), state

    # ------------------------------------------------------------ helpers

    async def _helper(self, helper: ContainerFacts, reach: _Reach) -> Leftover:
        mark = mark_of_labels(helper.labels)
        how = self._claim(mark, reach)
        idle = helper.state is not ContainerState.RUNNING
        told = Leftover(
            kind="helper", name=helper.name, where=helper.id[:SHORT], instance=mark.instance, execution=mark.execution,
            why=claim_text(how, mark), state=LeftoverState.KEPT,
        )  # fmt: skip
        if how is Claim.OURS and not mark.execution and not idle:
            # Such as one that looks whether helpers can be run here.
            return told.model_copy(update={"why": "at work for no execution"})
        if not reach.covers(how, mark):
            return told
        remove = DockerCommand(argv=("rm", "--force", helper.id), deadline_s=REMOVE_S)
        (outcome,) = await run_all(self._runner, [remove])
        if outcome.ok or helper.id not in {each.id for each in await self._facts.helpers()}:
            return told.model_copy(update={"state": LeftoverState.UNDONE, "text": "removed"})
        update = {"state": LeftoverState.LEFT, "text": failure_text(outcome), "commands": (remove.shown(),)}
        return told.model_copy(update=update)

    # ------------------------------------------------------------ network namespaces

    async def _look(self) -> tuple[Sight, tuple[str, ...]]:
        """What was seen; or that nothing could be, and why."""
        (outcome,) = await run_all(self._runner, [look_command()])
        why = failure_text(outcome)
        if outcome.ok:
            try:
                return parse_sight(outcome.stdout), ()
            except ValueError:
                why = UNREADABLE
        return Sight(), (f"{UNSEEN}: {why}",)

    async def _traces(
        self,
        sight: Sight,
        locks: Mapping[str, TargetLock],
        names: Mapping[str, str],
        reach: _Reach,
    ) -> tuple[list[Leftover], frozenset[str]]:
        """What was found, and the executions of which something is still there."""
        told: dict[Placed, tuple[Leftover, int]] = {}
        doomed: list[Placed] = []
        for namespace in sight.namespaces:
            lock = next((locks[each] for each in namespace.containers if each in locks), None)
            for trace in namespace.traces:
                placed = Placed(inode=namespace.inode, trace=trace)
                leftover, act = self._judged(trace, namespace, lock, names, reach)
                told[placed] = leftover, namespace.pid
                if act:
                    doomed.append(placed)
        ended = await removed(self._runner, doomed, remove_command, parse_placed)
        found = []
        remaining = set()
        for placed, (leftover, pid) in told.items():
            error = ended.get(placed)
            if error == "":
                found.append(leftover.model_copy(update={"state": LeftoverState.UNDONE, "text": "removed"}))
                continue
            remaining.add(leftover.execution)
            left = error is not None or leftover.state is LeftoverState.LEFT
            update = {"state": LeftoverState.LEFT, "text": error or "", "commands": (by_hand(placed.trace, pid),)}
            found.append(leftover.model_copy(update=update if left else {}))
        return found, frozenset(remaining)

    def _judged(
        self,
        trace: Trace,
        namespace: Namespace,
        lock: TargetLock | None,
        names: Mapping[str, str],
        reach: _Reach,
    ) -> tuple[Leftover, bool]:
        """What to tell of it, and whether it is to go. What does not say whose it is belongs to who holds the lock."""
        mark = mark_of_comment(trace.comment, trace.name) if trace.kind == "table" else Mark()
        if not mark.instance and lock is not None:
            mark = _mark_of_lock(lock)
        how = self._claim(mark, reach)
        why, act = claim_text(how, mark), reach.covers(how, mark)
        if how is Claim.NAMELESS and not namespace.outside and trace.kind != "table" and not reach.careful:
            why, act = "nobody holds the lock on this container", True
        held = [names.get(each, each[:SHORT]) for each in namespace.containers]
        state = LeftoverState.LEFT if how is Claim.NAMELESS else LeftoverState.KEPT
        leftover = Leftover(
            kind=trace.kind, name=" ".join(part for part in (trace.family, trace.device, trace.name) if part),
            where=", ".join(held) or f"the namespace of process {namespace.pid}", instance=mark.instance,
            execution=mark.execution, why=why, state=state,
        )  # fmt: skip
        return leftover, act

    # ------------------------------------------------------------ locks

    async def _stray(
        self,
        locks: Sequence[TargetLock],
        names: Mapping[str, str],
        reach: _Reach,
        seen: _Seen,
    ) -> list[tuple[Leftover, bool]]:
        """Side by side: each is on a container of its own. As well, whether it is due and left to a person for good."""
        told: dict[str, tuple[Leftover, bool]] = {}

        async def one(lock: TargetLock) -> None:
            told[lock.container_id] = await self._lock(lock, names, reach, seen)

        async with anyio.create_task_group() as group:
            for lock in locks:
                group.start_soon(one, lock)
        return [told[lock.container_id] for lock in locks]

    async def _lock(
        self,
        lock: TargetLock,
        names: Mapping[str, str],
        reach: _Reach,
        seen: _Seen,
    ) -> tuple[Leftover, bool]:
        mark = _mark_of_lock(lock)
        how = self._claim(mark, reach)
        told = Leftover(
            kind="lock", name=f"{NAME_PREFIX}{lock.container_id[:SHORT]}", instance=mark.instance,
            where=names.get(lock.container_id, "a container that is gone"), execution=mark.execution,
            why=claim_text(how, mark), state=LeftoverState.KEPT,
        )  # fmt: skip
        if lock.torn:
            return await self._torn(lock, told, there=lock.container_id in names), False
        if how is Claim.NAMELESS:
            return told.model_copy(update={"state": LeftoverState.LEFT, "commands": lock.undo}), False
        if not reach.covers(how, mark):
            return told, False
        own = lock.instance == self._instance
        if own and await self._known(lock.execution):
            return told.model_copy(update={"why": IN_LEDGER}), False
        try:
            gone = seen.remaining is not None and lock.execution not in seen.remaining
            done = await self._locks.undo(lock, rules_are_gone=gone, looked_into=lock.container_id in seen.looked)
        except EngineUnreachable as error:
            done = Undone(str(error), (*lock.undo, unlock_command(lock.container_id).shown()))
        state = LeftoverState.LEFT if done.commands else LeftoverState.UNDONE
        told = told.model_copy(update={"state": state, "text": done.text, "commands": done.commands})
        return told, own and how is Claim.EXPIRED and done.for_good

    async def _torn(self, lock: TargetLock, told: Leftover, *, there: bool) -> Leftover:
        """Remove it where its container is there: else it may be anybody's volume."""
        told = told.model_copy(update={"why": TORN})
        if not there:
            return told
        try:
            failure = await remove_torn(lock.container_id, self._facts, self._runner)
        except EngineUnreachable as error:
            failure = str(error)
        if not failure:
            return told.model_copy(update={"state": LeftoverState.UNDONE, "text": "removed"})
        commands = (unlock_command(lock.container_id).shown(),)
        return told.model_copy(update={"state": LeftoverState.LEFT, "text": failure, "commands": commands})


def _holders(locks: Sequence[TargetLock]) -> dict[str, TargetLock]:
    """By the ids of the containers that somebody holds."""
    return {lock.container_id: lock for lock in locks if not lock.torn}


def _mark_of_lock(lock: TargetLock) -> Mark:
    return Mark(instance=lock.instance, execution=lock.execution, fault=lock.fault, expires=lock.expires)


def _due(container_id: str, mark: Mark, found: ContainerFacts | None) -> _Due:
    state, run = ("", "") if found is None else (found.state, found.started_at)
    return _Due(container_id, mark.execution, mark.expires, state, run)
