"""Load inside a container's own limits: CPU time and memory used by processes of ours in its cgroup. Plans only what
runs; whether there is room is for the program in the helper to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from coordinator.faults.commands import STRESS_PROGRAM
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.limits import CgroupFault
from coordinator.faults.model import ALONE, FaultPlan, Surroundings
from coordinator.quantities import Percent, SizeOrShare, at_least
from coordinator.record import FaultClass

MOST_WORKERS: Final = 64
LEAST_MEMORY: Final = "1m"


class StressFault(CgroupFault):
    """What all of them have in common: the stressor is no process of the container, but is counted and limited as one.

    It ends by itself with the container's run, at the execution's deadline, and when nobody holds it any more.
    """

    fault_class: ClassVar[FaultClass] = FaultClass.LEASE
    program: ClassVar[str] = STRESS_PROGRAM
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("cgroup_join",))
    undo_text: ClassVar[str] = (
        "the stressors are killed; they end with the container's run, and soon after whoever started them"
    )


class CpuStress(StressFault):
    """Processes that take CPU time, each a share of one CPU."""

    type: Literal["cpu_stress"]
    workers: int = Field(default=1, ge=1, le=MOST_WORKERS, description="how many processes")
    load: Annotated[Percent, Field(gt=0, description="of one CPU, by each worker")] = 100.0

    summary: ClassVar[str] = "Uses CPU time inside the container's limits, each worker its share of one CPU."
    mechanism: ClassVar[str] = "processes started by a helper container, moved into the target's cgroup"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Load each running container."""
        return self.planned(containers, "cpu", f"{self.workers}x{self.load:g}")


class MemoryStress(StressFault):
    """One process that holds memory, every page of it touched."""

    type: Literal["memory_stress"]
    size: Annotated[SizeOrShare, at_least(LEAST_MEMORY)] | None = Field(
        default=None, description="how much it holds, at least 1m; or what percent says"
    )
    percent: Annotated[Percent, Field(gt=0)] | None = Field(
        default=None, description="the same as a share of the container's limit; of the host's memory where it has none"
    )

    summary: ClassVar[str] = "Holds memory inside the container's limits."
    mechanism: ClassVar[str] = "a process started by a helper container, moved into the target's cgroup"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.size is None) == (self.percent is None):
            message = "size or percent: one of them is due"
            raise ValueError(message)
        return self

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Fill each running container."""
        wanted = f"{self.percent:g}%" if self.size is None else str(self.size)
        return self.planned(containers, "memory", wanted)
