"""What every fault has in common: its parameters on the way in, a plan of commands and looks on the way out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerFacts, Value
from coordinator.faults.looks import Look, Undo
from coordinator.quantities import Duration
from coordinator.record import FaultClass


class TargetPlan(Value):
    """One target of one fault: what is run, what must then be seen, and how it is put back."""

    container_id: str
    name: str
    started_at: str
    pre_state: str
    inject: DockerCommand
    effect: Look
    undo: Undo | None


class Untouched(Value):
    """A selected container that is left alone, and why in a few words (already in the wanted state, not running)."""

    container_id: str
    name: str
    why: str


class FaultPlan(Value):
    """The plan of one fault over all its targets."""

    targets: tuple[TargetPlan, ...]
    untouched: tuple[Untouched, ...] = ()

    @property
    def undos(self) -> tuple[Undo, ...]:
        """The undos of all targets, in the order the targets were planned."""
        return tuple(target.undo for target in self.targets if target.undo is not None)


class FaultSpec(BaseModel, ABC):
    """A fault as a scenario writes it. Subclasses add parameters and the planner; they touch nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, coerce_numbers_to_str=True)

    fault_class: ClassVar[FaultClass] = FaultClass.JOURNAL
    summary: ClassVar[str]
    """What it does, in one sentence."""
    undo_text: ClassVar[str]
    """How it is undone, in a few words."""
    mechanism: ClassVar[str]
    """What does it, as `docker pause`."""
    needs: ClassVar[str] = "a Docker engine"
    """What must be there, in one line."""
    by_helper: ClassVar[bool] = False
    """Whether a helper container does it, whose image must be there before its time."""

    type: str
    target: str = Field(description="a name under `targets`")
    at: Duration = Field(default=0.0, description="seconds after the phase's start")
    lasts: Duration | None = Field(default=None, alias="for", description="until the undo; default: to the phase's end")

    @abstractmethod
    def plan(self, containers: Sequence[ContainerFacts]) -> FaultPlan:
        """The commands for these containers, as they are now. Pure: the same facts give the same plan."""
