"""Names that cannot be looked up, or lead elsewhere: the answers of name servers are spoiled where they arrive."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from coordinator.faults.addresses import Ipv4, Ipv6
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.impairment import Impairment
from coordinator.faults.model import ALONE, FaultPlan, Surroundings
from coordinator.faults.network import NetworkFault

LONGEST_NAME: Final = 253
MOST_NAMES: Final = 256
_NAME: Final = re.compile(
    r"(?:\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*)"
)


def _name(text: str) -> str:
    """In lower case, without the dot at the end. Raises ValueError."""
    plain = text.strip().lower().removesuffix(".")
    if len(plain) > LONGEST_NAME or _NAME.fullmatch(plain) is None:
        message = "a host name like db.shop, *.shop for all inside of shop, or * for every name"
        raise ValueError(message)
    return plain


class DnsFailure(NetworkFault):
    """Answers of name servers do not come, or are wrong, for some names."""

    type: Literal["dns_failure"]
    names: Annotated[tuple[Annotated[str, AfterValidator(_name)], ...], Field(min_length=1, max_length=MOST_NAMES)] = (
        Field(description="which names: db.shop is that name alone, *.shop all inside of shop, * every name")
    )
    mode: Literal["nxdomain", "timeout", "wrong-answer"] = Field(
        default="nxdomain", description="no such name, no answer at all, or another address (wrong-answer)"
    )
    ipv4: Ipv4 = Field(default="", description="with wrong-answer: default 192.0.2.1")
    ipv6: Ipv6 = Field(default="", description="with wrong-answer: default 2001:db8::1")

    summary: ClassVar[str] = "Spoils what name servers answer to the container, for some names; all others resolve."
    mechanism: ClassVar[str] = "our answerer over NFQUEUE, where answers arrive in the container's network namespace"
    undo_text: ClassVar[str] = (
        "taken out; names are right as ever when the answerer or its lease ends, at most 10 s later"
    )
    needs: ClassVar[str] = Impairment.needs
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = Impairment.abilities

    @model_validator(mode="after")
    def _addresses(self) -> DnsFailure:
        if self.mode != "wrong-answer" and (self.ipv4 or self.ipv6):
            message = "ipv4 and ipv6 with mode wrong-answer alone"
            raise ValueError(message)
        return self

    def params(self) -> Mapping[str, object]:
        """What the answerer is told."""
        given = {"ipv4": self.ipv4, "ipv6": self.ipv6}
        return {"names": self.names, "mode": self.mode, **{name: each for name, each in given.items() if each}}

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """The same in each container, whichever server it asks."""
        rules = {"kind": "dns_failure", "match": {}, "params": self.params()}
        return self.planned(containers, {container.id: rules for container in containers})
