"""What a scenario says that is allowed and yet is probably a slip. Judges the typed scenario; looks at no file."""

from __future__ import annotations

from collections.abc import Iterator

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
