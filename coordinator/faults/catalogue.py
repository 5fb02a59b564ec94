"""The explicit table of fault types, and what a person is told of each. What is not in it does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, JsonValue

from coordinator.errors import NotFound
from coordinator.faults.attachments import NetworkDisconnect
from coordinator.faults.blackhole import NetworkBlackhole
from coordinator.faults.clock import ClockSkew
from coordinator.faults.commentary import COMMENTS
from coordinator.faults.disk import DiskFill, DiskIoStress
from coordinator.faults.execute import ExecFault
from coordinator.faults.facts import Value
from coordinator.faults.http_call import HttpCall
from coordinator.faults.impairment import (
    NetworkBandwidth,
    NetworkCorruption,
    NetworkDuplication,
    NetworkLatency,
    NetworkLoss,
    NetworkReordering,
)
from coordinator.faults.lifecycle import ContainerCrash, ContainerKill, ContainerPause, ContainerRestart, ContainerStop
from coordinator.faults.limits import CpuLimit, MemoryLimit, PidExhaustion
from coordinator.faults.model import FaultSpec
from coordinator.faults.names import DnsFailure
from coordinator.faults.network import NetworkPartition
from coordinator.faults.processes import ProcessFreeze, ProcessKill
from coordinator.faults.stress import CpuStress, MemoryStress
from coordinator.quantities import (
    DURATION_PATTERN,
    OFFSET_PATTERN,
    PERCENT_PATTERN,
    RATE_PATTERN,
    SIZE_OR_SHARE_PATTERN,
    SIZE_PATTERN,
    show_duration,
)
from coordinator.record import FaultClass

Fault = (
    ContainerKill
    | ContainerCrash
    | ContainerStop
    | ContainerRestart
    | ContainerPause
    | ProcessKill
    | ProcessFreeze
    | ExecFault
    | NetworkDisconnect
    | NetworkPartition
    | NetworkBlackhole
    | NetworkLatency
    | NetworkLoss
    | NetworkDuplication
    | NetworkCorruption
    | NetworkReordering
    | NetworkBandwidth
    | DnsFailure
    | CpuStress
    | MemoryStress
    | DiskIoStress
    | CpuLimit
    | MemoryLimit
    | PidExhaustion
    | ClockSkew
    | DiskFill
    | HttpCall
)
AnyFault = Annotated[Fault, Field(discriminator="type")]

KINDS: Final[Mapping[str, type[FaultSpec]]] = {
    "container_kill": ContainerKill,
    "service_kill": ContainerKill,
    "container_crash": ContainerCrash,
    "container_stop": ContainerStop,
    "container_restart": ContainerRestart,
    "service_restart": ContainerRestart,
    "container_pause": ContainerPause,
    "process_kill": ProcessKill,
    "process_freeze": ProcessFreeze,
    "exec": ExecFault,
    "network_disconnect": NetworkDisconnect,
    "network_partition": NetworkPartition,
    "network_blackhole": NetworkBlackhole,
    "network_latency": NetworkLatency,
    "network_loss": NetworkLoss,
    "network_packet_loss": NetworkLoss,
    "network_duplication": NetworkDuplication,
    "network_corruption": NetworkCorruption,
    "network_reordering": NetworkReordering,
    "network_bandwidth": NetworkBandwidth,
    "dns_failure": DnsFailure,
    "cpu_stress": CpuStress,
    "memory_stress": MemoryStress,
    "disk_io_stress": DiskIoStress,
    "cpu_limit": CpuLimit,
    "memory_limit": MemoryLimit,
    "pid_exhaustion": PidExhaustion,
    "clock_skew": ClockSkew,
    "disk_fill": DiskFill,
    "http_call": HttpCall,
}
"""Every name a scenario may write under `type`, aliases included."""

EXAMPLES: Final[Mapping[type[FaultSpec], str]] = {
    ContainerKill: "{type: container_kill, target: replica, at: 1s}",
    ContainerCrash: "{type: container_crash, target: replica, at: 1s}",
    ContainerStop: "{type: container_stop, target: replica, at: 1s, for: 10s, grace: 3s}",
    ContainerRestart: "{type: container_restart, target: replica, at: 1s, grace: 3s}",
    ContainerPause: "{type: container_pause, target: replica, at: 1s, for: 5s}",
    ProcessKill: "{type: process_kill, target: replica, name: worker, signal: SIGTERM, at: 1s}",
    ProcessFreeze: "{type: process_freeze, target: replica, pattern: 'worker --queue [a-z]+', at: 1s, for: 5s}",
    ExecFault: "{type: exec, target: replica, command: [touch, /tmp/off], undo_command: [rm, -f, /tmp/off]}",
    NetworkDisconnect: "{type: network_disconnect, target: replica, network: shop_default, at: 1s, for: 5s}",
    NetworkPartition: "{type: network_partition, between: [replica, api], at: 1s, for: 5s}",
    NetworkBlackhole: "{type: network_blackhole, target: replica, ports: [5432], answer: tcp-reset, at: 1s, for: 5s}",
    NetworkLatency: "{type: network_latency, target: replica, latency: 100ms, jitter: 20ms, to: api, for: 5s}",
    NetworkLoss: "{type: network_loss, target: replica, percent: 10%, for: 5s}",
    NetworkDuplication: "{type: network_duplication, target: replica, percent: 5%, for: 5s}",
    NetworkCorruption: "{type: network_corruption, target: replica, percent: 1%, ports: [8000], for: 5s}",
    NetworkReordering: "{type: network_reordering, target: replica, percent: 25%, delay: 20ms, for: 5s}",
    NetworkBandwidth: "{type: network_bandwidth, target: replica, rate: 1mbit, to: api, for: 5s}",
    DnsFailure: "{type: dns_failure, target: replica, names: [db.shop, '*.example.com'], mode: nxdomain, for: 5s}",
    CpuStress: "{type: cpu_stress, target: replica, workers: 2, load: 80%, at: 1s, for: 10s}",
    MemoryStress: "{type: memory_stress, target: replica, size: 64m, at: 1s, for: 10s}",
    DiskIoStress: "{type: disk_io_stress, target: replica, workers: 2, path: /data, at: 1s, for: 10s}",
    CpuLimit: "{type: cpu_limit, target: replica, cpus: 0.2, at: 1s, for: 10s}",
    MemoryLimit: "{type: memory_limit, target: replica, limit: 64m, at: 1s, for: 10s}",
    DiskFill: "{type: disk_fill, target: replica, path: /data, percent: 95%, at: 1s, for: 10s}",
    PidExhaustion: "{type: pid_exhaustion, target: replica, leave: 5, at: 1s, for: 10s}",
    ClockSkew: "{type: clock_skew, target: replica, offset: -1h, at: 1s, for: 10s}",
    HttpCall: "{type: http_call, target: replica, inject: {port: 8000, path: /chaos, json: {errors: 30}},"
    " undo: {method: DELETE, port: 8000, path: /chaos}, at: 1s, for: 10s}",
}
"""One line for a scenario file, each as it is tested."""


class ParameterDoc(Value):
    """One parameter. `unit` is its form in a file (duration, text, …); `default` is None where it must be given."""

    name: str
    unit: str
    default: str | None
    meaning: str


class FaultDoc(Value):
    """One fault as the catalogue shows it. `undo` and `mechanism` are a few words; `needs` one line; `capabilities`
    are those of its helper; for `proof` and `elsewhere` see `Comment`.
    """

    name: str
    aliases: tuple[str, ...]
    summary: str
    parameters: tuple[ParameterDoc, ...]
    undo: str
    fault_class: FaultClass
    mechanism: str
    needs: str
    capabilities: tuple[str, ...]
    proof: str
    example: str
    elsewhere: str


def describe(fault_type: str) -> FaultDoc:
    """What there is to say of a fault, by its name or an alias. Raises NotFound with the nearest name."""
    kind = KINDS.get(fault_type)
    if kind is None:
        near = difflib.get_close_matches(fault_type, KINDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise NotFound(f"no fault type {fault_type!r}; there are: {', '.join(KINDS)}{hint}")
    name, *aliases = (alias for alias, each in KINDS.items() if each is kind)
    return FaultDoc(
        name=name,
        aliases=tuple(aliases),
        summary=kind.summary,
        parameters=_parameters(kind),
        undo=kind.undo_text,
        fault_class=kind.fault_class,
        mechanism=kind.mechanism,
        needs=kind.needs,
        capabilities=kind.capabilities,
        proof=COMMENTS[name].proof,
        example=EXAMPLES[kind],
        elsewhere=COMMENTS[name].elsewhere,
    )


def describe_all() -> tuple[FaultDoc, ...]:
    """Every fault once, in the order of the table."""
    return tuple(describe(name) for name in dict.fromkeys(describe(name).name for name in KINDS))


def _parameters(kind: type[FaultSpec]) -> tuple[ParameterDoc, ...]:
    """Its own parameters first, then those that every fault has."""
    schema = kind.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    common = {field.alias or name for name, field in FaultSpec.model_fields.items()}
    names = [name for name in schema["properties"] if name != "type"]
    docs = []
    for name in sorted(names, key=lambda name: name in common):
        field = schema["properties"][name]
        unit = _unit(field)
        default = None if name in required else _written(field.get("default"), unit)
        docs.append(ParameterDoc(name=name, unit=unit, default=default, meaning=field.get("description", "")))
    return tuple(docs)


def _unit(field: Mapping[str, JsonValue]) -> str:
    alternatives = field.get("anyOf")
    forms = alternatives if isinstance(alternatives, list) else [dict(field)]
    written = {
        DURATION_PATTERN: "duration", OFFSET_PATTERN: "duration",
        PERCENT_PATTERN: "percentage", SIZE_PATTERN: "size", RATE_PATTERN: "rate",
        SIZE_OR_SHARE_PATTERN: "size or percentage",
    }  # fmt: skip
    for form in forms:
        pattern = form.get("pattern") if isinstance(form, dict) else None
        if isinstance(pattern, str) and pattern in written:
            return written[pattern]
    if any(isinstance(form, dict) and "$ref" in form for form in forms):
        return "mapping"
    words = {"string": "text", "boolean": "true or false", "number": "number", "integer": "number"}
    plain = next((form for form in forms if isinstance(form, dict) and form.get("type") != "null"), {})
    if plain["type"] != "array":
        return words[str(plain["type"])]
    items = plain.get("items")
    return "list of numbers" if isinstance(items, dict) and items.get("type") == "integer" else "list of text"


def _written(value: JsonValue, unit: str) -> str:
    """A default as a file would write it."""
    if unit == "duration" and isinstance(value, float | int):
        return show_duration(float(value))
    if unit == "percentage" and value is not None:
        return f"{value}%".replace(".0%", "%")
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value in (None, [], "") else str(value)
