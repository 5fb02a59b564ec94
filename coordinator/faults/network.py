"""Faults of a container's network that end by themselves: rules in its network namespace which the kernel itself takes
back when nobody renews them. Plans only what runs in a namespace of its own; all else is left alone and named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar, Final, Literal

from pydantic import Field, model_validator

from coordinator.errors import Refused
from coordinator.faults.commands import FAULT, MARK, in_namespace
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import Succeeded, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings, TargetPlan, Untouched
from coordinator.faults.shapes import LEAST, SHAPES, Shape, draw
from coordinator.record import FaultClass

SHORT_ID: Final = 12
ANYBODY: Final = ("anybody",)


class NetworkFault(FaultSpec):
    """What all of them have in common: put by a helper in the namespace, kept by it, removed by name."""

    fault_class: ClassVar[FaultClass] = FaultClass.LEASE
    undo_text: ClassVar[str] = "removed; by the kernel itself 10 s after the last renewal"
    needs: ClassVar[str] = "a Docker engine on Linux and nft, in the helper image (HELPER_IMAGE) or beside the engine"
    by_helper: ClassVar[bool] = True
    in_network: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("NET_ADMIN", "NET_RAW")
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("nft_leases",),)

    def planned(self, containers: Sequence[ContainerFacts], rules: Mapping[str, Mapping[str, object]]) -> FaultPlan:
        """The plan that puts these rules, by container id, into the containers; those without rules are not touched.

        `rules` hold `kind`, `match` (whose packets: peers, ports, protocol) and the `params` of the kind, as netns.py
        takes them. Raises Refused where a container uses a network of others.
        """
        targets, untouched = [], []
        for container in containers:
            if container.id not in rules:
                continue
            if is_shared(container.network_mode):
                whose = "the host's network" if container.network_mode == "host" else "another container's network"
                raise Refused(f"{container.name} uses {whose}: more than this container would be hit")
            why = why_not(container)
            match = rules[container.id]["match"]
            if not why and isinstance(match, Mapping) and not match.get("peers", ANYBODY):
                why = "has nobody with an address on the other side: left alone"
            if why:
                untouched.append(Untouched(container_id=container.id, name=container.name, why=why))
            else:
                targets.append(_target(container, rules[container.id]))
        return FaultPlan(targets=tuple(targets), untouched=tuple(untouched))


class NetworkPartition(NetworkFault):
    """No packet passes between groups of containers. Dropped where it arrives, so the sender learns nothing."""

    type: Literal["network_partition"]
    target: str = Field(default="", description="with shape: whose containers are cut up; else between, or from and to")
    between: tuple[str, ...] = Field(
        default=(), description="two or more targets, each cut off from the others; with shape: of one or more"
    )
    source: str = Field(default="", alias="from", description="the target on the one side")
    to: str = Field(default="", description="the target on the other side")
    direction: Literal["both", "out", "in"] = Field(
        default="both", description="with from and to: out drops only what goes from `from` to `to`, in the reverse"
    )
    shape: Shape | None = Field(
        default=None, description="how the containers are cut up, drawn with the execution's seed: " + ", ".join(SHAPES)
    )

    summary: ClassVar[str] = "Cuts groups of containers off from each other; everything else goes on."
    mechanism: ClassVar[str] = "nft drop where packets arrive, inside each container's network namespace"

    @model_validator(mode="after")
    def _sides(self) -> NetworkPartition:
        if self.shape:
            if bool(self.target) == bool(self.between) or self.source or self.to or self.direction != "both":
                message = "shape with either target or between, and neither from, to nor direction"
                raise ValueError(message)
            return self
        if self.target:
            message = "between: [one target, another], or from and to, in place of target"
            raise ValueError(message)
        if bool(self.between) == bool(self.source or self.to) or bool(self.source) != bool(self.to):
            message = "either between with two or more targets, or from with to"
            raise ValueError(message)
        names = self.between or (self.source, self.to)
        if len(names) < 2 or len(set(names)) < len(names):  # noqa: PLR2004  # two sides
            message = "two or more different targets"
            raise ValueError(message)
        if self.between and self.direction != "both":
            message = "from and to beside direction: between has no direction"
            raise ValueError(message)
        return self

    def aims(self) -> tuple[str, ...]:
        """Those in whose namespaces packets are dropped: where they arrive."""
        if self.target or self.between:
            return self.peers()
        return {"both": (self.source, self.to), "out": (self.to,), "in": (self.source,)}[self.direction]

    def peers(self) -> tuple[str, ...]:
        """Every side."""
        return (self.target,) if self.target else self.between or (self.source, self.to)

    @property
    def aimed_at(self) -> str:
        """Both sides, also where packets are dropped on one."""
        return ", ".join(self.peers())

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Drop at each container what comes from the containers of the other sides.

        Raises Refused where a container is on two sides, or there are too few for a shape.
        """
        if self.shape:
            return self._shaped(self.shape, containers, around)
        sides: dict[str, str] = {}
        for name in self.peers():
            for container in around.of([name]):
                if sides.setdefault(container.id, name) != name:
                    raise Refused(f"{container.name} is on two sides: {sides[container.id]} and {name}")
        rules: dict[str, Mapping[str, object]] = {}
        for name in self.aims():
            sources = addresses(around.of([other for other in self.peers() if other != name]))
            for container in around.of([name]):
                rules[container.id] = {"kind": "drop", "match": {"peers": sources}}
        return self.planned(containers, rules)

    def _shaped(self, shape: Shape, containers: Sequence[ContainerFacts], around: Surroundings) -> FaultPlan:
        """Over the containers chosen at the start, so that nobody changes sides when one is gone."""
        nodes = around.chosen_of(self.peers())
        if len(nodes) < LEAST[shape]:
            raise Refused(f"the shape {shape} takes {LEAST[shape]} containers or more, and here are {len(nodes)}")
        there = {each.id: each for each in around.of(self.peers())}
        # By the names of targets and not by ids: containers that are made anew are drawn the same.
        drawn = draw(shape, nodes, Random(f"{around.seed}:{shape}:{','.join(self.peers())}"))  # noqa: S311  # no secret
        rules: dict[str, Mapping[str, object]] = {}
        for node, unheard in drawn.unheard().items():
            sources = addresses(there[each] for each in unheard if each in there)
            rules[node] = {"kind": "drop", "match": {"peers": sources}}
        names = {node: there[node].name if node in there else node[:SHORT_ID] for node in nodes}
        return self.planned(containers, rules).model_copy(update={"drawn": f"{shape}: {drawn.told(names)}"})


def is_shared(mode: str) -> bool:
    """Whether the namespace of this network mode is somebody else's as well. A network may be called `hosting`."""
    return mode == "host" or mode.startswith("container:")


def why_not(container: ContainerFacts) -> str:
    """Why a fault of the network cannot be put into this container; empty where it can."""
    if container.state not in {ContainerState.RUNNING, ContainerState.PAUSED}:
        return f"is {container.state}, not running: left alone"
    if container.network_mode == "none":
        return "has no network: left alone"
    return ""


def addresses(containers: Iterable[ContainerFacts]) -> tuple[str, ...]:
    """Every address of these containers in every network, sorted: the same containers give the same rules."""
    found = {ip for each in containers for net in each.networks for ip in (net.ip, net.ipv6) if ip}
    return tuple(sorted(found))


def others(container: ContainerFacts, around: Surroundings, name: str) -> tuple[str, ...]:
    """The addresses of a target's containers but this one.

    Raises Refused where it is this one alone: what a container sends itself goes by lo, which these faults leave alone.
    """
    there = around.of([name])
    beside = [each for each in there if each.id != container.id]
    if there and not beside:
        raise Refused(f"to: {name} is {container.name} itself, and what it sends itself never leaves it: name another")
    return addresses(beside)


def _target(container: ContainerFacts, rules: Mapping[str, object]) -> TargetPlan:
    wanted = json.dumps(rules, separators=(",", ":"), ensure_ascii=True)
    undo = Undo(
        container_id=container.id,
        name=container.name,
        started_at=container.started_at,
        command=in_namespace(container.id, "remove", FAULT),
        # The namespace lives as long as the run, frozen or not.
        needed_in=(ContainerState.RUNNING, ContainerState.PAUSED),
        restores=None,
        settle_s=0.0,
    )
    return TargetPlan(
        container_id=container.id,
        name=container.name,
        started_at=container.started_at,
        pre_state=container.state,
        inject=in_namespace(container.id, "put", MARK, wanted),
        # netns.py succeeds only when it has read the rules back from the kernel.
        effect=Succeeded(),
        undo=undo,
    )
