"""Finished executions, reports and plans as values, for tests of what shows them."""

from datetime import UTC, datetime, timedelta

from coordinator.record import (
    AssertionResult,
    EngineRef,
    Environment,
    Execution,
    ExecutionState,
    Fault,
    FaultClass,
    FaultState,
    ProbeProgress,
    Progress,
    Report,
    Sample,
    Series,
    TargetOutcome,
    TargetRef,
    TimelineEntry,
    UndoState,
    Verdict,
)
from coordinator.scenarios.plan import Plan

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
EXECUTION_ID = "11111111-2222-4333-8444-555555555555"
CONTAINER_ID = "c0ffee" * 10 + "c0ff"
INJECT = f"docker kill --signal SIGKILL {CONTAINER_ID}"
UNDO = f"docker start {CONTAINER_ID}"
ENVIRONMENT = Environment(
    service="test-coordinator", instance="chaos-1", version="1.2.3", environment="testing",
    engine=EngineRef(id="ENGINE", version="29.1.0", operating_system="Debian", kernel="6.1"),
)  # fmt: skip


def after(seconds: float) -> datetime:
    """A moment of the execution."""
    return BEGIN + timedelta(seconds=seconds)


def fault(state: FaultState = FaultState.UNDONE) -> Fault:
    """A kill of one container, due at 4 s, seen 120 ms later, undone at 14 s."""
    undone = after(14) if state is FaultState.UNDONE else None
    return Fault(
        id="f-1", execution_id=EXECUTION_ID, phase="outage", type="container_kill", target="replica",
        fault_class=FaultClass.JOURNAL, mechanism="docker kill", state=state, due_at=after(4), armed_at=after(3.5),
        fired_at=after(4), undone_at=undone, inject_commands=(INJECT,), undo_commands=(UNDO,),
        targets=(
            TargetOutcome(
                container_id=CONTAINER_ID, name="web-1", effective_at=after(4.12), undone_at=undone, outcome="killed"
            ),
        ),
    )  # fmt: skip


TIMELINE = (
    TimelineEntry(at=after(3), offset_s=3.0, phase="outage", event="phase_started"),
    TimelineEntry(at=after(4.12), offset_s=4.12, phase="outage", event="fault_effective", fault="f-1", target="web-1"),
    TimelineEntry(at=after(14), offset_s=14.0, phase="outage", event="fault_undone", fault="f-1", target="web-1"),
    TimelineEntry(at=after(16), offset_s=16.0, event="finished", text="passed"),
)


def execution(
    state: ExecutionState = ExecutionState.FINISHED,
    verdict: Verdict | None = Verdict.PASSED,
    undo: UndoState = UndoState.COMPLETE,
    *,
    fault_state: FaultState = FaultState.UNDONE,
    events: int = len(TIMELINE),
    reason: str | None = None,
) -> Execution:
    """An execution of one fault and one probe, as far as `events` of its timeline."""
    finished = state is ExecutionState.FINISHED
    probe = ProbeProgress(good=90, bad=3, late=1, rate=9.8, last_error="connection refused")
    progress = Progress(
        phase="outage", remaining_s=7.0, active_faults=("container_kill replica",), probes={"api": probe}
    )
    claims = (
        AssertionResult(
            phase="outage", on="api", metric="availability", expected=">= 90%", actual="96.8%", passed=True
        ),
        AssertionResult(
            phase="recovery", on="api", metric="recovers_within", expected="<= 20s", actual="1.3s",
            passed=verdict is not Verdict.FAILED,
        ),
    )  # fmt: skip
    return Execution(
        id=EXECUTION_ID, scenario="kill-one-replica", state=state, verdict=verdict if finished else None, reason=reason,
        phase=None if finished else "outage", undo=undo, seed=7, plan_hash="abc123", variables={"service": "web"},
        environment=ENVIRONMENT, created_at=BEGIN, started_at=BEGIN, finished_at=after(16) if finished else None,
        targets={"replica": (TargetRef(id=CONTAINER_ID, name="web-1"),)}, faults=(fault(fault_state),),
        assertions=claims if finished else (), timeline=TIMELINE[:events], progress=None if finished else progress,
    )  # fmt: skip


def queued() -> Execution:
    """An execution that has just been accepted."""
    return Execution(
        id=EXECUTION_ID, scenario="kill-one-replica", state=ExecutionState.QUEUED, seed=7, created_at=BEGIN
    )


def report(played: Execution, left_broken: tuple[str, ...] = ()) -> Report:
    """A report with three bad samples in a row among good ones."""
    samples = tuple(
        Sample(float(index), not 4 <= index <= 6, None if 4 <= index <= 6 else 0.01 * (index + 1), 200.0)
        for index in range(16)
    )
    return Report(execution=played, probes={"api": Series(probe="api", samples=samples)}, left_broken=left_broken)


def plan(refusals: tuple[str, ...] = ()) -> Plan:
    """A plan that does nothing."""
    return Plan(
        scenario="kill-one-replica", seed=7, hash="abc123", variables={"service": "web"}, targets={}, left_out=(),
        faults=(), refusals=refusals, warnings=(), estimated_undo_s=0.2,
    )  # fmt: skip
