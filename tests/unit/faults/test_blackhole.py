"""A blackhole: what the firewall of a namespace is told, and what cannot be meant."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from actors.docker.programs.firewall import Blackhole, blackhole
from actors.docker.programs.traffic import ANYWHERE, traffic
from coordinator.errors import Refused
from coordinator.faults.blackhole import NetworkBlackhole
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.model import FaultPlan, Surroundings


def container(name: str, ip: str = "", state: str = "running", mode: str = "net") -> ContainerFacts:
    """One in a network of its own."""
    return ContainerFacts(
        id=f"{name}-id", name=name, image="i", state=ContainerState(state), started_at="2026-01-01T00:00:00Z",
        network_mode=mode, networks=(NetworkAttachment(name="n", ip=ip),),
    )  # fmt: skip


AROUND = Surroundings(targets={"t": (container("t", "10.0.0.1"),), "api": (container("api", "10.0.0.2"),)})


def hole(**fields: object) -> NetworkBlackhole:
    """As a scenario writes it."""
    return NetworkBlackhole.model_validate({"type": "network_blackhole", "target": "t"} | fields)


def planned(fault: NetworkBlackhole, around: Surroundings = AROUND) -> FaultPlan:
    """As an execution plans it."""
    return fault.plan(around.of(fault.aims()), around)


@pytest.mark.parametrize(
    ("fields", "peers", "way"),
    [
        ({}, ANYWHERE, Blackhole("both", "drop")),
        ({"hosts": ["192.0.2.7/24"], "answer": "tcp-reset"}, ("192.0.2.0/24",), Blackhole("both", "tcp-reset")),
        ({"to": "api", "direction": "out"}, ("10.0.0.2/32",), Blackhole("out", "drop")),
        (
            {"to": "api", "hosts": ["192.0.2.1"], "direction": "in", "answer": "unreachable"},
            ("10.0.0.2/32", "192.0.2.1/32"), Blackhole("in", "unreachable"),
        ),
    ],
)  # fmt: skip
def test_the_firewall_takes_what_it_is_told(fields: dict[str, object], peers: tuple[str, ...], way: Blackhole) -> None:
    """Whatever is valid here is valid there, and means the same."""
    (target,) = planned(hole(ports=[80], **fields)).targets
    rules = json.loads(target.inject.inside[-1])
    assert rules["kind"] == "network_blackhole"
    match = traffic(rules["match"], "match")
    assert (set(match.ipv4 + match.ipv6), match.ports) == (set(peers), (80,))
    assert blackhole(rules["params"], "params") == way


def test_a_target_without_an_address_leaves_nothing_to_stop() -> None:
    """It is not taken for everybody."""
    around = Surroundings(targets={"t": AROUND.targets["t"], "api": (container("api"),)})
    plan = planned(hole(to="api"), around)
    assert plan.targets == ()
    assert "nobody with an address on the other side" in plan.untouched[0].why
    assert planned(hole(to="api", hosts=["192.0.2.1"]), around).targets


def test_of_a_protocol() -> None:
    """Only its packets are stopped; a container is never its own other side, whatever hosts there are beside."""
    (target,) = planned(hole(protocol="udp", ports=[53])).targets
    match = traffic(json.loads(target.inject.inside[-1])["match"], "match")
    assert (match.protocol, match.ports) == ("udp", (53,))
    with pytest.raises(Refused, match="to: t is t itself"):
        planned(hole(to="t", hosts=["192.0.2.1"]))


@pytest.mark.parametrize(
    ("state", "mode", "why"),
    [("exited", "net", "is exited"), ("running", "none", "has no network")],
)
def test_what_has_no_network_of_its_own_is_left_alone(state: str, mode: str, why: str) -> None:
    """With the reason."""
    plan = planned(hole(), Surroundings(targets={"t": (container("t", state=state, mode=mode),)}))
    assert plan.targets == ()
    assert why in plan.untouched[0].why


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"hosts": ["db.shop"]}, "an address like 192.0.2.1 or a network"),
        ({"hosts": ["fe80::1%eth0"]}, "an address like"),
        ({"hosts": ["127.0.0.11"]}, "packets to 127.0.0.11 never leave it"),
        ({"hosts": ["::1"]}, "packets to ::1 never leave it"),
        ({"hosts": ["10.0.0.1"] * 257}, "at most 256"),
        ({"ports": [0]}, "greater than or equal to 1"),
        ({"ports": [65536]}, "less than or equal to 65535"),
        ({"protocol": "sctp"}, "'any', 'tcp', 'udp' or 'icmp'"),
        ({"protocol": "icmp", "ports": [7]}, "icmp has none"),
        ({"direction": "up"}, "'both', 'out' or 'in'"),
        ({"answer": "reset"}, "'drop', 'tcp-reset' or 'unreachable'"),
        ({"percent": "1%"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], allowed: str) -> None:
    """With what is due."""
    with pytest.raises(ValidationError, match=re.escape(allowed)):
        hole(**fields)
