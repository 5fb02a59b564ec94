"""What is remembered of an execution: the shapes of the API, the reports and the ledger. Decides nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import ConfigDict, Field, PlainSerializer, WithJsonSchema

from coordinator.faults.facts import Value
from coordinator.faults.looks import Undo


def stamp(at: datetime) -> str:
    """`2026-01-02T03:04:05.678Z`, the one format of times on every interface."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    datetime,
    PlainSerializer(stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


LEDGER_RENEWED: Final = "the ledger was damaged"
SCAN_OWED: Final = "the engine is not scanned yet"
"""How the degradation of a ledger begins that lost what it knew, and works."""


class ExecutionState(StrEnum):
    """Where an execution is."""

    QUEUED = "queued"
    PREPARING = "preparing"
    STEADY_STATE = "steady_state"
    RUNNING = "running"
    UNDOING = "undoing"
    FINISHED = "finished"


UNFINISHED: Final = frozenset(ExecutionState) - {ExecutionState.FINISHED}
"""The states of executions that wait for their verdict."""


class Verdict(StrEnum):
    """How an execution ended, strongest first."""

    ERROR = "error"
    ABORTED = "aborted"
    NOT_INJECTED = "not_injected"
    FAILED = "failed"
    PASSED = "passed"


class UndoState(StrEnum):
    """Whether what an execution changed is put back."""

    NONE = "none"
    PENDING = "pending"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


class FaultState(StrEnum):
    """Where a fault is."""

    ARMED = "armed"
    FIRED = "fired"
    ACTIVE = "active"
    UNDOING = "undoing"
    UNDONE = "undone"
    NOT_INJECTED = "not_injected"
    STUCK = "stuck"


ENDED = frozenset({FaultState.UNDONE, FaultState.NOT_INJECTED})
"""The states in which a fault owes nothing any more."""


class FaultClass(StrEnum):
    """A lease ends by itself at its deadline; a journal fault is undone by scope, warden, next start or `recover`."""

    LEASE = "lease"
    JOURNAL = "journal"


class TargetOutcome(Value):
    """What became of one target of a fault. `outcome` is a word or a short sentence for a person."""

    container_id: str
    name: str
    effective_at: Timestamp | None = None
    undone_at: Timestamp | None = None
    outcome: str = ""
    packets: int | None = None
    """How many a fault of the network was about while it was on; None where nobody counted."""
    disturbed: int | None = None
    """To how many of them something was done; None where that is not counted beside."""


class Fault(Value):
    """A fault as the API shows it."""

    id: str
    execution_id: str
    phase: str
    type: str
    target: str
    fault_class: FaultClass = Field(alias="class", serialization_alias="class")
    mechanism: str
    state: FaultState
    due_at: Timestamp | None = None
    armed_at: Timestamp | None = None
    fired_at: Timestamp | None = None
    undone_at: Timestamp | None = None
    targets: tuple[TargetOutcome, ...] = ()
    inject_commands: tuple[str, ...] = ()
    undo_commands: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FaultRow(Value):
    """A fault as the ledger keeps it: all that recovery needs, with nothing of the scenario."""

    fault: Fault
    engine_id: str
    task: str
    """The serialized Eliot task id that recovery and undo continue."""
    undos: tuple[Undo, ...] = ()
    pre_states: dict[str, str] = {}
    """Container id to the state it was in before, as `running`."""
    attempts: int = 0
    attempted: tuple[str, ...] = ()
    """Ids of the containers an undo command was run for: a later run of theirs may be our own doing."""
    unsettled: tuple[str, ...] = ()
    """Ids of the containers whose next run it was put on, and where that was not seen yet: it may still come about."""
    last_error: str = ""
    """Why it is not undone; on a row that owes nothing any more: why it was given up."""

    @property
    def outstanding(self) -> bool:
        """Whether something may still have to be put back."""
        return self.fault.state not in ENDED

    @property
    def left(self) -> tuple[str, ...]:
        """The commands that would put back what is not, last injected first."""
        put_back = {target.container_id for target in self.fault.targets if target.undone_at is not None}
        owed = [undo for undo in reversed(self.undos) if undo.container_id not in put_back]
        return tuple(command for undo in owed for command in undo.shown())


class TargetRef(Value):
    """A resolved target."""

    id: str
    name: str


class AssertionResult(Value):
    """One judged assertion. `on` names the probe or target; `metric` what was measured."""

    phase: str
    on: str
    metric: str
    expected: str
    actual: str
    passed: bool


class TimelineEntry(Value):
    """Something that happened. `offset_s` counts from the execution's start."""

    at: Timestamp
    offset_s: float
    event: str
    phase: str | None = None
    fault: str | None = None
    target: str | None = None
    text: str = ""


class ProbeProgress(Value):
    """How a probe fares right now. `rate` is samples per second over the last few seconds."""

    good: int
    bad: int
    late: int
    rate: float
    last_error: str = ""


class Progress(Value):
    """What a person watching wants to know; null when the execution is finished."""

    phase: str | None = None
    remaining_s: float | None = None
    active_faults: tuple[str, ...] = ()
    probes: dict[str, ProbeProgress] = {}


class EngineRef(Value):
    """The engine an execution was played on."""

    id: str
    version: str
    operating_system: str = ""
    kernel: str = ""


class Environment(Value):
    """Which coordinator played an execution, and on which engine; None while that was not asked yet."""

    service: str
    instance: str
    version: str
    environment: str
    engine: EngineRef | None = None


class Execution(Value):
    """One run of a scenario."""

    id: str
    scenario: str
    state: ExecutionState
    phase: str | None = None
    verdict: Verdict | None = None
    reason: str | None = None
    undo: UndoState = UndoState.NONE
    seed: int
    plan_hash: str | None = None
    variables: dict[str, str] = {}
    created_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    environment: Environment | None = None
    """None in records of coordinators that did not keep it."""
    targets: dict[str, tuple[TargetRef, ...]] = {}
    faults: tuple[Fault, ...] = ()
    assertions: tuple[AssertionResult, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    progress: Progress | None = None


class Submission(Value):
    """What an execution was accepted with: enough to run it again. Kept beside the execution, not shown by the API."""

    source: str
    """The scenario's text, YAML or JSON."""
    file: str = "<scenario>"
    variables: dict[str, str] = {}
    seed: int | None = None
    expect_plan: str | None = None


class Reading(Value):
    """One look of a probe. `latency_s` is None when no answer came; `value` is what was read, for value assertions."""

    ok: bool
    latency_s: float | None = None
    value: float | str | None = None
    error: str = ""


class Sample(NamedTuple):
    """A reading with its place: `offset_s` is when it was due, from the execution's start. Missed ones are not ok."""

    offset_s: float
    ok: bool
    latency_s: float | None = None
    value: float | str | None = None


class Series(Value):
    """A probe's samples, or a part of them, in order."""

    probe: str
    samples: tuple[Sample, ...] = ()


class Report(Value):
    """An execution with all its samples, as `report --format json` prints it."""

    execution: Execution
    probes: dict[str, Series] = {}
    left_broken: tuple[str, ...] = ()
    """Commands for a person to run; empty when everything was put back."""
