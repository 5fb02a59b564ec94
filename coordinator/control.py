"""What the interfaces may ask of this coordinator, answered by the parts that know. Joins them; decides nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import anyio
import anyio.to_thread

from coordinator import by_hand
from coordinator.errors import Conflict, NotFound
from coordinator.faults.leftovers import ScanReport
from coordinator.faults.targeting import Policy, why_not
from coordinator.library import Library, ScenarioDetails, ScenarioSummary
from coordinator.past import Past
from coordinator.ports import Candidate, EngineFacts, History, Ledger, Readiness, UndoneFaults
from coordinator.record import (
    LEDGER_RENEWED,
    Execution,
    ExecutionState,
    Fault,
    FaultRow,
    Report,
    Sample,
    Series,
    Submission,
    TimelineEntry,
)
from coordinator.scenarios.plan import Plan
from coordinator.supervision import ChildRefused, ChildState, Refusal, Snapshot, Supervisor, health


class Executions(Protocol):
    """The intake of executions, as the executions actor offers it."""

    async def submit(self, submission: Submission, idempotency_key: str | None) -> Execution:
        """Accept and queue."""
        ...

    async def plan(self, submission: Submission) -> Plan:
        """Plan only."""
        ...

    async def execution(self, execution_id: str) -> Execution:
        """One, live while it runs."""
        ...

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """Newest first."""
        ...

    async def finished(self, execution_id: str) -> Execution:
        """Wait for its end."""
        ...

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """What happened since."""
        ...

    async def report(self, execution_id: str) -> Report:
        """All that is recorded."""
        ...

    def live_samples(self, execution_id: str) -> Mapping[str, Sequence[Sample]] | None:
        """What the probes of one that runs have seen so far."""
        ...

    async def stop(self, execution_id: str, reason: str) -> Execution:
        """Ask one to stop."""
        ...

    async def stop_all(self, reason: str, *, drain: bool = False) -> None:
        """Stop all and wait."""
        ...

    async def undo(self, fault_id: str) -> bool:
        """Undo a fault of a running execution."""
        ...


class Recovery(Protocol):
    """The undoing of what no running execution holds, as the recovery actor offers it."""

    @property
    def trouble(self) -> str | None:
        """What kept the last pass from seeing everything through, besides faults that are stuck."""
        ...

    async def recover(self, deadline_s: float) -> tuple[FaultRow, ...]:
        """One pass; what is left."""
        ...

    async def undo(self, fault_id: str, deadline_s: float) -> FaultRow:
        """One fault."""
        ...

    async def forget(self, fault_id: str) -> FaultRow:
        """Give one up."""
        ...

    async def scan(self, instances: Collection[str]) -> ScanReport:
        """What the engine itself shows."""
        ...


class LocalControl:
    """Satisfies `ports.Control` for the coordinator in this process."""

    def __init__(
        self,
        supervisor: Callable[[], Supervisor],
        executions: Executions,
        recovery: Recovery,
        ledger: Ledger,
        facts: EngineFacts,
        policy: Policy,
        library: Library,
        *,
        docker_status: Callable[[], str],
        store_status: Callable[[], Mapping[str, str]],
        undo_deadline_s: float,
        helper_image: by_hand.Image,
        history: History | None = None,
    ) -> None:
        """`supervisor` is asked at every call: the tree holds the interfaces that hold this.

        `history` answers for executions that the ledger does not know.
        `helper_image` is named in commands that a person is to run.
        `docker_status` and `store_status` are what the chaos actor and the data adapter last published.
        """
        self._supervisor = supervisor
        self._executions = executions
        self._recovery = recovery
        self._ledger = ledger
        self._past = Past(executions, ledger, history)
        self._facts = facts
        self._policy = policy
        self._library = library
        self._docker_status = docker_status
        self._store_status = store_status
        self._undo_deadline_s = undo_deadline_s
        self._helper_image = helper_image
        self.ending: Callable[[], bool] = lambda: False
        """Whether an orderly end has begun: then nothing is ready any more."""

    # ------------------------------------------------------------ executions

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        """See `ports.Control`."""
        return await self._executions.submit(submission, idempotency_key)

    async def plan(self, submission: Submission) -> Plan:
        """See `ports.Control`."""
        return await self._executions.plan(submission)

    async def execution(self, execution_id: str) -> Execution:
        """See `ports.Control`."""
        return await by_hand.execution(await self._past.execution(execution_id), self._helper_image)

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """See `ports.Control`."""
        return await self._past.executions(states, limit, after)

    async def finished(self, execution_id: str) -> Execution:
        """See `ports.Control`."""
        return await self._executions.finished(execution_id)

    async def report(self, execution_id: str) -> Report:
        """See `ports.Control`."""
        return await by_hand.report(await self._past.report(execution_id), self._helper_image)

    async def samples(self, execution_id: str, after_s: float, limit: int) -> Mapping[str, Series]:
        """See `ports.Control`."""
        seen = self._executions.live_samples(execution_id)
        if seen is None:
            probes = (await self._past.report(execution_id)).probes
            seen = {name: series.samples for name, series in probes.items()}
        return {name: newest(name, samples, after_s, limit) for name, samples in seen.items()}

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """See `ports.Control`."""
        try:
            return await self._executions.timeline(execution_id, after)
        except NotFound:
            # What only the history remembers is over: all of it is there at once.
            return (await self._past.execution(execution_id)).timeline[after:]

    async def stop(self, execution_id: str, reason: str) -> Execution:
        """See `ports.Control`."""
        return await self._executions.stop(execution_id, reason)

    async def drain(self, reason: str) -> bool:
        """Take no more work, stop and undo what runs, and wait for it. Whether everything of ours is put back."""
        await self._executions.stop_all(reason, drain=True)
        return not await self._ledger.faults(outstanding=True)

    # ------------------------------------------------------------ scenarios

    async def scenarios(self) -> tuple[ScenarioSummary, ...]:
        """See `ports.Control`."""
        return await anyio.to_thread.run_sync(self._library.all)

    async def scenario(self, name: str) -> ScenarioDetails:
        """See `ports.Control`."""
        return await anyio.to_thread.run_sync(self._library.get, name)

    async def save_scenario(self, name: str, text: str) -> bool:
        """See `ports.Control`."""
        return await anyio.to_thread.run_sync(self._library.put, name, text)

    async def delete_scenario(self, name: str) -> None:
        """See `ports.Control`."""
        await anyio.to_thread.run_sync(self._library.remove, name)

    # ------------------------------------------------------------ faults

    async def faults(self) -> tuple[Fault, ...]:
        """See `ports.Control`."""
        found = tuple(row.fault for row in await self._ledger.faults(outstanding=True))
        return await by_hand.faults(found, self._helper_image)

    async def undo(self, fault_id: str) -> UndoneFaults:
        """See `ports.Control`."""
        row = await self._ledger.fault(fault_id)
        if row is None:
            message = f"there is no fault {fault_id}"
            raise NotFound(message)
        if row.outstanding and not await self._executions.undo(fault_id):
            await self._recovery.undo(fault_id, self._undo_deadline_s)
        after = await self._ledger.fault(fault_id)
        return _told([row if after is None else after])

    async def undo_all(self, reason: str) -> UndoneFaults:
        """See `ports.Control`."""
        before = await self._ledger.faults(outstanding=True)
        with anyio.move_on_after(self._undo_deadline_s):
            await self._executions.stop_all(reason)
        await self._recovery.recover(self._undo_deadline_s)
        trouble = self._recovery.trouble
        now = [await self._ledger.fault(row.fault.id) for row in before]
        return _told([row for row in now if row is not None], trouble)

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        """See `ports.Control`."""
        return await by_hand.scan(await self._recovery.scan(instances), self._helper_image)

    async def forget(self, fault_id: str) -> None:
        """See `ports.Control`."""
        await self._recovery.forget(fault_id)

    # ------------------------------------------------------------ the engine and the actors

    async def candidates(self) -> tuple[Candidate, ...]:
        """See `ports.Control`."""
        every = await self._facts.containers()
        return tuple(Candidate(container=one, why_not=why_not(one, self._policy, among=every)) for one in every)

    def tree(self) -> Snapshot:
        """See `ports.Control`."""
        return self._supervisor().snapshot

    async def restart_actor(self, actor_id: str) -> None:
        """See `ports.Control`."""
        path = self._path(actor_id)
        if "/" in path:
            message = f"{actor_id} is an execution, which runs once: stop it with `stop {actor_id}`"
            raise Conflict(message)
        try:
            await self._supervisor().terminate_child(path)
            await self._supervisor().restart_child(path)
        except ChildRefused as refused:
            raise _as_conflict(refused) from refused

    async def reset_actor(self, actor_id: str) -> None:
        """See `ports.Control`."""
        try:
            await self._supervisor().reset_child(self._path(actor_id))
        except ChildRefused as refused:
            raise _as_conflict(refused) from refused

    def _path(self, actor_id: str) -> str:
        """The path below the root of the actor with this id: the last part of its path."""
        root = self._supervisor().snapshot.root
        for view in root.walk():
            if view.id == actor_id and view is not root:
                return view.path.removeprefix(f"{root.path}/")
        message = f"there is no actor {actor_id}"
        raise NotFound(message)

    def readiness(self) -> Readiness:
        """See `ports.Control`."""
        snapshot = self._supervisor().snapshot
        fold = health(snapshot)
        ledger = snapshot.find("ledger")
        checks = {
            "ledger": _ledger_check(ledger.state, ledger.degraded) if ledger is not None else "error: not there",
            "actors": _actors_check(fold.ready, fold.degraded),
            "docker": self._docker_status(),
            **self._store_status(),
        }
        if self.ending():
            checks["actors"] = "error: the coordinator is stopping"
        ready = not any(checks[name].startswith("error") for name in ("ledger", "actors"))
        return Readiness(status="ready" if ready else "not ready", checks=checks)


def newest(probe: str, samples: Sequence[Sample], after_s: float, limit: int) -> Series:
    """What was due later than `after_s`, at most the newest `limit`. Looks at no more than it returns, or nearly."""
    later = bisect_right(samples, after_s, key=lambda sample: sample.offset_s)
    return Series(probe=probe, samples=tuple(samples[max(later, len(samples) - limit) :]))


def _ledger_check(state: ChildState, degraded: str | None) -> str:
    if state is not ChildState.RUNNING:
        return f"error: {state.value}"
    if degraded is None:
        return "ok"
    # One that lost its past takes work all the same; one that cannot write does not.
    return f"degraded: {degraded}" if degraded.startswith(LEDGER_RENEWED) else f"error: {degraded}"


def _actors_check(ready: bool, degraded: tuple[str, ...]) -> str:  # noqa: FBT001 - two parts of one fold
    if not ready:
        return f"error: {'; '.join(degraded) or 'starting or stopping'}"
    return f"degraded: {'; '.join(degraded)}" if degraded else "ok"


def _told(rows: list[FaultRow], trouble: str | None = None) -> UndoneFaults:
    ended = [row.fault.id for row in rows if not row.outstanding]
    failed = {row.fault.id: row.last_error or trouble or f"still {row.fault.state}" for row in rows if row.outstanding}
    return UndoneFaults(undone=tuple(ended), failed=failed)


def _as_conflict(refused: ChildRefused) -> Conflict | NotFound:
    return NotFound(str(refused)) if refused.reason is Refusal.UNKNOWN else Conflict(str(refused))
