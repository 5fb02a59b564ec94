"""Faults of the network: who is cut off from whom, who is left alone, what is put and how it is taken out."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from coordinator.errors import Refused
from coordinator.faults.commands import FAULT, MARK
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.model import FaultPlan, Surroundings
from coordinator.faults.network import NetworkPartition
from coordinator.record import FaultClass


def container(name: str, *ips: str, state: str = "running", mode: str = "net") -> ContainerFacts:
    """A container with one network per address."""
    networks = tuple(NetworkAttachment(name=f"n{place}", ip=ip) for place, ip in enumerate(ips))
    return ContainerFacts(
        id=f"{name}-id", name=name, image="i", state=ContainerState(state), started_at="2026-01-01T00:00:00Z",
        network_mode=mode, networks=networks,
    )  # fmt: skip


A, B, C = container("a", "10.0.0.1"), container("b", "10.0.0.2", "10.1.0.2"), container("c", "10.0.0.3")
AROUND = Surroundings(targets={"a": (A,), "b": (B,), "c": (C,), "ab": (A, B)})


def partition(**fields: object) -> NetworkPartition:
    """As a scenario writes it."""
    return NetworkPartition.model_validate({"type": "network_partition"} | fields)


def planned(fault: NetworkPartition, around: Surroundings = AROUND) -> FaultPlan:
    """As an execution plans it."""
    return fault.plan(around.of(fault.aims()), around)


def cut(plan: FaultPlan) -> dict[str, list[str]]:
    """From whom packets are dropped, by container."""
    return {target.name: json.loads(target.inject.inside[-1])["match"]["peers"] for target in plan.targets}


def test_each_side_drops_what_comes_from_the_others() -> None:
    """Every address of the other sides, in every network, is dropped where it arrives."""
    assert cut(planned(partition(between=["a", "b", "c"]))) == {
        "a": ["10.0.0.2", "10.0.0.3", "10.1.0.2"],
        "b": ["10.0.0.1", "10.0.0.3"],
        "c": ["10.0.0.1", "10.0.0.2", "10.1.0.2"],
    }


@pytest.mark.parametrize(
    ("direction", "drops"),
    [("both", {"a": ["10.0.0.3"], "c": ["10.0.0.1"]}), ("out", {"c": ["10.0.0.1"]}), ("in", {"a": ["10.0.0.3"]})],
)
def test_one_direction_drops_on_one_side(direction: str, drops: dict[str, list[str]]) -> None:
    """Only where the packets of that direction arrive; the other container is not touched."""
    assert cut(planned(partition(**{"from": "a", "to": "c", "direction": direction}))) == drops


def test_a_container_on_two_sides_is_refused() -> None:
    """One that two targets share cannot be cut off from itself: the reason names it and both."""
    with pytest.raises(Refused, match="b is on two sides: ab and b"):
        planned(partition(between=["ab", "b"]))


@pytest.mark.parametrize(
    ("state", "mode", "why"),
    [
        ("exited", "net", "is exited, not running"),
        ("running", "none", "has no network"),
    ],
)
def test_what_has_no_network_is_left_alone(state: str, mode: str, why: str) -> None:
    """The reason is told, and the other side is still planned."""
    odd = container("b", "10.0.0.9", state=state, mode=mode)
    plan = planned(partition(between=["a", "b"]), Surroundings(targets={"a": (A,), "b": (odd,)}))

    assert [target.name for target in plan.targets] == ["a"]
    assert why in plan.untouched[0].why


@pytest.mark.parametrize(
    ("mode", "whose"), [("host", "the host's network"), ("container:x", "another container's network")]
)
def test_a_network_of_others_is_refused(mode: str, whose: str) -> None:
    """Never the host by a container that uses its network; whatever else is cut off."""
    odd = container("b", "10.0.0.9", mode=mode)
    with pytest.raises(Refused, match=f"b uses {whose}: more than this container would be hit"):
        planned(partition(between=["a", "b"]), Surroundings(targets={"a": (A,), "b": (odd,)}))


def test_a_network_may_have_any_name() -> None:
    """Compose names one after its project, which may be called `hosting`."""
    there = container("b", "10.0.0.9", mode="hosting_default")
    plan = planned(partition(between=["a", "b"]), Surroundings(targets={"a": (A,), "b": (there,)}))
    assert [target.name for target in plan.targets] == ["a", "b"]


def test_without_an_address_on_the_other_side_there_is_nothing_to_cut() -> None:
    """It is not called effective when nobody is there."""
    plan = planned(partition(between=["a", "b"]), Surroundings(targets={"a": (A,), "b": (container("b"),)}))
    assert [target.name for target in plan.targets] == ["b"]
    assert "nobody with an address on the other side" in plan.untouched[0].why


def test_what_is_put_is_taken_out_by_name() -> None:
    """Both commands enter the container's own namespace; the undo names the fault alone and ends with the run."""
    plan = planned(partition(between=["a", "c"])).filled({FAULT: "f-1", MARK: "fault=f-1"})
    target = plan.targets[0]

    assert target.undo is not None
    assert target.inject.namespace == target.undo.command.namespace == A.id
    assert target.inject.inside[:2] == ("put", "fault=f-1")
    assert target.undo.command.inside == ("remove", "f-1")
    assert target.undo.restores is None
    assert "--privileged" not in target.inject.argv
    assert NetworkPartition.fault_class is FaultClass.LEASE


CLUSTER = tuple(container(f"n{number}", f"10.0.1.{number}") for number in range(1, 6))


def test_a_shape_is_drawn_over_those_chosen_at_the_start() -> None:
    """Nobody changes sides when one is gone or has another address; the same seed draws the same after a new start."""
    around = Surroundings(targets={"cluster": CLUSTER}, seed=7)
    whole = planned(partition(target="cluster", shape="majority"), around)
    gone, *rest = CLUSTER
    later = planned(
        partition(target="cluster", shape="majority"),
        Surroundings(targets={"cluster": tuple(rest)}, seed=7, chosen={"cluster": tuple(each.id for each in CLUSTER)}),
    )
    assert {len(peers) for peers in cut(whole).values()} == {2, 3}
    without = {name: [ip for ip in peers if ip != "10.0.1.1"] for name, peers in cut(whole).items() if name != "n1"}
    assert cut(later) == without
    assert gone.id in later.drawn
    anew = tuple(each.model_copy(update={"id": f"other-{each.name}"}) for each in CLUSTER)
    again = planned(partition(target="cluster", shape="majority"), Surroundings(targets={"cluster": anew}, seed=7))
    assert (cut(again), again.drawn) == (cut(whole), whole.drawn)
    assert whole.drawn.startswith("majority: n")


def test_a_shape_takes_the_containers_of_several_targets() -> None:
    """Each container once; the bridge hears all, so nothing is put there."""
    plan = planned(partition(between=["ab", "b", "c"], shape="bridge"))
    assert len(plan.targets) == 2
    assert set(cut(plan)) < {"a", "b", "c"}
    assert set(cut(planned(partition(between=["ab", "b", "c"], shape="halves")))) == {"a", "b", "c"}


def test_too_few_containers_have_no_shape() -> None:
    """The reason says how many it takes."""
    with pytest.raises(Refused, match="the shape bridge takes 3 containers or more, and here are 2"):
        planned(partition(between=["a", "b"], shape="bridge"))


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"shape": "one"}, "either target or between"),
        ({"shape": "one", "target": "a", "between": ["b"]}, "either target or between"),
        ({"shape": "one", "between": ["a"], "direction": "in"}, "nor direction"),
        ({"shape": "one", "from": "a", "to": "b"}, "neither from"),
        ({"shape": "ring", "target": "a"}, "'majorities-ring'"),
        ({}, "either between"),
        ({"between": ["a"]}, "two or more"),
        ({"between": ["a", "a"]}, "two or more"),
        ({"from": "a"}, "either between"),
        ({"between": ["a", "b"], "from": "a", "to": "b"}, "either between"),
        ({"between": ["a", "b"], "direction": "out"}, "no direction"),
        ({"target": "a"}, "in place of target"),
    ],
)
def test_who_is_cut_off_from_whom_must_be_clear(fields: dict[str, object], allowed: str) -> None:
    """Anything else is an error that says what is due."""
    with pytest.raises(ValidationError, match=allowed):
        partition(**fields)
