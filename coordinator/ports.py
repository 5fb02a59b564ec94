"""What the core needs of the world, as Protocols: time, randomness, commands, facts, ledger, probes. Satisfied by the
edge, by fakes under test and by the simulated engine; the core never asks who it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol, TypeVar

from coordinator.faults.abilities import Abilities
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogPart,
    LogPlace,
    TargetLock,
    Value,
)
from coordinator.faults.leftovers import ScanReport
from coordinator.library import ScenarioDetails, ScenarioSummary
from coordinator.record import (
    Execution,
    ExecutionState,
    Fault,
    FaultRow,
    Reading,
    Report,
    Series,
    Submission,
    TimelineEntry,
)
from coordinator.scenarios.plan import Plan
from coordinator.scenarios.probes import Probe
from coordinator.supervision import Snapshot

T = TypeVar("T")
LogStream = Literal["both", "stdout", "stderr"]


class Clock(Protocol):
    """Time. Sleeping is anyio's, which a virtual clock drives; wall time is only for people and records."""

    def monotonic(self) -> float:
        """Seconds on the event loop's clock."""
        ...

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...


class Random(Protocol):
    """A seeded source of randomness; `random.Random` satisfies it."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """Choose k different elements."""
        ...


class CommandRunner(Protocol):
    """Runs docker commands as killable processes, at most four at once, and sends requests."""

    async def run(self, command: Command) -> Outcome:
        """Run to the end or the deadline, logging it as one Eliot action. A non-zero exit is an outcome, not an error.

        Cancelling kills the process. Raises MissingSecret when a named secret is not there.
        """
        ...


Tell = Callable[[str, str, str], None]
"""Is told an event of the timeline, the id of the container it is about, and a text for a person."""


class Hands(CommandRunner, Protocol):
    """The command runner of one execution: what its commands run in is kept ready as long as the execution lasts."""

    def listen(self, tell: Tell) -> None:
        """Have faults that were lost while they were on, and put once more, told to this."""
        ...

    async def ready(self, commands: Collection[Command]) -> None:
        """Have ready what these need (the helper image, a helper in each network namespace), so that none waits for it.

        Raises AbilityMissing, EngineUnreachable, MissingSecret.
        """
        ...


class Machine(Protocol):
    """What can be known of the engine's machine without touching a container of others."""

    async def abilities(self) -> Abilities:
        """What network faults take, tried as doctor does: some hundred ms. Raises EngineUnreachable."""
        ...

    async def disk(self, folder: str) -> int | None:
        """How many bytes the disk under a folder of the engine's machine has; None where that is not seen from here."""
        ...


class EngineFacts(Protocol):
    """Looks at the engine, changing nothing. Every call raises EngineUnreachable when it does not answer."""

    async def engine(self) -> EngineInfo:
        """Which engine it is."""
        ...

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        """All containers, or those of `ids` that still exist, freshly inspected, sorted by name."""
        ...

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        """The states of those of `ids` that still exist, in one cheap request: enough for looks that need no more."""
        ...

    async def locks(self) -> tuple[TargetLock, ...]:
        """Every target lock on the engine, of any instance."""
        ...

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        """Every helper container on the engine, of any instance and in any state, sorted by name."""
        ...

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        """Count what a container logged behind `place` by lines that `matches`, some at a time; None if it is gone.

        `matches` may be called in a thread.
        """
        ...

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        """The container events of `ids` from the engine's own log, from `since` until now."""
        ...

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """Container events as they happen; the iterator raises EngineUnreachable when the stream breaks."""
        ...


class Ledger(Protocol):
    """The durable record. Every write is on disk when it returns; raises LedgerUnavailable when it cannot be."""

    async def accept(
        self, execution: Execution, submission: Submission, task: str, idempotency_key: str | None = None
    ) -> None:
        """Insert a new execution with what it was accepted with and its serialized Eliot task id."""
        ...

    async def task(self, execution_id: str) -> str | None:
        """The serialized Eliot task id of an execution."""
        ...

    async def save_execution(self, execution: Execution) -> None:
        """Insert or replace an execution (without its timeline, faults and series)."""
        ...

    async def save_fault(self, row: FaultRow) -> None:
        """Insert or replace a fault with its undos."""
        ...

    async def append_timeline(self, execution_id: str, entry: TimelineEntry, uid: str = "") -> None:
        """Add to an execution's timeline; once for each `uid`, however often it is asked for."""
        ...

    async def append_series(self, execution_id: str, series: Series, uid: str = "") -> None:
        """Add a chunk of a probe's samples; once for each `uid`, however often it is asked for."""
        ...

    async def execution(self, execution_id: str) -> Execution | None:
        """One execution with its timeline and faults."""
        ...

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """Executions, newest first, without timeline and faults; `after` is the id of the last one seen."""
        ...

    async def series(self, execution_id: str) -> Mapping[str, Series]:
        """All samples of an execution by probe."""
        ...

    async def faults(self, *, execution_id: str | None = None, outstanding: bool = False) -> tuple[FaultRow, ...]:
        """Fault rows in the order they were armed; `outstanding`: only those not undone and not `not_injected`."""
        ...

    async def fault(self, fault_id: str) -> FaultRow | None:
        """One fault row."""
        ...

    async def submission(self, execution_id: str) -> Submission | None:
        """What an execution was accepted with."""
        ...

    async def accepted_as(self, idempotency_key: str) -> str | None:
        """The id of the execution accepted with this key, kept as long as the execution."""
        ...

    async def purge(self, before: datetime) -> int:
        """Delete executions that finished before, all their faults undone; returns how many."""
        ...


class History(Protocol):
    """The executions that Postgres remembers. Every call raises HistoryUnavailable when it cannot be asked."""

    async def execution(self, execution_id: str) -> Execution | None:
        """One execution with its timeline and faults."""
        ...

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, before: tuple[datetime, str] | None
    ) -> tuple[Execution, ...]:
        """Executions, newest first, without timeline and faults; only those before this time of creation and id."""
        ...

    async def series(self, execution_id: str) -> Mapping[str, Series]:
        """All samples of an execution by probe."""
        ...


class Sampler(Protocol):
    """Takes one sample of one probe."""

    async def sample(self, probe: Probe, targets: Mapping[str, tuple[ContainerFacts, ...]]) -> Reading:
        """Look once, within the probe's own timeout. Never raises for what it finds: a bad answer is a bad reading.

        `targets` are the execution's resolved targets by name, for probes that name one.
        """
        ...


class Prober(Protocol):
    """Takes samples for executions."""

    def kept(self, since: datetime) -> AbstractAsyncContextManager[Sampler]:
        """The sampler of one execution, which began at `since`: what its probes share is kept between samples, and
        closed at the end.
        """
        ...


class Candidate(Value):
    """A container and why it may not be a target; None where it may."""

    container: ContainerFacts
    why_not: str | None


class Readiness(Value):
    """`status` is ready or not ready; each check is `ok`, `degraded: …`, `not configured` or `error: …`."""

    status: str
    checks: dict[str, str]

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        return self.status == "ready"


class UndoneFaults(Value):
    """What the red button did: ids of faults put back, and those that could not be, with the reason."""

    undone: tuple[str, ...]
    failed: dict[str, str]


class Control(Protocol):
    """All that an interface (HTTP, gRPC, the command line) may ask of this coordinator."""

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        """Accept an execution durably and queue it, continuing the caller's Eliot task.

        Raises InvalidScenario, Refused, Conflict (other plan than expected), LedgerUnavailable.
        """
        ...

    async def plan(self, submission: Submission) -> Plan:
        """What it would do, touching nothing. Raises InvalidScenario, EngineUnreachable, MissingSecret."""
        ...

    async def scenarios(self) -> tuple[ScenarioSummary, ...]:
        """The scenarios that have a name, sorted by it. Raises LibraryUnavailable, as do the next three."""
        ...

    async def scenario(self, name: str) -> ScenarioDetails:
        """One of them with its text. Raises NotFound."""
        ...

    async def save_scenario(self, name: str, text: str) -> bool:
        """Keep a scenario under its name, replacing an older one; whether it is new.

        Raises InvalidScenario, Conflict for a built-in one.
        """
        ...

    async def delete_scenario(self, name: str) -> None:
        """Forget a kept scenario. Raises NotFound, Conflict for a built-in one."""
        ...

    async def execution(self, execution_id: str) -> Execution:
        """One execution, live while it runs. Raises NotFound."""
        ...

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """Executions, newest first."""
        ...

    async def finished(self, execution_id: str) -> Execution:
        """Wait until it is finished. Raises NotFound."""
        ...

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """What happened after the first `after` timeline entries; waits until something does.

        Empty when nothing more will happen. Raises NotFound.
        """
        ...

    async def report(self, execution_id: str) -> Report:
        """Everything recorded of it. Raises NotFound."""
        ...

    async def samples(self, execution_id: str, after_s: float, limit: int) -> Mapping[str, Series]:
        """By probe, what was due later than `after_s` from the execution's start, also while it runs.

        At most the newest `limit` of each. The last ones may yet be amended by an answer that comes late.
        Raises NotFound.
        """
        ...

    async def stop(self, execution_id: str, reason: str) -> Execution:
        """Ask it to stop and undo; returns at once. Raises NotFound, Conflict when it is finished."""
        ...

    async def faults(self) -> tuple[Fault, ...]:
        """The outstanding faults."""
        ...

    async def undo(self, fault_id: str) -> UndoneFaults:
        """Undo one outstanding fault now. Raises NotFound."""
        ...

    async def undo_all(self, reason: str) -> UndoneFaults:
        """The red button: stop all executions, undo all that is outstanding, wait for it."""
        ...

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        """Put back what the engine itself shows to be left, of these `instances` too. Raises EngineUnreachable."""
        ...

    async def forget(self, fault_id: str) -> None:
        """Give an outstanding fault up: what it changed stays. Raises NotFound."""
        ...

    async def candidates(self) -> tuple[Candidate, ...]:
        """The engine's containers, and why each may not be a target. Raises EngineUnreachable."""
        ...

    def tree(self) -> Snapshot:
        """The actors, as last published; never waits."""
        ...

    async def restart_actor(self, actor_id: str) -> None:
        """Stop and start one actor. Raises NotFound, Conflict."""
        ...

    async def reset_actor(self, actor_id: str) -> None:
        """Bring a quarantined actor back. Raises NotFound, Conflict when it is not quarantined."""
        ...

    def readiness(self) -> Readiness:
        """A fold of the tree and the actors' published states; never waits."""
        ...
