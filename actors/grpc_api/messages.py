"""Records as protobuf messages. Pure; every field of a message is filled here."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2 as pb
from coordinator.record import (
    AssertionResult,
    Environment,
    Execution,
    ExecutionState,
    Fault,
    Progress,
    TargetOutcome,
    TimelineEntry,
)

STATES: Final = {pb.ExecutionState.Value(f"EXECUTION_STATE_{state.name}"): state for state in ExecutionState}
"""States by their number on the wire."""


def execution_of(execution: Execution) -> pb.Execution:
    """An execution."""
    return pb.Execution(
        id=execution.id,
        scenario=execution.scenario,
        state=f"EXECUTION_STATE_{execution.state.name}",
        phase=execution.phase,
        verdict=f"VERDICT_{execution.verdict.name}" if execution.verdict is not None else None,
        reason=execution.reason,
        undo=f"UNDO_STATE_{execution.undo.name}",
        seed=execution.seed,
        plan_hash=execution.plan_hash,
        variables=execution.variables,
        created_at=_time(execution.created_at),
        started_at=_time(execution.started_at),
        finished_at=_time(execution.finished_at),
        targets={
            name: pb.Targets(containers=[pb.Target(id=one.id, name=one.name) for one in containers])
            for name, containers in execution.targets.items()
        },
        faults=[_fault(fault) for fault in execution.faults],
        assertions=[_assertion(result) for result in execution.assertions],
        timeline=[entry_of(entry) for entry in execution.timeline],
        progress=_progress(execution.progress) if execution.progress is not None else None,
        environment=_environment(execution.environment) if execution.environment is not None else None,
    )


def entry_of(entry: TimelineEntry) -> pb.TimelineEntry:
    """An entry of a timeline."""
    return pb.TimelineEntry(
        at=_time(entry.at),
        offset_s=entry.offset_s,
        event=entry.event,
        phase=entry.phase,
        fault=entry.fault,
        target=entry.target,
        text=entry.text,
    )


def _fault(fault: Fault) -> pb.Fault:
    return pb.Fault(
        id=fault.id,
        execution_id=fault.execution_id,
        phase=fault.phase,
        type=fault.type,
        target=fault.target,
        fault_class=f"FAULT_CLASS_{fault.fault_class.name}",
        mechanism=fault.mechanism,
        state=f"FAULT_STATE_{fault.state.name}",
        due_at=_time(fault.due_at),
        armed_at=_time(fault.armed_at),
        fired_at=_time(fault.fired_at),
        undone_at=_time(fault.undone_at),
        targets=[_outcome(target) for target in fault.targets],
        undo_commands=fault.undo_commands,
        inject_commands=fault.inject_commands,
    )


def _environment(environment: Environment) -> pb.Environment:
    engine = environment.engine
    return pb.Environment(
        service=environment.service,
        instance=environment.instance,
        version=environment.version,
        environment=environment.environment,
        engine=None
        if engine is None
        else pb.Engine(
            id=engine.id, version=engine.version, operating_system=engine.operating_system, kernel=engine.kernel
        ),
    )


def _outcome(target: TargetOutcome) -> pb.TargetOutcome:
    return pb.TargetOutcome(
        container_id=target.container_id,
        name=target.name,
        effective_at=_time(target.effective_at),
        undone_at=_time(target.undone_at),
        outcome=target.outcome,
        packets=target.packets,
        disturbed=target.disturbed,
    )


def _assertion(result: AssertionResult) -> pb.AssertionResult:
    return pb.AssertionResult(
        phase=result.phase,
        on=result.on,
        metric=result.metric,
        expected=result.expected,
        actual=result.actual,
        passed=result.passed,
    )


def _progress(progress: Progress) -> pb.Progress:
    probes = {
        name: pb.ProbeProgress(
            good=probe.good, bad=probe.bad, late=probe.late, rate=probe.rate, last_error=probe.last_error
        )
        for name, probe in progress.probes.items()
    }
    return pb.Progress(
        phase=progress.phase,
        remaining_s=progress.remaining_s,
        active_faults=progress.active_faults,
        probes=probes,
    )


def _time(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
