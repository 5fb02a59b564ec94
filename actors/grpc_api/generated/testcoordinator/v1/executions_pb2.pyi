import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATE_UNSPECIFIED: _ClassVar[ExecutionState]
    EXECUTION_STATE_QUEUED: _ClassVar[ExecutionState]
    EXECUTION_STATE_PREPARING: _ClassVar[ExecutionState]
    EXECUTION_STATE_STEADY_STATE: _ClassVar[ExecutionState]
    EXECUTION_STATE_RUNNING: _ClassVar[ExecutionState]
    EXECUTION_STATE_UNDOING: _ClassVar[ExecutionState]
    EXECUTION_STATE_FINISHED: _ClassVar[ExecutionState]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_ERROR: _ClassVar[Verdict]
    VERDICT_ABORTED: _ClassVar[Verdict]
    VERDICT_NOT_INJECTED: _ClassVar[Verdict]
    VERDICT_FAILED: _ClassVar[Verdict]
    VERDICT_PASSED: _ClassVar[Verdict]

class UndoState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNDO_STATE_UNSPECIFIED: _ClassVar[UndoState]
    UNDO_STATE_NONE: _ClassVar[UndoState]
    UNDO_STATE_PENDING: _ClassVar[UndoState]
    UNDO_STATE_COMPLETE: _ClassVar[UndoState]
    UNDO_STATE_INCOMPLETE: _ClassVar[UndoState]

class FaultState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_STATE_UNSPECIFIED: _ClassVar[FaultState]
    FAULT_STATE_ARMED: _ClassVar[FaultState]
    FAULT_STATE_FIRED: _ClassVar[FaultState]
    FAULT_STATE_ACTIVE: _ClassVar[FaultState]
    FAULT_STATE_UNDOING: _ClassVar[FaultState]
    FAULT_STATE_UNDONE: _ClassVar[FaultState]
    FAULT_STATE_NOT_INJECTED: _ClassVar[FaultState]
    FAULT_STATE_STUCK: _ClassVar[FaultState]

class FaultClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_CLASS_UNSPECIFIED: _ClassVar[FaultClass]
    FAULT_CLASS_LEASE: _ClassVar[FaultClass]
    FAULT_CLASS_JOURNAL: _ClassVar[FaultClass]
EXECUTION_STATE_UNSPECIFIED: ExecutionState
EXECUTION_STATE_QUEUED: ExecutionState
EXECUTION_STATE_PREPARING: ExecutionState
EXECUTION_STATE_STEADY_STATE: ExecutionState
EXECUTION_STATE_RUNNING: ExecutionState
EXECUTION_STATE_UNDOING: ExecutionState
EXECUTION_STATE_FINISHED: ExecutionState
VERDICT_UNSPECIFIED: Verdict
VERDICT_ERROR: Verdict
VERDICT_ABORTED: Verdict
VERDICT_NOT_INJECTED: Verdict
VERDICT_FAILED: Verdict
VERDICT_PASSED: Verdict
UNDO_STATE_UNSPECIFIED: UndoState
UNDO_STATE_NONE: UndoState
UNDO_STATE_PENDING: UndoState
UNDO_STATE_COMPLETE: UndoState
UNDO_STATE_INCOMPLETE: UndoState
FAULT_STATE_UNSPECIFIED: FaultState
FAULT_STATE_ARMED: FaultState
FAULT_STATE_FIRED: FaultState
FAULT_STATE_ACTIVE: FaultState
FAULT_STATE_UNDOING: FaultState
FAULT_STATE_UNDONE: FaultState
FAULT_STATE_NOT_INJECTED: FaultState
FAULT_STATE_STUCK: FaultState
FAULT_CLASS_UNSPECIFIED: FaultClass
FAULT_CLASS_LEASE: FaultClass
FAULT_CLASS_JOURNAL: FaultClass

class StartExecutionRequest(_message.Message):
    __slots__ = ("scenario", "yaml", "variables", "seed", "expect_plan", "idempotency_key")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EXPECT_PLAN_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    scenario: str
    yaml: str
    variables: _containers.ScalarMap[str, str]
    seed: int
    expect_plan: str
    idempotency_key: str
    def __init__(self, scenario: _Optional[str] = ..., yaml: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., seed: _Optional[int] = ..., expect_plan: _Optional[str] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class GetExecutionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListExecutionsRequest(_message.Message):
    __slots__ = ("states", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[ExecutionState]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[ExecutionState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutionsResponse(_message.Message):
    __slots__ = ("executions", "next_page_token")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[Execution]
    next_page_token: str
    def __init__(self, executions: _Optional[_Iterable[_Union[Execution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StopExecutionRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class WatchExecutionRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    after: int
    def __init__(self, id: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class WatchExecutionResponse(_message.Message):
    __slots__ = ("event", "finished")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    event: Event
    finished: Execution
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., finished: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("place", "entry")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    place: int
    entry: TimelineEntry
    def __init__(self, place: _Optional[int] = ..., entry: _Optional[_Union[TimelineEntry, _Mapping]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("id", "scenario", "state", "phase", "verdict", "reason", "undo", "seed", "plan_hash", "variables", "created_at", "started_at", "finished_at", "targets", "faults", "assertions", "timeline", "progress", "environment")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class TargetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Targets
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Targets, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PLAN_HASH_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    ASSERTIONS_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    scenario: str
    state: ExecutionState
    phase: str
    verdict: Verdict
    reason: str
    undo: UndoState
    seed: int
    plan_hash: str
    variables: _containers.ScalarMap[str, str]
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    targets: _containers.MessageMap[str, Targets]
    faults: _containers.RepeatedCompositeFieldContainer[Fault]
    assertions: _containers.RepeatedCompositeFieldContainer[AssertionResult]
    timeline: _containers.RepeatedCompositeFieldContainer[TimelineEntry]
    progress: Progress
    environment: Environment
    def __init__(self, id: _Optional[str] = ..., scenario: _Optional[str] = ..., state: _Optional[_Union[ExecutionState, str]] = ..., phase: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., reason: _Optional[str] = ..., undo: _Optional[_Union[UndoState, str]] = ..., seed: _Optional[int] = ..., plan_hash: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., targets: _Optional[_Mapping[str, Targets]] = ..., faults: _Optional[_Iterable[_Union[Fault, _Mapping]]] = ..., assertions: _Optional[_Iterable[_Union[AssertionResult, _Mapping]]] = ..., timeline: _Optional[_Iterable[_Union[TimelineEntry, _Mapping]]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., environment: _Optional[_Union[Environment, _Mapping]] = ...) -> None: ...

class Environment(_message.Message):
    __slots__ = ("service", "instance", "version", "environment", "engine")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance: str
    version: str
    environment: str
    engine: Engine
    def __init__(self, service: _Optional[str] = ..., instance: _Optional[str] = ..., version: _Optional[str] = ..., environment: _Optional[str] = ..., engine: _Optional[_Union[Engine, _Mapping]] = ...) -> None: ...

class Engine(_message.Message):
    __slots__ = ("id", "version", "operating_system", "kernel")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OPERATING_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    operating_system: str
    kernel: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., operating_system: _Optional[str] = ..., kernel: _Optional[str] = ...) -> None: ...

class Targets(_message.Message):
    __slots__ = ("containers",)
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    containers: _containers.RepeatedCompositeFieldContainer[Target]
    def __init__(self, containers: _Optional[_Iterable[_Union[Target, _Mapping]]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("id", "name")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Fault(_message.Message):
    __slots__ = ("id", "execution_id", "phase", "type", "target", "fault_class", "mechanism", "state", "due_at", "armed_at", "fired_at", "undone_at", "targets", "undo_commands", "inject_commands")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FAULT_CLASS_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    ARMED_AT_FIELD_NUMBER: _ClassVar[int]
    FIRED_AT_FIELD_NUMBER: _ClassVar[int]
    UNDONE_AT_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    UNDO_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    INJECT_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    execution_id: str
    phase: str
    type: str
    target: str
    fault_class: FaultClass
    mechanism: str
    state: FaultState
    due_at: _timestamp_pb2.Timestamp
    armed_at: _timestamp_pb2.Timestamp
    fired_at: _timestamp_pb2.Timestamp
    undone_at: _timestamp_pb2.Timestamp
    targets: _containers.RepeatedCompositeFieldContainer[TargetOutcome]
    undo_commands: _containers.RepeatedScalarFieldContainer[str]
    inject_commands: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., execution_id: _Optional[str] = ..., phase: _Optional[str] = ..., type: _Optional[str] = ..., target: _Optional[str] = ..., fault_class: _Optional[_Union[FaultClass, str]] = ..., mechanism: _Optional[str] = ..., state: _Optional[_Union[FaultState, str]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., armed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fired_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., undone_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., targets: _Optional[_Iterable[_Union[TargetOutcome, _Mapping]]] = ..., undo_commands: _Optional[_Iterable[str]] = ..., inject_commands: _Optional[_Iterable[str]] = ...) -> None: ...

class TargetOutcome(_message.Message):
    __slots__ = ("container_id", "name", "effective_at", "undone_at", "outcome", "packets", "disturbed")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_AT_FIELD_NUMBER: _ClassVar[int]
    UNDONE_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PACKETS_FIELD_NUMBER: _ClassVar[int]
    DISTURBED_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    name: str
    effective_at: _timestamp_pb2.Timestamp
    undone_at: _timestamp_pb2.Timestamp
    outcome: str
    packets: int
    disturbed: int
    def __init__(self, container_id: _Optional[str] = ..., name: _Optional[str] = ..., effective_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., undone_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., outcome: _Optional[str] = ..., packets: _Optional[int] = ..., disturbed: _Optional[int] = ...) -> None: ...

class AssertionResult(_message.Message):
    __slots__ = ("phase", "on", "metric", "expected", "actual", "passed")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    phase: str
    on: str
    metric: str
    expected: str
    actual: str
    passed: bool
    def __init__(self, phase: _Optional[str] = ..., on: _Optional[str] = ..., metric: _Optional[str] = ..., expected: _Optional[str] = ..., actual: _Optional[str] = ..., passed: _Optional[bool] = ...) -> None: ...

class TimelineEntry(_message.Message):
    __slots__ = ("at", "offset_s", "event", "phase", "fault", "target", "text")
    AT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_S_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    offset_s: float
    event: str
    phase: str
    fault: str
    target: str
    text: str
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offset_s: _Optional[float] = ..., event: _Optional[str] = ..., phase: _Optional[str] = ..., fault: _Optional[str] = ..., target: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("phase", "remaining_s", "active_faults", "probes")
    class ProbesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ProbeProgress
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProbeProgress, _Mapping]] = ...) -> None: ...
    PHASE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_S_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FAULTS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    phase: str
    remaining_s: float
    active_faults: _containers.RepeatedScalarFieldContainer[str]
    probes: _containers.MessageMap[str, ProbeProgress]
    def __init__(self, phase: _Optional[str] = ..., remaining_s: _Optional[float] = ..., active_faults: _Optional[_Iterable[str]] = ..., probes: _Optional[_Mapping[str, ProbeProgress]] = ...) -> None: ...

class ProbeProgress(_message.Message):
    __slots__ = ("good", "bad", "late", "rate", "last_error")
    GOOD_FIELD_NUMBER: _ClassVar[int]
    BAD_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    good: int
    bad: int
    late: int
    rate: float
    last_error: str
    def __init__(self, good: _Optional[int] = ..., bad: _Optional[int] = ..., late: _Optional[int] = ..., rate: _Optional[float] = ..., last_error: _Optional[str] = ...) -> None: ...
