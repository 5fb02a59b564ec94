"""A coordinator that plays what a test wrote down, for commands to act on: a `ports.Control` without an engine."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from coordinator.cli.tools import Where
from coordinator.control import newest
from coordinator.errors import (
    Conflict,
    CoordinatorError,
    EngineUnreachable,
    LedgerDamaged,
    LedgerUnavailable,
    NotFound,
)
from coordinator.faults.abilities import Abilities, Way
from coordinator.faults.facts import EngineInfo
from coordinator.faults.leftovers import ScanReport
from coordinator.library import ScenarioDetails, ScenarioSummary
from coordinator.ports import Candidate, Readiness, UndoneFaults
from coordinator.record import (
    ENDED,
    Execution,
    ExecutionState,
    Fault,
    Report,
    Series,
    Submission,
    TimelineEntry,
    Verdict,
)
from coordinator.scenarios.plan import Plan
from coordinator.settings import Settings
from coordinator.supervision import ChildState, ChildView, Snapshot
from tests.unit.cli import played

ENGINE = EngineInfo(id="E", endpoint="unix:///sock", version="29.1.0", api_version="1.52", operating_system="Debian")


class ScriptedControl:
    """Shows the frames of one execution, the next at each look; stopped, it goes to `when_stopped`."""

    def __init__(
        self,
        frames: Sequence[Execution] = (),
        *,
        when_stopped: Execution | None = None,
        left_broken: tuple[str, ...] = (),
        outstanding: Sequence[Fault] = (),
        stuck: Collection[str] = (),
        planned: Plan | None = None,
        candidates: Sequence[Candidate] | None = (),
        scan: ScanReport | None = None,
        ledger_away: bool = False,
        ledger_damaged: bool = False,
        engine_away: bool = False,
        checks: Mapping[str, str] | None = None,
    ) -> None:
        self.submissions: list[Submission] = []
        self.stops: list[str] = []
        self.scanned: list[tuple[str, ...]] = []
        self.submitted = anyio.Event()
        self._scan = scan or ScanReport()
        self._ledger_away = ledger_away
        self._ledger_damaged = ledger_damaged
        self._engine_away = engine_away
        self._checks = checks or {}
        self._frames = list(frames)
        self._when_stopped = when_stopped
        self._left_broken = left_broken
        self._outstanding = {fault.id: fault for fault in outstanding}
        self._stuck = stuck
        self._planned = planned or played.plan()
        self._candidates = candidates

    async def scenarios(self) -> tuple[ScenarioSummary, ...]:
        return ()

    async def scenario(self, name: str) -> ScenarioDetails:
        raise NotFound(f"scenario {name}: there is none")

    async def save_scenario(self, name: str, text: str) -> bool:
        raise Conflict(f"scenario {name}: is built in")

    async def delete_scenario(self, name: str) -> None:
        raise NotFound(f"scenario {name}: there is none")

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        self.submissions.append(submission)
        self.submitted.set()
        return played.queued()

    async def plan(self, submission: Submission) -> Plan:
        self.submissions.append(submission)
        return self._planned

    async def execution(self, execution_id: str) -> Execution:
        if not self._frames or execution_id != self._frames[0].id:
            raise NotFound(f"execution {execution_id}: there is none")
        return self._frames.pop(0) if len(self._frames) > 1 else self._frames[0]

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        found = [frame for frame in self._frames[:1] if states is None or frame.state in states]
        return tuple(found[:limit])

    async def finished(self, execution_id: str) -> Execution:
        while True:
            execution = await self.execution(execution_id)
            if execution.state is ExecutionState.FINISHED:
                return execution
            await anyio.lowlevel.checkpoint()

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        return (await self.finished(execution_id)).timeline[after:]

    async def report(self, execution_id: str) -> Report:
        return played.report(await self.execution(execution_id), self._left_broken)

    async def samples(self, execution_id: str, after_s: float, limit: int) -> Mapping[str, Series]:
        if not self._frames or self._frames[0].started_at is None:
            raise NotFound(f"execution {execution_id}: there is none")
        report = played.report(self._frames[0])
        return {name: newest(name, series.samples, after_s, limit) for name, series in report.probes.items()}

    async def stop(self, execution_id: str, reason: str) -> Execution:
        if (await self.execution(execution_id)).state is ExecutionState.FINISHED:
            raise Conflict(f"execution {execution_id}: is finished")
        self.stops.append(reason)
        self._frames = [self._when_stopped or played.execution(verdict=Verdict.ABORTED, reason=reason)]
        return self._frames[0]

    async def faults(self) -> tuple[Fault, ...]:
        if self._ledger_away:
            raise LedgerUnavailable("no ledger")
        if self._ledger_damaged:
            raise LedgerDamaged("ledger /l: is damaged; run `test-coordinator recover`")
        return tuple(fault for fault in self._outstanding.values() if fault.state not in ENDED)

    async def undo(self, fault_id: str) -> UndoneFaults:
        if fault_id not in self._outstanding:
            raise NotFound(f"fault {fault_id}: is not outstanding")
        if fault_id in self._stuck:
            return UndoneFaults(undone=(), failed={fault_id: "the engine refused"})
        del self._outstanding[fault_id]
        return UndoneFaults(undone=(fault_id,), failed={})

    async def undo_all(self, reason: str) -> UndoneFaults:
        parts = [await self.undo(fault_id) for fault_id in list(self._outstanding)]
        return UndoneFaults(
            undone=tuple(one for part in parts for one in part.undone),
            failed={name: why for part in parts for name, why in part.failed.items()},
        )

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        self.scanned.append(tuple(instances))
        if self._engine_away:
            raise EngineUnreachable("no engine")
        return self._scan

    async def forget(self, fault_id: str) -> None:
        del self._outstanding[fault_id]

    async def candidates(self) -> tuple[Candidate, ...]:
        if self._candidates is None:
            raise EngineUnreachable("Docker engine at unix:///sock: no such socket: start Docker")
        return tuple(self._candidates)

    def tree(self) -> Snapshot:
        return Snapshot(
            ChildView(
                id="root", path="root", kind="supervisor", state=ChildState.RUNNING, critical=True, incarnation=1,
                restarts=0, since=0.0,
            )
        )  # fmt: skip

    async def restart_actor(self, actor_id: str) -> None:
        raise NotFound(f"actor {actor_id}: there is none")

    async def reset_actor(self, actor_id: str) -> None:
        raise NotFound(f"actor {actor_id}: there is none")

    def readiness(self) -> Readiness:
        return Readiness(status="ready", checks=dict(self._checks))


class ScriptedConnect:
    """Connects to one scripted coordinator, or fails; remembers what was asked for."""

    def __init__(self, control: ScriptedControl, failure: CoordinatorError | None = None) -> None:
        self.asked: list[tuple[Where, bool]] = []
        self._control = control
        self._failure = failure

    @asynccontextmanager
    async def __call__(self, settings: Settings, where: Where, *, recovery: bool) -> AsyncIterator[ScriptedControl]:
        self.asked.append((where, recovery))
        if self._failure is not None:
            raise self._failure
        yield self._control


async def engine_info(settings: Settings) -> EngineInfo:
    """An engine that answers."""
    return ENGINE


async def no_engine(settings: Settings) -> EngineInfo:
    """An engine that does not."""
    raise EngineUnreachable("Docker engine at unix:///sock: no such socket: start Docker")


async def helper_image_error(settings: Settings) -> tuple[str, str]:
    """Neither trouble nor anything it lacks."""
    return "", ""


async def try_abilities(settings: Settings) -> Abilities:
    """Everything works by helpers; the host is another."""
    shaping = ("ifb", "nft_forward", "nft_egress", "tc_htb")
    network, processes = (
        ("nft_leases", "nft_queue", "nft_reject", "raw_packets", *shaping),
        ("processes", "kill", "clock"),
    )
    cgroups = ("processes", "cgroup_write", "cgroup_record", "cgroup_join")
    helper, among, beside, inside = (
        Way(state="tried", abilities=dict.fromkeys(works, ""))
        for works in (network, processes, cgroups, (*cgroups, "mount_namespace"))
    )
    return Abilities(
        helper=helper, processes=among, cgroups=beside, mounts=inside, host=Way(state="not here", why="not root")
    )


async def docker_cli_version(settings: Settings) -> str:
    """A current command line."""
    return "29.1.0"
