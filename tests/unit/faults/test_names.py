"""Names that cannot be looked up: what the answerer is told, and what is no name."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from actors.docker.programs.answerer import Rule
from coordinator.faults.commands import FAULT
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.names import DnsFailure


def container(state: str = "running", mode: str = "net") -> ContainerFacts:
    """One with a network of its own."""
    return ContainerFacts(
        id="t-id", name="t", image="i", state=ContainerState(state), started_at="2026-01-01T00:00:00Z",
        network_mode=mode,
    )  # fmt: skip


def failure(**fields: object) -> DnsFailure:
    """As a scenario writes it."""
    return DnsFailure.model_validate({"type": "dns_failure", "target": "t", "names": ["db.shop"]} | fields)


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({}, {"names": ["db.shop"], "mode": "nxdomain"}),
        ({"names": ["DB.Shop.", "*.x_y.example.com", "*"]}, {"names": ["db.shop", "*.x_y.example.com", "*"]}),
        ({"mode": "timeout"}, {"mode": "timeout"}),
        ({"mode": "wrong-answer", "ipv4": "10.0.0.9"}, {"mode": "wrong-answer", "ipv4": "10.0.0.9"}),
        ({"mode": "wrong-answer", "ipv6": "FD00:0::1"}, {"ipv6": "fd00::1"}),
    ],
)
def test_the_answerer_takes_what_it_is_told(fields: dict[str, object], params: dict[str, object]) -> None:
    """In lower case, without the dot at the end; whatever is valid here is valid there."""
    (target,) = failure(**fields).plan([container()]).targets
    rules = json.loads(target.inject.inside[-1])

    assert (rules["kind"], rules["match"]) == ("dns_failure", {})
    assert rules["params"] | params == rules["params"]
    rule = Rule({"fault": "f", "slot": 0, "params": rules["params"]}, "rules[0]")
    assert list(rule.names) == rules["params"]["names"]
    assert target.undo is not None
    assert target.undo.command.inside == ("remove", FAULT)


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"names": []}, "at least 1 item"),
        ({"names": [""]}, "a host name like"),
        ({"names": ["."]}, "a host name like"),
        ({"names": ["a..b"]}, "a host name like"),
        ({"names": ["a.*.b"]}, "a host name like"),
        ({"names": ["*a.b"]}, "a host name like"),
        ({"names": ["-a"]}, "a host name like"),
        ({"names": ["a b"]}, "a host name like"),
        ({"names": ["http://a"]}, "a host name like"),
        ({"names": ["ä.de"]}, "a host name like"),
        ({"names": ["a" * 64]}, "a host name like"),
        ({"names": [".".join(["a" * 60] * 5)]}, "a host name like"),
        ({"mode": "servfail"}, "nxdomain"),
        ({"ipv4": "10.0.0.1"}, "wrong-answer alone"),
        ({"mode": "wrong-answer", "ipv4": "10.0.0"}, "an IPv4 address"),
        ({"mode": "wrong-answer", "ipv6": "10.0.0.1"}, "an IPv6 address"),
        ({"mode": "wrong-answer", "ipv6": "fe80::1%eth0"}, "without a zone"),
        ({"to": "x"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object], allowed: str) -> None:
    """With what is due."""
    with pytest.raises(ValidationError, match=allowed):
        failure(**fields)


@pytest.mark.parametrize(
    ("state", "mode", "why"),
    [("exited", "net", "is exited"), ("running", "none", "has no network")],
)
def test_what_has_no_network_of_its_own_is_left_alone(state: str, mode: str, why: str) -> None:
    """With the reason."""
    plan = failure().plan([container(state, mode)])
    assert plan.targets == ()
    assert why in plan.untouched[0].why
