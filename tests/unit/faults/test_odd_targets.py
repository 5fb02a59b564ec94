"""Targets that cannot be hit, over every kind of the catalogue: what is down or frozen is named and left alone."""

from __future__ import annotations

import pytest
import yaml
from pydantic import TypeAdapter

from coordinator.faults.catalogue import AnyFault, FaultDoc, describe_all
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.looks import UP
from coordinator.faults.model import FaultPlan, FaultSpec, Surroundings
from coordinator.faults.network import NetworkFault

FAULT: TypeAdapter[FaultSpec] = TypeAdapter(AnyFault)
KINDS = pytest.mark.parametrize("doc", describe_all(), ids=lambda doc: doc.name)


def example(doc: FaultDoc) -> FaultSpec:
    """The fault as the catalogue shows it."""
    return FAULT.validate_python(yaml.load(doc.example, Loader=yaml.BaseLoader))  # noqa: S506  # builds only text


def planned(spec: FaultSpec, state: ContainerState) -> FaultPlan:
    """Its plan for two containers of this state among others that run."""

    def container(name: str, state: ContainerState) -> ContainerFacts:
        networks = (NetworkAttachment(name="shop_default", ip=f"10.0.0.{len(name)}"),)
        return ContainerFacts(id=f"{name}-id", name=name, image="i", state=state, networks=networks, started_at="1")

    targets: dict[str, tuple[ContainerFacts, ...]] = {
        name: (container(name, ContainerState.RUNNING),) for name in spec.peers()
    }
    targets |= {name: (container(name, state), container(f"{name}-too", state)) for name in spec.aims()}
    around = Surroundings(targets=targets)
    return spec.plan(around.of(spec.aims()), around)


@KINDS
@pytest.mark.parametrize("state", [each for each in ContainerState if each not in UP])
def test_what_is_down_is_named_and_left_alone(doc: FaultDoc, state: ContainerState) -> None:
    """Nothing is planned for it, and it is told why; where it runs it would have been."""
    spec = example(doc)
    plan = planned(spec, state)
    assert plan.targets == ()
    assert {left.why for left in plan.untouched} == {f"is {state}, not running: left alone"}
    running = planned(spec, ContainerState.RUNNING)
    assert running.untouched == ()
    assert [each.name for each in running.targets] == [left.name for left in plan.untouched]


@KINDS
def test_what_is_frozen_is_named_and_left_alone(doc: FaultDoc) -> None:
    """But by faults of the network, whose packets arrive whether anybody reads them or not."""
    spec = example(doc)
    plan = planned(spec, ContainerState.PAUSED)
    if isinstance(spec, NetworkFault):
        assert plan.untouched == ()
        assert {each.pre_state for each in plan.targets} == {"paused"}
    else:
        assert plan.targets == ()
        assert {left.why for left in plan.untouched} == {"is paused, not running: left alone"}
