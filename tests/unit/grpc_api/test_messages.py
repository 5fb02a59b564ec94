from datetime import UTC, datetime

from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2 as pb
from actors.grpc_api.messages import STATES, execution_of
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
    TargetOutcome,
    TargetRef,
    TimelineEntry,
    UndoState,
    Verdict,
)

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FAULT = Fault(
    id="f", execution_id="e", phase="outage", type="container_pause", target="web", fault_class=FaultClass.JOURNAL,
    mechanism="docker pause", state=FaultState.UNDONE, due_at=AT, armed_at=AT, fired_at=AT, undone_at=AT,
    targets=(
        TargetOutcome(
            container_id="c", name="web-1", effective_at=AT, undone_at=AT, outcome="paused", packets=9, disturbed=3
        ),
    ),
    inject_commands=("docker pause web-1",), undo_commands=("docker unpause web-1",),
)  # fmt: skip
FULL = Execution(
    id="e", scenario="s", state=ExecutionState.FINISHED, phase="outage", verdict=Verdict.PASSED, reason="done",
    undo=UndoState.COMPLETE, seed=-3, plan_hash="h", variables={"a": "b"}, created_at=AT, started_at=AT, finished_at=AT,
    targets={"web": (TargetRef(id="c", name="web-1"),)}, faults=(FAULT,),
    assertions=(AssertionResult(phase="p", on="api", metric="availability", expected="1", actual="1", passed=True),),
    timeline=(TimelineEntry(at=AT, offset_s=0.5, event="x", phase="p", fault="f", target="web", text="t"),),
    progress=Progress(
        phase="p", remaining_s=1.5, active_faults=("f",),
        probes={"api": ProbeProgress(good=1, bad=2, late=3, rate=4.5, last_error="late")},
    ),
    environment=Environment(
        service="s", instance="i", version="1", environment="testing",
        engine=EngineRef(id="e", version="29", operating_system="Debian", kernel="6.1"),
    ),
)  # fmt: skip


def test_nothing_is_lost() -> None:
    """Every field of the record has its place in the message, and every field of the message is filled."""
    empty: list[str] = []

    def walk(message: object, path: str) -> None:
        for field in message.DESCRIPTOR.fields:  # type: ignore[attr-defined]  # any message
            value = getattr(message, field.name)
            if not value:
                empty.append(f"{path}.{field.name}")
            if field.message_type is None or field.message_type.name == "Timestamp":
                continue
            for part in list(value.values()) if hasattr(value, "values") else value if field.is_repeated else [value]:
                if hasattr(part, "DESCRIPTOR"):
                    walk(part, f"{path}.{field.name}")

    walk(execution_of(FULL), "execution")
    assert empty == []
    assert {field.name for field in pb.Execution.DESCRIPTOR.fields} == set(Execution.model_fields)
    assert {field.name for field in pb.Fault.DESCRIPTOR.fields} == set(Fault.model_fields)
    assert {field.name for field in pb.TargetOutcome.DESCRIPTOR.fields} == set(TargetOutcome.model_fields)
    assert {field.name for field in pb.TimelineEntry.DESCRIPTOR.fields} == set(TimelineEntry.model_fields)


def test_every_word_has_a_number() -> None:
    """Each state, verdict and class of the record is a value of its enum, and none is the unspecified one."""
    words = {
        "EXECUTION_STATE": (pb.ExecutionState, ExecutionState), "VERDICT": (pb.Verdict, Verdict),
        "UNDO_STATE": (pb.UndoState, UndoState), "FAULT_STATE": (pb.FaultState, FaultState),
        "FAULT_CLASS": (pb.FaultClass, FaultClass),
    }  # fmt: skip
    for prefix, (numbers, enum) in words.items():
        assert set(numbers.keys()) == {f"{prefix}_{one.name}" for one in enum} | {f"{prefix}_UNSPECIFIED"}
    assert set(STATES.values()) == set(ExecutionState)


def test_what_is_not_known_yet_is_not_set() -> None:
    """A queued execution has neither start nor end nor verdict, and empty texts are told from missing ones."""
    queued = execution_of(
        Execution(id="e", scenario="s", state=ExecutionState.QUEUED, seed=1, created_at=AT, reason="")
    )
    assert not queued.HasField("started_at")
    assert not queued.HasField("progress")
    assert not queued.HasField("phase")
    assert queued.HasField("reason")
    assert queued.verdict == pb.VERDICT_UNSPECIFIED
