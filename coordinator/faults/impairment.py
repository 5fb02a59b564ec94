"""A bad network: packets that arrive late, not at all, twice, wrong or out of order, played by our own emulator in the
target's network namespace, so that no kernel module is needed; and a narrow one, by the kernel's own shaping.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coordinator.faults.facts import ContainerFacts
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings
from coordinator.faults.network import NetworkFault, others
from coordinator.quantities import Duration, Percent, Rate, Size

LONGEST_S: Final = 600.0
MS: Final = 1000.0
LEAST_BURST: Final = 2048
"""A packet has to fit."""
MOST_BURST: Final = 1 << 30
Port = Annotated[int, Field(ge=1, le=65535)]
Protocol = Annotated[
    Literal["any", "tcp", "udp", "icmp"],
    Field(description="only packets of this protocol: any, tcp, udp or icmp; with ports: of these ports too"),
]
NETEM: Final = (
    "netem on a device of ours (ifb), to which nft leads packets that arrive in the container's network namespace"
)
Correlation = Annotated[Percent, Field(description="how much the fate of one packet resembles the last one's")]


def no_ports(protocol: str, ports: Sequence[int]) -> None:
    """Raises ValueError where a protocol has none, and some are given."""
    if protocol == "icmp" and ports:
        message = "tcp, udp or any beside ports: icmp has none"
        raise ValueError(message)


def packets(protocol: str, ports: Sequence[int]) -> dict[str, object]:
    """Which packets are meant, as netns.py is told; what is not told means all."""
    match: dict[str, object] = {"ports": ports} if ports else {}
    return match if protocol == "any" else {**match, "protocol": protocol}


class Impairment(NetworkFault):
    """What these faults share: whose packets they are about, and that all interfaces but lo are meant."""

    to: str = Field(default="", description="only packets from this target; default: from anybody")
    ports: tuple[Port, ...] = Field(default=(), description="only packets of these TCP and UDP ports, on either end")
    protocol: Protocol = "any"

    mechanism: ClassVar[str] = "our emulator over NFQUEUE, where packets arrive in the container's network namespace"
    undo_text: ClassVar[str] = "taken out; packets pass as ever when the emulator or its lease ends, at most 10 s later"
    needs: ClassVar[str] = (
        "a Docker engine on Linux with NFQUEUE, and nft, in the helper image (HELPER_IMAGE) or beside the engine"
    )
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("nft_leases",), ("nft_queue", "xt_queue"))

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        no_ports(self.protocol, self.ports)
        return self

    def peers(self) -> tuple[str, ...]:
        """The other side, where there is one."""
        return (self.to,) if self.to else ()

    @abstractmethod
    def params(self) -> Mapping[str, object]:
        """What the emulator is told: milliseconds and percent."""

    def rules(self) -> Mapping[str, object]:
        """What netns.py is told: the kind, and its parameters."""
        return {"kind": KINDS[type(self)], "params": self.params()}

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """The same in each container, but that none is on its own other side. Raises Refused."""
        match = packets(self.protocol, self.ports)
        rules: dict[str, Mapping[str, object]] = {}
        for container in containers:
            peers = {"peers": others(container, around, self.to)} if self.to else {}
            rules[container.id] = {"match": {**peers, **match}, **self.rules()}
        return self.planned(containers, rules)


class Emulated(Impairment):
    """What the kernel can do as well, where it has netem."""

    played_by: Literal["emulator", "netem"] = Field(
        default="emulator",
        alias="mechanism",
        description="our emulator, or the kernel's own (netem), where it has the module sch_netem",
    )

    @property
    def done_by(self) -> str:
        """As it was asked for."""
        return NETEM if self.played_by == "netem" else self.mechanism

    @property
    def wants(self) -> tuple[str, ...]:
        """The kernel's own emulator is a module of it, and works on a device."""
        return ("tc_netem", "ifb", "nft_forward", "tc_htb") if self.played_by == "netem" else ()

    def beside(self, other: FaultSpec) -> str:
        """A packet is led through our device once, so netem shares it with nobody who does something there."""
        led = (isinstance(other, Emulated) and other.played_by == "netem") or (
            isinstance(other, NetworkBandwidth) and other.direction != "out"
        )
        if self.played_by == "netem" and led:
            return "netem cannot be put beside another netem or a limit of what arrives; our own emulator can"
        return ""

    def rules(self) -> Mapping[str, object]:
        """The same kind, played by the kernel where that is asked for."""
        rules = super().rules()
        if self.played_by == "emulator":
            return rules
        return {"kind": "netem", "params": {"of": rules["kind"], **self.params()}}


class NetworkLatency(Emulated):
    """Every packet waits."""

    type: Literal["network_latency"]
    latency: Annotated[Duration, Field(le=LONGEST_S, description="how much later each packet arrives")]
    jitter: Annotated[Duration, Field(le=LONGEST_S, description="by how much that varies")] = 0.0
    correlation: Percent = Field(default=0.0, description="how much the delay of one packet resembles the last one's")
    distribution: Literal["uniform", "normal", "pareto"] = Field(
        default="uniform", description="how the jitter is spread: uniform, normal or pareto"
    )

    summary: ClassVar[str] = "Delays what arrives at the container: each round trip takes so much longer, once."

    @model_validator(mode="after")
    def _delays(self) -> NetworkLatency:
        if not self.latency and not self.jitter:
            message = "a latency or a jitter above 0"
            raise ValueError(message)
        return self

    def params(self) -> Mapping[str, object]:
        """Delay and spread."""
        return {
            "latency_ms": self.latency * MS,
            "jitter_ms": self.jitter * MS,
            "correlation": self.correlation,
            "distribution": self.distribution,
        }


class Chance(Emulated):
    """Something that happens to a share of the packets."""

    percent: Annotated[Percent, Field(gt=0, description="the share of packets it happens to")]
    correlation: Correlation = 0.0

    def params(self) -> Mapping[str, object]:
        """The share."""
        return {"percent": self.percent, "correlation": self.correlation}


class GilbertElliott(BaseModel):
    """A link that is now good, now bad, under the names that netem's `gemodel` and the literature have for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    p: Annotated[Percent, Field(gt=0, description="the chance, per packet, that a good link turns bad")]
    r: Annotated[Percent, Field(description="the chance, per packet, that a bad link turns good")]
    loss_bad: Percent = Field(default=100.0, alias="1-h", description="the loss while the link is bad")
    loss_good: Percent = Field(default=0.0, alias="1-k", description="the loss while the link is good")

    @model_validator(mode="after")
    def _loses(self) -> GilbertElliott:
        if not self.loss_bad and not self.loss_good:
            message = "1-h or 1-k above 0%: with neither nothing is lost"
            raise ValueError(message)
        return self


class NetworkLoss(Emulated):
    """Packets vanish, each on its own or in bursts."""

    type: Literal["network_loss", "network_packet_loss"]
    percent: Annotated[Percent, Field(gt=0)] | None = Field(
        default=None, description="the share of packets that are lost; this or gilbert_elliott"
    )
    correlation: Correlation = 0.0
    gilbert_elliott: GilbertElliott | None = Field(
        default=None, description="losses in bursts: {p, r, 1-h, 1-k} as netem's gemodel has them; in place of percent"
    )

    summary: ClassVar[str] = "Loses a share of the packets that arrive at the container."

    @model_validator(mode="after")
    def _one_way(self) -> NetworkLoss:
        if (self.percent is None) == (self.gilbert_elliott is None):
            message = "either percent or gilbert_elliott"
            raise ValueError(message)
        if self.gilbert_elliott is not None and self.correlation:
            message = "correlation beside percent: the bursts of gilbert_elliott are in p and r"
            raise ValueError(message)
        return self

    def params(self) -> Mapping[str, object]:
        """The share, or the two states of the link."""
        states = self.gilbert_elliott
        if states is None:
            return {"percent": self.percent, "correlation": self.correlation}
        told = {"enter": states.p, "leave": states.r, "loss_bad": states.loss_bad, "loss_good": states.loss_good}
        return {"gilbert_elliott": told}


class NetworkDuplication(Chance):
    """Packets come twice."""

    type: Literal["network_duplication"]

    summary: ClassVar[str] = "Delivers a share of the packets that arrive at the container twice."
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (*Impairment.abilities, ("raw_packets",))


class NetworkCorruption(Chance):
    """One bit is wrong."""

    type: Literal["network_corruption"]

    summary: ClassVar[str] = "Flips one bit in a share of the packets that arrive at the container."


class NetworkReordering(Chance):
    """Some overtake the others."""

    type: Literal["network_reordering"]
    delay: Annotated[Duration, Field(gt=0, le=LONGEST_S, description="how long the others wait meanwhile")] = 0.01

    summary: ClassVar[str] = "Lets a share of the packets that arrive at the container overtake the others, which wait."

    def params(self) -> Mapping[str, object]:
        """The share that overtakes, and for how long the others wait."""
        return {**super().params(), "delay_ms": self.delay * MS}


class NetworkBandwidth(Impairment):
    """A narrow line."""

    type: Literal["network_bandwidth"]
    to: str = Field(default="", description="only packets to and from this target; default: to and from anybody")
    rate: Annotated[Rate, Field(description="how much passes in a second, headers counted, each way on its own")]
    burst: Annotated[Size, Field(ge=LEAST_BURST, le=MOST_BURST)] | None = Field(
        default=None, description="how much may pass at once; default: 10 ms of the rate, 16k at least"
    )
    direction: Literal["both", "out", "in"] = Field(
        default="both", description="out limits what leaves the container, in what arrives"
    )

    summary: ClassVar[str] = "Lets no more than so many bits a second into the container and out of it."
    mechanism: ClassVar[str] = (
        "htb on a device of ours (ifb), to which nft leads packets inside the container's network namespace"
    )
    undo_text: ClassVar[str] = "taken out; packets take their own way again when the lease ends, at most 10 s later"
    needs: ClassVar[str] = (
        "a Docker engine on Linux 5.16 or newer with ifb and htb; ip, nft and tc in the helper image (HELPER_IMAGE) or "
        "beside the engine"
    )
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("nft_leases",), ("ifb",), ("nft_forward",), ("nft_egress",), ("tc_htb",),
    )  # fmt: skip

    def params(self) -> Mapping[str, object]:
        """Bits and bytes."""
        told: dict[str, object] = {"rate_bit": self.rate, "direction": self.direction}
        if self.burst is not None:
            told["burst_bytes"] = self.burst
        return told


KINDS: Final[Mapping[type[Impairment], str]] = {
    NetworkLatency: "network_latency",
    NetworkLoss: "network_loss",
    NetworkDuplication: "network_duplication",
    NetworkCorruption: "network_corruption",
    NetworkReordering: "network_reordering",
    NetworkBandwidth: "network_bandwidth",
}
"""What netns.py calls them."""
