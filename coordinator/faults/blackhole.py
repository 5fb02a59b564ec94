"""Nothing comes through: what a container exchanges with some hosts, or by some ports, is dropped or refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, model_validator

from coordinator.faults.addresses import Network
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.impairment import Port, Protocol, no_ports, packets
from coordinator.faults.model import ALONE, FaultPlan, Surroundings
from coordinator.faults.network import NetworkFault, others

MOST_HOSTS: Final = 256


class NetworkBlackhole(NetworkFault):
    """By the firewall of the container's own network namespace."""

    type: Literal["network_blackhole"]
    hosts: Annotated[tuple[Network, ...], Field(max_length=MOST_HOSTS)] = Field(
        default=(), description="only packets to and from these addresses and networks, wherever they are"
    )
    to: str = Field(default="", description="only packets to and from this target; with hosts: and those")
    ports: tuple[Port, ...] = Field(default=(), description="only packets of these TCP and UDP ports, on either end")
    protocol: Protocol = "any"
    direction: Literal["both", "out", "in"] = Field(
        default="both", description="out stops only what leaves the container, in what arrives"
    )
    answer: Literal["drop", "tcp-reset", "unreachable"] = Field(
        default="drop", description="what whoever sends a packet is told: nothing, a reset of TCP, or host unreachable"
    )

    summary: ClassVar[str] = "Stops what the container exchanges with some hosts, or by some ports, or everything."
    mechanism: ClassVar[str] = "nft drop and reject, inside the container's network namespace"
    needs: ClassVar[str] = (
        "a Docker engine on Linux (5.9 or newer for an answer, 5.16 for UDP that is dropped in silence) and nft, in "
        "the helper image (HELPER_IMAGE) or beside the engine"
    )
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("nft_leases",), ("nft_egress", "nft_leases"))
    options: ClassVar[Mapping[str, str]] = MappingProxyType({"nft_reject": "no answer but drop here"})

    @model_validator(mode="after")
    def _leaves(self) -> NetworkBlackhole:
        for host in self.hosts:
            if ipaddress.ip_network(host).is_loopback:
                message = f"no address of the container itself: packets to {host} never leave it"
                raise ValueError(message)
        no_ports(self.protocol, self.ports)
        return self

    @property
    def wants(self) -> tuple[str, ...]:
        """An answer is one of the kernel's."""
        return () if self.answer == "drop" else ("nft_reject",)

    def peers(self) -> tuple[str, ...]:
        """The other side, where it is a target."""
        return (self.to,) if self.to else ()

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """The same in each container, but that none is on its own other side. Raises Refused."""
        params = {"direction": self.direction, "answer": self.answer}
        rules: dict[str, Mapping[str, object]] = {}
        for container in containers:
            match = packets(self.protocol, self.ports)
            if self.to or self.hosts:
                named = others(container, around, self.to) if self.to else ()
                match["peers"] = tuple(sorted({*self.hosts, *named}))
            rules[container.id] = {"kind": "network_blackhole", "match": match, "params": params}
        return self.planned(containers, rules)
