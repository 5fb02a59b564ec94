"""What a scenario says that is allowed and yet is probably a slip. Judges the typed scenario; looks at no file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coordinator.faults.http_call import HttpCall
from coordinator.hosts import host_of, is_loopback
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.probes import (
    GrpcHealthProbe,
    HttpProbe,
    Probe,
    PrometheusProbe,
    RedisProbe,
    SqlProbe,
    TcpProbe,
)

OWN: Final = "a loopback address, which in a container is the coordinator's own, unless it shares the host's network"
SHARED: Final = "a name on a network they share"


def slips(scenario: Scenario, unused: set[str]) -> Iterator[str]:
    """What is allowed and yet is probably a slip."""
    for name in sorted(unused):
        yield f"variable {name} is used nowhere"
    faults = [fault for phase in scenario.phases for fault in phase.faults]
    if not faults:
        yield "no phase has a fault: nothing will be injected"
    elif not scenario.steady_state and not any(phase.assertions for phase in scenario.phases):
        yield "nothing is asserted: this passes whatever happens"
    claims = [one.container for phase in scenario.phases for one in (*phase.assertions, phase.wait_until) if one]
    claims += [one.container for one in scenario.steady_state]
    aimed = {getattr(probe, "target", None) for probe in scenario.probes.values()}
    aimed |= {name for fault in faults for name in (*fault.aims(), *fault.peers())}
    aimed |= {claim.target for claim in claims if claim}
    for name in scenario.targets:
        if name not in aimed:
            yield f"target {name} is used nowhere"


def to_itself(scenario: Scenario) -> Iterator[str]:
    """What goes to a loopback address, which for a coordinator in a container is its own."""
    for name in loopback_probes(scenario):
        yield f"probe {name} looks at {OWN}: use `target:`, or {SHARED}"
    for phase in scenario.phases:
        for fault in phase.faults:
            if isinstance(fault, HttpCall) and any(_is_loopback(call.url) for call in (fault.inject, fault.undo)):
                where = f"{fault.type} on {fault.target} in phase {phase.name}"
                yield f"{where} calls {OWN}: use `port:` in place of `url:`, or {SHARED}"


def _is_loopback(url: str | None) -> bool:
    host = None if url is None else host_of(url)
    return host is not None and is_loopback(host)


def loopback_probes(scenario: Scenario) -> tuple[str, ...]:
    """The probes that look at a loopback address, which inside a container is the container itself."""
    hosts = {name: _host(probe) for name, probe in scenario.probes.items()}
    return tuple(name for name, host in hosts.items() if host is not None and is_loopback(host))


def _host(probe: Probe) -> str | None:
    """The host that a probe names; None where it names a target, or only a secret knows."""
    match probe:
        case HttpProbe(url=str(url)) | PrometheusProbe(url=url) | RedisProbe(url=url) | SqlProbe(dsn=str(url)):
            return host_of(url)
        case TcpProbe() | GrpcHealthProbe():
            return probe.host
        case _:
            return None
