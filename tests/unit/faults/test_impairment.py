"""A bad network: what the emulator is told of whose packets, and what cannot be meant."""

from __future__ import annotations

import json
from random import Random

import pytest
from pydantic import TypeAdapter, ValidationError

from actors.docker.programs.bandwidth import Bandwidth, bandwidth
from actors.docker.programs.fields import Fields
from actors.docker.programs.impairments import impairment
from actors.docker.programs.traffic import traffic
from coordinator.errors import Refused
from coordinator.faults.catalogue import AnyFault
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.impairment import Impairment
from coordinator.faults.model import Surroundings

FAULT: TypeAdapter[AnyFault] = TypeAdapter(AnyFault)


def container(name: str, ip: str) -> ContainerFacts:
    """One that runs in a network of its own."""
    return ContainerFacts(
        id=f"{name}-id", name=name, image="i", state=ContainerState.RUNNING, network_mode="net",
        networks=(NetworkAttachment(name="n", ip=ip),),
    )  # fmt: skip


AROUND = Surroundings(targets={"t": (container("t", "10.0.0.1"),), "api": (container("api", "10.0.0.2"),)})


def fault(**fields: object) -> Impairment:
    """As a scenario writes it."""
    made = FAULT.validate_python({"target": "t"} | fields)
    assert isinstance(made, Impairment)
    return made


def told(made: Impairment) -> dict[str, object]:
    """What netns.py is told."""
    (target,) = made.plan(around_of(made), AROUND).targets
    rules: dict[str, object] = json.loads(target.inject.inside[-1])
    return rules


def around_of(made: Impairment) -> tuple[ContainerFacts, ...]:
    """The containers it is aimed at."""
    return AROUND.of(made.aims())


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        (
            {"type": "network_latency", "latency": "1.5s", "jitter": "20ms", "distribution": "pareto"},
            {"latency_ms": 1500, "jitter_ms": 20, "correlation": 0, "distribution": "pareto"},
        ),
        ({"type": "network_loss", "percent": "30%", "correlation": "5%"}, {"percent": 30, "correlation": 5}),
        ({"type": "network_packet_loss", "percent": "1%"}, {"percent": 1, "correlation": 0}),
        ({"type": "network_duplication", "percent": "100%"}, {"percent": 100, "correlation": 0}),
        ({"type": "network_corruption", "percent": "0.5%"}, {"percent": 0.5, "correlation": 0}),
        (
            {"type": "network_loss", "gilbert_elliott": {"p": "1%", "r": "20%"}},
            {"gilbert_elliott": {"enter": 1, "leave": 20, "loss_bad": 100, "loss_good": 0}},
        ),
        (
            {"type": "network_loss", "gilbert_elliott": {"p": "1%", "r": "0%", "1-h": "50%", "1-k": "0.1%"}},
            {"gilbert_elliott": {"enter": 1, "leave": 0, "loss_bad": 50, "loss_good": 0.1}},
        ),
        (
            {"type": "network_reordering", "percent": "25%", "delay": "20ms"},
            {"percent": 25, "correlation": 0, "delay_ms": 20},
        ),
    ],
)
def test_the_emulator_takes_what_it_is_told(fields: dict[str, object], params: dict[str, object]) -> None:
    """Units become milliseconds and percent, an alias is its fault, and the emulator accepts every one of them."""
    rules = told(fault(**fields))

    assert rules["params"] == params
    impairment(str(rules["kind"]), Fields(rules["params"], "params"), Random(1))
    assert traffic(rules["match"], "match").matches()


def test_only_packets_of_the_other_side() -> None:
    """`to` is a target by its present addresses, `ports` are of either end; without both everybody is meant."""
    narrow = told(fault(type="network_loss", percent="1%", to="api", ports=[8000]))

    assert narrow["match"] == {"peers": ["10.0.0.2"], "ports": [8000]}
    assert told(fault(type="network_loss", percent="1%"))["match"] == {}
    assert fault(type="network_loss", percent="1%", to="api").peers() == ("api",)


@pytest.mark.parametrize(
    "fields", [{"type": "network_loss", "percent": "1%"}, {"type": "network_bandwidth", "rate": "1mbit"}]
)
def test_the_other_side_is_another(fields: dict[str, object]) -> None:
    """A container is never on its own other side: refused where it is all there is, else left out."""
    with pytest.raises(Refused, match="to: t is t itself"):
        told(fault(to="t", **fields))
    many = Surroundings(targets={"t": AROUND.of(["t", "api"])})
    plans = fault(to="t", **fields).plan(many.of(["t"]), many).targets
    peers = [json.loads(target.inject.inside[-1])["match"]["peers"] for target in plans]
    assert peers == [["10.0.0.2"], ["10.0.0.1"]]


@pytest.mark.parametrize("mechanism", ["emulator", "netem"])
def test_only_packets_of_a_protocol(mechanism: str) -> None:
    """As the program reads it; without one, all."""
    made = fault(type="network_loss", percent="1%", protocol="udp", ports=[53], mechanism=mechanism)
    match = traffic(told(made)["match"], "match")
    assert (match.protocol, match.ports) == ("udp", (53,))
    assert traffic(told(fault(type="network_loss", percent="1%"))["match"], "match").protocol == "any"
    narrow = told(fault(type="network_bandwidth", rate="1mbit", protocol="icmp"))
    assert traffic(narrow["match"], "match").protocol == "icmp"


def test_nobody_on_the_other_side() -> None:
    """A target without an address has no packets to be late: left alone, with the reason."""
    made = fault(type="network_loss", percent="1%", to="gone")
    plan = made.plan(around_of(made), AROUND)

    assert plan.targets == ()
    assert "nobody with an address on the other side" in plan.untouched[0].why


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "network_loss", "percent": "101%"},
        {"type": "network_loss", "percent": "-1%"},
        {"type": "network_loss", "percent": "0%"},
        {"type": "network_loss"},
        {"type": "network_loss", "percent": "1%", "gilbert_elliott": {"p": "1%", "r": "20%"}},
        {"type": "network_loss", "correlation": "1%", "gilbert_elliott": {"p": "1%", "r": "20%"}},
        {"type": "network_loss", "gilbert_elliott": {"p": "1%"}},
        {"type": "network_loss", "gilbert_elliott": {"p": "0%", "r": "20%"}},
        {"type": "network_loss", "gilbert_elliott": {"p": "1", "r": "20%"}},
        {"type": "network_loss", "gilbert_elliott": {"p": "1%", "r": "20%", "1-h": "0%"}},
        {"type": "network_loss", "gilbert_elliott": {"p": "1%", "r": "20%", "h": "50%"}},
        {"type": "network_bandwidth"},
        {"type": "network_bandwidth", "rate": "0kbit"},
        {"type": "network_bandwidth", "rate": "-1mbit"},
        {"type": "network_bandwidth", "rate": "1000"},
        {"type": "network_bandwidth", "rate": "1mbps"},
        {"type": "network_bandwidth", "rate": "101gbit"},
        {"type": "network_bandwidth", "rate": "1mbit", "burst": "1k"},
        {"type": "network_bandwidth", "rate": "1mbit", "burst": "2g"},
        {"type": "network_bandwidth", "rate": "1mbit", "direction": "up"},
        {"type": "network_bandwidth", "rate": "1mbit", "correlation": "1%"},
        {"type": "network_loss", "percent": "1%", "ports": [0]},
        {"type": "network_loss", "percent": "1%", "protocol": "sctp"},
        {"type": "network_loss", "percent": "1%", "protocol": "icmp", "ports": [7]},
        {"type": "network_bandwidth", "rate": "1mbit", "protocol": "icmp", "ports": [7]},
        {"type": "network_duplication"},
        {"type": "network_duplication", "percent": "0%"},
        {"type": "network_duplication", "percent": "1%", "delay": "1s"},
        {"type": "network_corruption"},
        {"type": "network_corruption", "percent": "100.5%"},
        {"type": "network_corruption", "percent": "1%", "correlation": "-1%"},
        {"type": "network_reordering", "delay": "10ms"},
        {"type": "network_reordering", "percent": "5%", "delay": "0s"},
        {"type": "network_reordering", "percent": "5%", "delay": "11m"},
        {"type": "network_latency", "latency": "5"},
        {"type": "network_latency", "latency": "0s"},
        {"type": "network_latency", "latency": "2h"},
        {"type": "network_latency", "latency": "1s", "distribution": "flat"},
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, object]) -> None:
    """Out of range, without a unit, or nothing at all."""
    with pytest.raises(ValidationError):
        fault(**fields)


@pytest.mark.parametrize("kind", ["network_duplication", "network_corruption", "network_reordering"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": None},
        {"percent": "0%"},
        {"percent": "100.1%"},
        {"percent": "-1%"},
        {"percent": "10"},
        {"percent": "ten"},
        {"correlation": "101%"},
        {"correlation": "5"},
        {"ports": [0]},
        {"ports": [65536]},
        {"ports": ["http"]},
        {"mechanism": "tc"},
        {"delay": "601s"},
        {"delay": "0s"},
        {"delay": "20"},
        {"jitter": "1ms"},
        {"gilbert_elliott": {"p": "1%", "r": "20%"}},
        {"for": "0s"},
        {"for": "5"},
        {"at": "-1s"},
        {"on_target_restart": "again"},
        {"target": None},
    ],
    ids=str,
)
def test_a_share_of_packets_is_refused_by_name(kind: str, wrong: dict[str, object]) -> None:
    """Twice, wrong or overtaking: each field out of range, without its unit, missing, or of another fault is told."""
    given: dict[str, object] = {"type": kind, "target": "t", "percent": "10%"} | wrong
    with pytest.raises(ValidationError) as refused:
        FAULT.validate_python({name: value for name, value in given.items() if value is not None})
    assert {each["loc"][1] for each in refused.value.errors()} == set(wrong)


@pytest.mark.parametrize(
    ("fields", "params", "read"),
    [
        ({"rate": "1mbit"}, {"rate_bit": 1_000_000, "direction": "both"}, Bandwidth(1_000_000, 16_384, "both")),
        (
            {"rate": "2.5Gbit", "burst": "64k", "direction": "in"},
            {"rate_bit": 2_500_000_000, "direction": "in", "burst_bytes": 65_536},
            Bandwidth(2_500_000_000, 65_536, "in"),
        ),
        ({"rate": "8kbit"}, {"rate_bit": 8_000, "direction": "both"}, Bandwidth(8_000, 16_384, "both")),
        ({"rate": "100gbit"}, {"rate_bit": 10**11, "direction": "both"}, Bandwidth(10**11, 125_000_000, "both")),
    ],
)
def test_shaping_takes_what_it_is_told(fields: dict[str, object], params: dict[str, object], read: Bandwidth) -> None:
    """Rates become bits, sizes bytes; the program that shapes reads them as meant, at both ends of the range."""
    rules = told(fault(type="network_bandwidth", to="api", **fields))

    assert (rules["kind"], rules["params"]) == ("network_bandwidth", params)
    assert bandwidth(rules["params"], "params") == read
    assert rules["match"] == {"peers": ["10.0.0.2"]}


def test_netem_where_it_is_asked_for() -> None:
    """The same kind and parameters, for the kernel to play; and it is said who does it."""
    asked = fault(type="network_latency", latency="50ms", jitter="5ms", mechanism="netem")
    ours = fault(type="network_latency", latency="50ms", jitter="5ms")
    assert told(ours)["kind"] == "network_latency"
    params = {"latency_ms": 50.0, "jitter_ms": 5.0, "correlation": 0.0, "distribution": "uniform"}
    assert told(ours)["params"] == params
    assert told(asked) == {"kind": "netem", "match": {}, "params": {"of": "network_latency", **params}}
    assert "netem" in asked.done_by
    assert "our emulator" in ours.done_by
