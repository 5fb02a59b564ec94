"""Single processes inside a container: ended by a signal, or stopped and let go on. Plans only what runs; which
processes are meant is for the program in the helper to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from coordinator.faults.commands import HELPER_PROGRAMS, DockerCommand
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.lifecycle import SIGNALS, among_processes, each_running, signal_name
from coordinator.faults.limits import DEADLINE_S, CgroupFault
from coordinator.faults.looks import Look, Succeeded, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings
from coordinator.faults.regex import Regex

SIGNALS_PROGRAM: Final = f"{HELPER_PROGRAMS}/signals.py"
"""What finds processes on the engine's machine and signals them."""

LONGEST: Final = 256


class ProcessFault(FaultSpec):
    """Which processes are meant."""

    name: str | None = Field(
        default=None, min_length=1, max_length=LONGEST, description="all of this name, as ps shows it, or executable"
    )
    pattern: Regex | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST,
        description="all with this regular expression in the command line",
    )

    @field_validator("name", "pattern")
    @classmethod
    def _is_text(cls, text: str | None) -> str | None:
        if text is not None and not text.isprintable():
            message = "text that can be printed"
            raise ValueError(message)
        return text

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.name is None) == (self.pattern is None):
            message = "name or pattern: one of them is due"
            raise ValueError(message)
        return self

    @property
    def meant(self) -> tuple[str, str]:
        """By what they are found, and the text."""
        return ("name", self.name) if self.name is not None else ("pattern", self.pattern or "")


class ProcessKill(ProcessFault):
    """A signal to processes inside, but the main process: for that one there are container_kill and container_crash."""

    type: Literal["process_kill"]
    signal: str = Field(default="SIGKILL", description="a signal name or number")

    capabilities: ClassVar[tuple[str, ...]] = ("KILL",)
    summary: ClassVar[str] = "Sends a signal (SIGKILL) to processes inside the container, but for its main process."
    undo_text: ClassVar[str] = "none: whoever started them starts them again"
    mechanism: ClassVar[str] = "a helper container in the host's process namespace, kill"
    needs: ClassVar[str] = "a Docker engine on Linux and the helper image (HELPER_IMAGE)"
    by_helper: ClassVar[bool] = True
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("kill",))
    one_off: ClassVar[bool] = True

    @field_validator("signal")
    @classmethod
    def _known_signal(cls, signal: str) -> str:
        return signal_name(signal)

    @field_validator("on_target_restart")
    @classmethod
    def _once(cls, wish: str) -> str:
        if wish == "reapply":
            message = "end: a signal is sent once"
            raise ValueError(message)
        return wish

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Signal them in each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            asked = ("kill", *self.meant, str(SIGNALS[self.signal]), container.id)
            return (
                DockerCommand(argv=(*among_processes("KILL"), SIGNALS_PROGRAM, *asked), deadline_s=DEADLINE_S),
                Succeeded(),
                None,
            )

        return each_running(containers, one)


class ProcessFreeze(ProcessFault, CgroupFault):
    """SIGSTOP and SIGCONT, to the main process too where it is meant. What is stopped already is left alone."""

    type: Literal["process_freeze"]

    program: ClassVar[str] = SIGNALS_PROGRAM
    capabilities: ClassVar[tuple[str, ...]] = ("KILL",)
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("kill",), ("cgroup_record",))
    summary: ClassVar[str] = "Stops processes inside the container: they are there, and do nothing."
    undo_text: ClassVar[str] = "SIGCONT to those that it stopped, and to no other"
    mechanism: ClassVar[str] = "a helper container in the host's process namespace, SIGSTOP"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Stop them in each running container."""
        return self.planned(containers, *self.meant)
