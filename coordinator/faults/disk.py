"""Faults of the disk under a container: kept busy by stressors. Plans only what runs; whether a path is there and has
room is for the program in the helper to see, from inside the container.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from coordinator.faults.commands import HELPER_PROGRAMS, MARK
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.model import ALONE, FaultPlan, Surroundings
from coordinator.faults.stress import MOST_WORKERS, StressFault

INSIDE: Final = ("SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "DAC_OVERRIDE")
"""What a helper may in order to enter a container's mount namespace, and to write there wherever the container may."""

FILL_PROGRAM: Final = f"{HELPER_PROGRAMS}/fill.py"
"""What makes a file in a container that takes its disk's room: `remove FAULT PATH CONTAINER` takes it away."""

LONGEST_PATH: Final = 1024
_PLAIN: Final = re.compile(r"/[^\x00-\x1f\x7f]*")


def _absolute(text: str) -> str:
    """Raises ValueError."""
    if len(text) > LONGEST_PATH or _PLAIN.fullmatch(text) is None:
        message = f"a path inside the container that begins with /, of at most {LONGEST_PATH} characters, is due"
        raise ValueError(message)
    return text


FolderPath = Annotated[str, AfterValidator(_absolute)]


class DiskIoStress(StressFault):
    """Processes that write to a disk and read from it, without end."""

    type: Literal["disk_io_stress"]
    workers: int = Field(default=1, ge=1, le=MOST_WORKERS, description="how many processes")
    path: FolderPath = Field(default="/", description="the folder in the container, whose disk is kept busy")

    summary: ClassVar[str] = "Keeps the disk under a folder of the container busy, within the container's limits."
    mechanism: ClassVar[str] = "processes started by a helper container, moved into the target's cgroup and mounts"
    undo_text: ClassVar[str] = f"{StressFault.undo_text}; their files have no name and are gone with them"
    capabilities: ClassVar[tuple[str, ...]] = INSIDE
    in_mounts: ClassVar[bool] = True
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (*StressFault.abilities, ("mount_namespace",))

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Load the disk of each running container."""
        return self.planned(containers, "disk", f"{self.workers}x{self.path}", MARK)


def filled_folder(argv: Sequence[str]) -> str:
    """The folder that a command takes a filling file from; empty where it is another command."""
    *_, program, what, _fault, path, _container = ("", "", "", "", "", *argv)
    return path if (program, what) == (FILL_PROGRAM, "remove") else ""
