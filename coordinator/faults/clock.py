"""Another time of day inside a container than on its host. Plans only what runs; whether this machine's kernel can be
led astray so is for the program in the helper to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from pydantic import Field, field_validator

from coordinator.faults.commands import HELPER_PROGRAMS
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.limits import CgroupFault
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings
from coordinator.quantities import Offset

CLOCK_PROGRAM: Final = f"{HELPER_PROGRAMS}/clock.py"
"""What changes the code by which processes of the engine's machine tell the time."""

MOST_S: Final = 50 * 365 * 86400.0
NS: Final = 1_000_000_000


class ClockSkew(CgroupFault):
    """The kernel's code for telling the time, changed in each process. Experimental, x86-64 alone."""

    type: Literal["clock_skew"]
    offset: Offset = Field(ge=-MOST_S, le=MOST_S, description="how much later the clock is; earlier with a minus")

    program: ClassVar[str] = CLOCK_PROGRAM
    capabilities: ClassVar[tuple[str, ...]] = ("SYS_PTRACE",)
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("clock",))
    summary: ClassVar[str] = "Sets the clock of the container's processes forward or back (x86-64, experimental)."
    undo_text: ClassVar[str] = "the kernel's own code again, byte for byte"
    mechanism: ClassVar[str] = "a helper container, the vDSO of each process"
    needs: ClassVar[str] = "a Docker engine on Linux on x86-64, and the helper image (HELPER_IMAGE)"

    @field_validator("offset")
    @classmethod
    def _moves(cls, offset: float) -> float:
        if round(offset * 1000) == 0:
            message = "at least 1ms, forward or back"
            raise ValueError(message)
        return offset

    def beside(self, other: FaultSpec) -> str:
        """The code of a process is changed once."""
        return "a container has one skewed clock at a time" if isinstance(other, ClockSkew) else ""

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Skew the clock of each running container."""
        return self.planned(containers, "realtime", str(round(self.offset * 1000) * (NS // 1000)))
