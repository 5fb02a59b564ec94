"""A coordinator in memory: a real, small implementation of `ports.Control` that breaks nothing."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio
import eliot

from coordinator.control import newest
from coordinator.errors import Conflict, CoordinatorError, InvariantBroken, NotFound
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.leftovers import Leftover, LeftoverState, ScanReport
from coordinator.library import Library, ScenarioDetails, ScenarioSummary
from coordinator.ports import Candidate, Readiness, UndoneFaults
from coordinator.record import (
    Execution,
    ExecutionState,
    Fault,
    FaultClass,
    FaultState,
    Report,
    Sample,
    Series,
    Submission,
    TimelineEntry,
    Verdict,
)
from coordinator.scenarios.parse import parse
from coordinator.scenarios.plan import Plan
from coordinator.supervision import ChildState, ChildView, Snapshot

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STAMP = "2026-01-02T03:04:05.678Z"


def view(name: str, state: ChildState = ChildState.RUNNING, *, critical: bool = True, under: str = "root") -> ChildView:
    """One actor at one moment."""
    return ChildView(
        name, f"{under}/{name}", "worker", state, critical=critical, incarnation=2, restarts=1,
        since=NOW.timestamp(), last_error=None if state is ChildState.RUNNING else "it broke",
    )  # fmt: skip


def tree(*children: ChildView, state: ChildState = ChildState.RUNNING) -> Snapshot:
    """A root with these children."""
    root = ChildView(
        "root", "root", "supervisor", state, critical=True, incarnation=1, restarts=0, since=NOW.timestamp(),
        children=children,
    )  # fmt: skip
    return Snapshot(root)


def fault(fault_id: str) -> Fault:
    """An outstanding pause."""
    return Fault(
        id=fault_id, execution_id="e1", phase="outage", type="container_pause", target="replica",
        fault_class=FaultClass.JOURNAL, mechanism="docker pause", state=FaultState.ACTIVE, armed_at=NOW,
        undo_commands=("docker unpause web-1",),
    )  # fmt: skip


@dataclass
class MemoryControl:
    """Keeps what it is told. `fails` makes the next calls of a name raise; `hold` makes slow calls wait."""

    snapshot: Snapshot = field(default_factory=lambda: tree(view("ledger"), view("chaos", critical=False)))
    ready: Readiness = field(default_factory=lambda: Readiness(status="ready", checks={"ledger": "ok"}))
    fails: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    library: Library = field(default_factory=lambda: Library(Path("/nonexistent")))
    accepted: dict[str, tuple[Execution, Submission]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    outstanding: dict[str, Fault] = field(default_factory=lambda: {"f1": fault("f1"), "f2": fault("f2")})
    restarted: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    told: list[TimelineEntry] = field(default_factory=list)
    live: bool = False
    more: anyio.Event = field(default_factory=anyio.Event)
    hold: anyio.Event | None = None
    entered: anyio.Event | None = None
    left: anyio.Event | None = None

    def _fail(self, name: str) -> None:
        if name in self.fails:
            error = self.fails[name]()
            raise error

    async def scenarios(self) -> tuple[ScenarioSummary, ...]:
        """Those of the library."""
        return self.library.all()

    async def scenario(self, name: str) -> ScenarioDetails:
        """One of them."""
        return self.library.get(name)

    async def save_scenario(self, name: str, text: str) -> bool:
        """Keep one."""
        return self.library.put(name, text)

    async def delete_scenario(self, name: str) -> None:
        """Forget one."""
        self.library.remove(name)

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        """Accept; the current Eliot task's id becomes the execution's."""
        self._fail("submit")
        if idempotency_key in self.keys:
            execution, before = self.accepted[self.keys[idempotency_key]]
            if before != submission:
                raise Conflict("the key was used for another request")
            return execution
        parsed = parse(submission.source, file=submission.file, variables=submission.variables)
        action = eliot.current_action()
        if action is None:
            raise InvariantBroken("no task to continue")
        execution = Execution(
            id=action.task_uuid, scenario=parsed.scenario.metadata.name, state=ExecutionState.QUEUED,
            seed=submission.seed or 7, variables=parsed.variables, created_at=NOW,
        )  # fmt: skip
        self.accepted[execution.id] = execution, submission
        if idempotency_key is not None:
            self.keys[idempotency_key] = execution.id
        return execution

    async def plan(self, submission: Submission) -> Plan:
        """An empty plan."""
        self._fail("plan")
        parsed = parse(submission.source, file=submission.file, variables=submission.variables)
        return Plan(
            scenario=parsed.scenario.metadata.name, seed=1, hash="abc", variables=parsed.variables, targets={},
            left_out=(), faults=(), refusals=(), warnings=(), estimated_undo_s=0.0,
        )  # fmt: skip

    async def execution(self, execution_id: str) -> Execution:
        """One of those accepted."""
        self._fail("execution")
        if execution_id not in self.accepted:
            raise NotFound(f"there is no execution {execution_id}")
        return self.accepted[execution_id][0]

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """Newest first."""
        ids = list(reversed(self.accepted))
        ids = ids[ids.index(after) + 1 :] if after in ids else ids
        found = [self.accepted[one][0] for one in ids]
        return tuple(one for one in found if states is None or one.state in states)[:limit]

    async def finished(self, execution_id: str) -> Execution:
        """At once."""
        return await self.execution(execution_id)

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """What `told` holds; with `live` it waits for more, as of an execution that still runs."""
        await self.execution(execution_id)
        while self.live and len(self.told) <= after:
            await self.more.wait()
        return tuple(self.told[after:])

    def tell(self, *events: str) -> None:
        """Let these events happen."""
        self.told.extend(TimelineEntry(at=NOW, offset_s=0.5, event=event) for event in events)
        self.more.set()
        self.more = anyio.Event()

    async def report(self, execution_id: str) -> Report:
        """With one sample."""
        execution = (await self.execution(execution_id)).model_copy(
            update={"verdict": Verdict.PASSED, "state": ExecutionState.FINISHED}
        )
        series = Series(probe="api", samples=(Sample(0.1, ok=True, latency_s=0.01, value=200.0),))
        return Report(execution=execution, probes={"api": series}, left_broken=("docker unpause web-1",))

    async def samples(self, execution_id: str, after_s: float, limit: int) -> Mapping[str, Series]:
        """Of its report."""
        probes = (await self.report(execution_id)).probes
        return {name: newest(name, series.samples, after_s, limit) for name, series in probes.items()}

    async def stop(self, execution_id: str, reason: str) -> Execution:
        """Finish it."""
        execution, submission = self.accepted.get(execution_id, (await self.execution(execution_id), None))
        if execution.state is ExecutionState.FINISHED or submission is None:
            raise Conflict(f"execution {execution_id} is finished")
        stopped = execution.model_copy(update={"state": ExecutionState.FINISHED, "reason": reason})
        self.accepted[execution_id] = stopped, submission
        return stopped

    async def faults(self) -> tuple[Fault, ...]:
        """The outstanding ones."""
        return tuple(self.outstanding.values())

    async def undo(self, fault_id: str) -> UndoneFaults:
        """Undo one."""
        if fault_id not in self.outstanding:
            raise NotFound(f"there is no fault {fault_id}")
        del self.outstanding[fault_id]
        return UndoneFaults(undone=(fault_id,), failed={})

    async def undo_all(self, reason: str) -> UndoneFaults:
        """Undo all, when `hold` lets it."""
        assert reason
        if self.entered is not None:
            self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        ids = tuple(self.outstanding)
        self.outstanding.clear()
        self.undone.extend(ids)
        if self.left is not None:
            self.left.set()
        return UndoneFaults(undone=ids, failed={"f9": "the engine is away"})

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        """One lock was found, of each instance that was asked for."""
        self._fail("scan")
        found = tuple(
            Leftover(
                kind="lock", name="tc-aaaaaaaaaaaa", where="web-1", instance=each, execution="e0",
                why="deadline past", state=LeftoverState.UNDONE, text="put back",
            )
            for each in instances
        )  # fmt: skip
        return ScanReport(found=found, unable=("iptables: not here",))

    async def forget(self, fault_id: str) -> None:
        """Give one up."""
        self.outstanding.pop(fault_id, None)

    async def candidates(self) -> tuple[Candidate, ...]:
        """Two containers, one of them protected."""
        self._fail("candidates")
        web = ContainerFacts(
            id="a" * 64, name="web-1", image="web:1", state=ContainerState.RUNNING,
            started_at="2026-01-02T03:04:05.67890123Z", finished_at="0001-01-01T00:00:00Z",
        )  # fmt: skip
        database = web.model_copy(update={"id": "b" * 64, "name": "db-1"})
        return (
            Candidate(container=web, why_not=None),
            Candidate(container=database, why_not="labelled test-coordinator.protected=true"),
        )

    def tree(self) -> Snapshot:
        """The tree."""
        return self.snapshot

    async def restart_actor(self, actor_id: str) -> None:
        """Note it."""
        self._fail("restart_actor")
        self.restarted.append(actor_id)
        if self.entered is not None:
            self.entered.set()

    async def reset_actor(self, actor_id: str) -> None:
        """Nothing is ever quarantined here."""
        raise Conflict(f"child root/{actor_id} is neither quarantined nor waiting to be restarted")

    def readiness(self) -> Readiness:
        """As set."""
        return self.ready


class Bespoke(CoordinatorError):
    """An error of a kind the API has no status for."""
