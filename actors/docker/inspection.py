"""What the engine's JSON says, as facts: pure translation of inspect, info and event objects. Asks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    Mount,
    NetworkAttachment,
    PublishedPort,
)

Json = Mapping[str, Any]
"""An object of the engine's API. It never leaves this package."""

NEVER: Final = "0001-01-01T00:00:00Z"
SHORT_ID: Final = 12
CPU_PERIOD_US: Final = 100_000
"""Of the kernel, where the engine names none."""


def container_facts(inspected: Json) -> ContainerFacts:
    """One container from `GET /containers/{id}/json`. Times stay the engine's own text: they are identity."""
    state, config, host = inspected["State"], inspected["Config"], inspected["HostConfig"]
    status = ContainerState(state["Status"])
    down = status in {ContainerState.EXITED, ContainerState.DEAD}
    networks = inspected["NetworkSettings"]["Networks"] or {}
    return ContainerFacts(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        image=config["Image"],
        labels=config.get("Labels") or {},
        state=status,
        started_at=_time(state["StartedAt"]),
        finished_at=_time(state["FinishedAt"]),
        exit_code=state["ExitCode"] if down else None,
        out_of_memory=down and state.get("OOMKilled", False),
        lost=bool(state.get("Error")),
        health=(state.get("Health") or {}).get("Status", ""),
        restart_count=inspected.get("RestartCount", 0),
        restart_policy=(host.get("RestartPolicy") or {}).get("Name", ""),
        pid=state["Pid"],
        hostname=config.get("Hostname", ""),
        network_mode=host.get("NetworkMode", ""),
        networks=tuple(_attachment(name, network, inspected["Id"]) for name, network in sorted(networks.items())),
        ports=_ports(inspected["NetworkSettings"].get("Ports") or {}),
        layer=((inspected.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir", ""),
        mounts=tuple(
            _mount(mount)
            for mount in sorted(inspected.get("Mounts") or (), key=lambda mount: str(mount["Destination"]))
        ),
        cpus=_cpus(host),
        memory=max(0, host.get("Memory") or 0),
    )


def engine_info(info: Json, endpoint: str, api_version: str) -> EngineInfo:
    """The engine from `GET /info`."""
    return EngineInfo(
        id=info["ID"],
        endpoint=endpoint,
        version=info["ServerVersion"],
        api_version=api_version,
        operating_system=info.get("OperatingSystem", ""),
        kernel=info.get("KernelVersion", ""),
        cgroup_version=info.get("CgroupVersion", ""),
        cgroup_driver=info.get("CgroupDriver", ""),
        cpus=info.get("NCPU", 0),
        memory=info.get("MemTotal", 0),
        time=info.get("SystemTime", ""),
    )


def engine_event(event: Json) -> EngineEvent:
    """One event; a network's names the container it is about, and the network as `name`."""
    attributes = event["Actor"].get("Attributes") or {}
    of_container = event["Type"] == "container"
    exit_code = attributes.get("exitCode") if of_container else None
    return EngineEvent(
        at=event["timeNano"] / 1e9,
        type=event["Type"],
        action=event["Action"],
        container_id=event["Actor"]["ID"] if of_container else attributes.get("container", ""),
        name=attributes.get("name", ""),
        signal=attributes.get("signal", "") if of_container else "",
        exit_code=int(exit_code) if exit_code is not None else None,
    )


def _mount(mount: Json) -> Mount:
    if mount["Type"] == "tmpfs":
        return Mount(path=mount["Destination"], in_memory=True)
    return Mount(path=mount["Destination"], source=mount.get("Source", ""))


def _cpus(host: Json) -> float:
    """`--cpus`, or `--cpu-quota` of `--cpu-period`."""
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    return max(0.0, float(host.get("CpuQuota") or 0)) / float(host.get("CpuPeriod") or CPU_PERIOD_US)


def _time(text: str) -> str:
    return "" if text == NEVER else text


def _attachment(name: str, network: Json, container_id: str) -> NetworkAttachment:
    # The engine adds the container's short id as an alias of its own; giving it back would be refused or doubled.
    aliases = (alias for alias in network.get("Aliases") or () if alias != container_id[:SHORT_ID])
    wanted = network.get("IPAMConfig") or {}
    return NetworkAttachment(
        name=name,
        network_id=network.get("NetworkID", ""),
        ip=network.get("IPAddress", ""),
        ipv6=network.get("GlobalIPv6Address", ""),
        mac=network.get("MacAddress", ""),
        aliases=tuple(aliases),
        wanted_ip=wanted.get("IPv4Address", ""),
        wanted_ipv6=wanted.get("IPv6Address", ""),
    )


def _ports(ports: Mapping[str, Sequence[Mapping[str, str]] | None]) -> tuple[PublishedPort, ...]:
    found = []
    for exposed, bindings in sorted(ports.items()):
        number, _, protocol = exposed.partition("/")
        if not bindings:
            found.append(PublishedPort(container_port=int(number), protocol=protocol or "tcp"))
        found.extend(
            PublishedPort(
                container_port=int(number),
                protocol=protocol or "tcp",
                host_ip=binding.get("HostIp", ""),
                host_port=int(binding.get("HostPort") or 0),
            )
            for binding in bindings or ()
        )
    return tuple(found)
