"""What every fault has in common: its parameters on the way in, a plan of commands and looks on the way out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from coordinator.faults.commands import KEPT, Command, DockerCommand
from coordinator.faults.facts import ContainerFacts, EngineInfo, Value
from coordinator.faults.looks import Look, Undo
from coordinator.quantities import Duration
from coordinator.record import FaultClass


class TargetPlan(Value):
    """One target of one fault: what is run, what must then be seen, and how it is put back."""

    container_id: str
    name: str
    started_at: str
    pre_state: str
    inject: Command
    effect: Look
    undo: Undo | None
    keep: DockerCommand | None = None
    """Run when it is armed: what it prints takes the place of KEPT in what mends."""

    def with_kept(self, text: str | None) -> TargetPlan:
        """The same, its undo knowing what `keep` printed; without the mending where it did not work (None)."""
        if self.undo is None or self.undo.mend is None:
            return self
        mend = None if text is None else self.undo.mend.filled({KEPT: text})
        return self.model_copy(update={"undo": self.undo.model_copy(update={"mend": mend})})


class Untouched(Value):
    """A selected container that is left alone, and why in a few words (already in the wanted state, not running)."""

    container_id: str
    name: str
    why: str


class Surroundings(Value):
    """What a planner may know beside the containers it is to hit: those of every target of the scenario, by its name,
    the engine that runs them, and the seed by which chance decides. `chosen` are the ids of those that were chosen at
    the start, in that order; some may not exist any more. Where it is empty they are those of `targets`.
    """

    targets: dict[str, tuple[ContainerFacts, ...]] = {}
    engine: EngineInfo | None = None
    seed: int = 0
    chosen: dict[str, tuple[str, ...]] = {}

    def of(self, names: Sequence[str]) -> tuple[ContainerFacts, ...]:
        """The containers of these targets, each once."""
        found = {each.id: each for name in names for each in self.targets.get(name, ())}
        return tuple(found.values())

    def chosen_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """The ids of the containers chosen for these targets, each once: what chance is drawn over."""
        ids = {name: self.chosen.get(name) or [each.id for each in self.targets.get(name, ())] for name in names}
        return tuple(dict.fromkeys(each for name in names for each in ids[name]))


ALONE: Final = Surroundings()


class FaultPlan(Value):
    """The plan of one fault over all its targets."""

    targets: tuple[TargetPlan, ...]
    untouched: tuple[Untouched, ...] = ()
    drawn: str = ""
    """What chance decided, for a person."""

    @property
    def undos(self) -> tuple[Undo, ...]:
        """The undos of all targets, in the order the targets were planned."""
        return tuple(target.undo for target in self.targets if target.undo is not None)

    def filled(self, values: Mapping[str, str]) -> FaultPlan:
        """The same for a fault that has an id by now: see `DockerCommand.filled`."""
        return self.model_copy(update={"targets": tuple(_filled(target, values) for target in self.targets)})


def _filled(target: TargetPlan, values: Mapping[str, str]) -> TargetPlan:
    undo = target.undo
    if undo is not None:
        mend = undo.mend and undo.mend.filled(values)
        undo = undo.model_copy(update={"command": undo.command.filled(values), "mend": mend})
    return target.model_copy(update={"inject": target.inject.filled(values), "undo": undo})


def _lasting(seconds: float) -> float:
    if seconds <= 0:
        message = "a duration above 0s: it would end as it begins; without `for` it lasts to the phase's end"
        raise ValueError(message)
    return seconds


Lasting = Annotated[Duration, AfterValidator(_lasting)]


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
    """Whether a helper does it, whose image must be there before its time."""
    undo_by_helper: ClassVar[bool] = False
    """Whether a helper in the target's network namespace does a part of the undo, which is left out without one."""
    in_network: ClassVar[bool] = False
    """Whether the helper acts in a network namespace, and the host itself where it may; else among processes."""
    in_mounts: ClassVar[bool] = False
    """Whether the helper acts in the target's mount namespace."""
    in_cgroups: ClassVar[bool] = False
    """Whether the helper acts on the host's cgroups."""
    capabilities: ClassVar[tuple[str, ...]] = ()
    """Those of Linux that its helper is given; it has no others."""
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """What a helper must be able to do, as `abilities.py` names it: one of each group, the best first."""
    options: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """By the name of an ability that only some of its parameters need: what cannot be had without it."""
    one_off: ClassVar[bool] = False
    """Whether nothing of it lasts that a restart of the target could end."""

    type: str
    target: str = Field(description="a name under `targets`")
    at: Duration = Field(default=0.0, description="seconds after the phase's start")
    lasts: Lasting | None = Field(default=None, alias="for", description="until the undo; default: to the phase's end")
    on_target_restart: Literal["end", "reapply"] = Field(
        default="end", description="whether the fault ends with the run it hit, or is put on the next one as well"
    )

    max_skew: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="how far apart its effects on several containers may lie; else it is an error"
    )

    def aims(self) -> tuple[str, ...]:
        """The names of the targets whose containers it hits."""
        return (self.target,)

    def peers(self) -> tuple[str, ...]:
        """The names of the targets whose addresses it needs; they may move while it is on."""
        return ()

    @property
    def wants(self) -> tuple[str, ...]:
        """Abilities that its parameters take beside those of its kind, as `abilities.py` names them."""
        return ()

    def beside(self, other: FaultSpec) -> str:
        """Why a container cannot have both at the same time, whoever is asked; empty where it can."""
        return ""

    @property
    def done_by(self) -> str:
        """What does it, as it is written in the scenario."""
        return self.mechanism

    @property
    def aimed_at(self) -> str:
        """Its targets for a person."""
        return ", ".join(self.aims())

    @abstractmethod
    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """The commands for these containers, as they are now. Pure: the same facts give the same plan.

        Raises Refused where it cannot be done to them at all.
        """
