"""Faults of the network in one namespace, as the planners ask for them, put and removed in any order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from actors.docker.programs.netns import Namespace
from coordinator.faults.catalogue import AnyFault
from coordinator.faults.commands import FAULT, MARK
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.model import Surroundings
from tests.unit.docker.programs.pretended_kernel import INTERFACES, PretendedKernel, pretended

SPEC: TypeAdapter[AnyFault] = TypeAdapter(AnyFault)
FAULTS: tuple[Mapping[str, object], ...] = (
    {"type": "network_latency", "target": "t", "latency": "50ms", "jitter": "5ms", "distribution": "pareto"},
    {"type": "network_latency", "target": "t", "latency": "10ms", "to": "api"},
    {"type": "network_loss", "target": "t", "percent": "30%", "ports": [80]},
    {"type": "network_loss", "target": "t", "gilbert_elliott": {"p": "1%", "r": "10%"}},
    {"type": "network_duplication", "target": "t", "percent": "1%"},
    {"type": "network_bandwidth", "target": "t", "rate": "1mbit", "to": "api"},
    {"type": "network_bandwidth", "target": "t", "rate": "2mbit", "direction": "out"},
    {"type": "network_bandwidth", "target": "t", "rate": "2mbit", "direction": "in", "burst": "64k"},
    {"type": "network_partition", "between": ["t", "api"]},
    {"type": "network_blackhole", "target": "t", "to": "api", "ports": [80]},
    {"type": "network_blackhole", "target": "t", "hosts": ["192.0.2.0/24"], "direction": "out", "answer": "tcp-reset"},
    {"type": "network_blackhole", "target": "t", "direction": "in", "answer": "unreachable"},
    {"type": "dns_failure", "target": "t", "names": ["*.shop"], "mode": "timeout"},
    {"type": "dns_failure", "target": "t", "names": ["db"]},
)


def container(name: str, ip: str) -> ContainerFacts:
    """One that runs in a network of its own."""
    return ContainerFacts(
        id=f"{name}-id", name=name, image="i", state=ContainerState.RUNNING, network_mode="net",
        networks=(NetworkAttachment(name="n", ip=ip),),
    )  # fmt: skip


def around(last: int) -> Surroundings:
    """Whoever is on the other side has this address by now."""
    return Surroundings(targets={"t": (container("t", "10.0.0.1"),), "api": (container("api", f"10.0.0.{last}"),)})


def ask(namespace: Namespace, number: int, verb: str, last: int = 2) -> None:
    """Put or remove one of the faults, with the very words of its plan."""
    spec = SPEC.validate_python(FAULTS[number])
    fault = f"{number:032x}"
    mark = f"fault={fault} execution={'e' * 32} instance=i expires=9999999999"
    surroundings = around(last)
    plan = spec.plan(surroundings.of(spec.aims()), surroundings).filled({FAULT: fault, MARK: mark})
    target = next(each for each in plan.targets if each.container_id == "t-id")
    assert target.undo is not None
    words = target.inject.inside if verb == "put" else target.undo.command.inside
    namespace.ask(list(words))


def alone(number: int, last: int) -> list[str]:
    """What a fault is in the kernel where no other is."""
    with pretended() as kernel:
        ask(Namespace(stays=True), number, "put", last)
        return rules_of(kernel, number)


def rules_of(kernel: PretendedKernel, number: int) -> list[str]:
    """A fault's rules and sets, whichever slot it has."""
    tables = [(name, each) for name, each in sorted(kernel.tables.items()) if name.endswith(f"{number:032x}")]
    listed = [
        f"{name.partition(' ')[0]} {chain}: {rule}"
        for name, chains in tables
        for chain, rules in sorted(chains.items())
        for rule in sorted(rules)
    ]
    return [re.sub(r"mark or 0x\w+|priority set 7c01:\w+", "SLOT", each) for each in listed]


def check(kernel: PretendedKernel, on: dict[int, int]) -> None:
    """What is on is as if it were alone, each with a slot of its own, and nothing else is here."""
    assert {int(name.rpartition("tc_")[2], 16) for name in kernel.tables} == set(on)
    for number, last in on.items():
        assert rules_of(kernel, number) == alone(number, last)
    text = json.dumps(kernel.tables)
    led = {(device, each) for each, device in re.findall(r"priority set (7c01:\w+) fwd to ..(tcifb\d)", text)}
    assert led == {(device, each) for device, classes in kernel.classes.items() for each in classes}
    shaped = [name for name, chains in kernel.tables.items() if "priority set" in json.dumps(chains)]
    assert len({each for _, each in led}) == len(shaped)
    assert set(kernel.classes) == {device for device, _ in led}
    for rules in kernel.played.values():
        assert rules, "a program without a fault has ended"
        assert len({each["slot"] for each in rules}) == len(rules)
    played = {int(each["fault"], 16) for rules in kernel.played.values() for each in rules}
    by_queue = {number for number in on if "queueing" in json.dumps(rules_of(kernel, number))}
    assert played == by_queue
    assert kernel.waiting_is_safe == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(range(len(FAULTS))), st.sampled_from(["toggle", "move"])), max_size=30))
def test_in_any_order_each_is_as_if_it_were_alone(steps: list[tuple[int, str]]) -> None:
    """Put, moved to another address of the other side, removed, in any order; in the end nothing is left."""
    with pretended() as kernel:
        namespace, on = Namespace(stays=True), dict[int, int]()
        for number, what in steps:
            if what == "move" and number in on:
                on[number] += 1
                ask(namespace, number, "put", on[number])
            elif number in on:
                del on[number]
                ask(namespace, number, "remove")
            else:
                on[number] = 2
                ask(namespace, number, "put", on[number])
            check(kernel, on)
        for number in list(on):
            # By a program that has never heard of it, where the kernel does all of it itself.
            ask(namespace, number, "remove")
            del on[number]
            check(kernel, on)
        assert kernel.links() == frozenset(enumerate(INTERFACES, 1))


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(len(FAULTS))))
def test_the_end_of_the_input_takes_out_all(order: list[int]) -> None:
    """Whatever was put, and in whatever order."""
    with pretended() as kernel:
        namespace = Namespace(stays=True)
        for number in order:
            ask(namespace, number, "put")
        assert namespace.remove_all() == 0
        assert (kernel.tables, kernel.classes, kernel.played) == ({}, {}, {})


@settings(deadline=None, max_examples=30)
@given(st.permutations([5, 6, 7, 8, 9, 10, 11]))
def test_another_program_takes_out_what_the_kernel_keeps(order: list[int]) -> None:
    """Limits, cuts and holes need no memory of who put them: recovery's program removes them in any order."""
    with pretended() as kernel:
        holder = Namespace(stays=True)
        for number in order:
            ask(holder, number, "put")
        on = dict.fromkeys(order, 2)
        for number in sorted(order):
            ask(Namespace(), number, "remove")
            del on[number]
            check(kernel, on)
