"""Faults of the disk under a container: kept busy by stressors, or filled. Plans only what runs; whether a path is
there and has room is for the program in the helper to see, from inside the container.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from coordinator.faults.commands import FAULT, HELPER_PROGRAMS
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.limits import CgroupFault
from coordinator.faults.looks import Undo
from coordinator.faults.model import ALONE, FaultPlan, Surroundings
from coordinator.faults.stress import MOST_WORKERS, StressFault
from coordinator.quantities import Percent, Size, SizeOrShare, at_least, parse_size

INSIDE: Final = ("SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "DAC_OVERRIDE")
"""What a helper may in order to enter a container's mount namespace, and to write there wherever the container may."""

FILL_PROGRAM: Final = f"{HELPER_PROGRAMS}/fill.py"
"""What makes a file in a container that takes its disk's room: `remove FAULT WITHIN PATH CONTAINER` takes it away."""

LONGEST_PATH: Final = 1024
LEAST_FILL: Final = "4k"
NOWHERE: Final = "?"
"""Stands for a way that nobody knows."""

WITH_RUN: Final = "tmpfs"
"""Stands for the way to what is gone when the container is down."""

INTO: Final = "/./"
"""Stands between a folder of the engine's machine and the way in it."""

DEFAULT_CAP: Final = 4 << 30
_PLAIN: Final = re.compile(r"(?!.*/\.\.(/|$))/[^\x00-\x1f\x7f]*")


def _absolute(text: str) -> str:
    """Raises ValueError."""
    if len(text) > LONGEST_PATH or _PLAIN.fullmatch(text) is None:
        message = (
            f"a path inside the container that begins with /, without .., of at most {LONGEST_PATH} characters, is due"
        )
        raise ValueError(message)
    return text


FolderPath = Annotated[str, AfterValidator(_absolute)]


class DiskIoStress(StressFault):
    """Processes that write to a disk and read from it, without end."""

    type: Literal["disk_io_stress"]
    workers: int = Field(default=1, ge=1, le=MOST_WORKERS, description="how many processes")
    path: FolderPath = Field(default="/", description="the folder in the container, whose disk is kept busy; no link")

    summary: ClassVar[str] = "Keeps the disk under a folder of the container busy, within the container's limits."
    mechanism: ClassVar[str] = "processes started by a helper container, moved into the target's cgroup and mounts"
    undo_text: ClassVar[str] = f"{StressFault.undo_text}; their files have no name and are gone with them"
    capabilities: ClassVar[tuple[str, ...]] = INSIDE
    in_mounts: ClassVar[bool] = True
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (*StressFault.abilities, ("mount_namespace",))

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Load the disk of each running container."""
        return self.planned(containers, "disk", f"{self.workers}x{self.path}")


class DiskFill(CgroupFault):
    """A file that takes the room of the disk under a folder."""

    type: Literal["disk_fill"]
    path: FolderPath = Field(default="/", description="the folder in the container, whose disk is filled; no link")
    size: Annotated[SizeOrShare, at_least(LEAST_FILL)] | None = Field(
        default=None, description="how much is taken, at least 4k; or what percent says"
    )
    percent: Annotated[Percent, Field(gt=0)] | None = Field(
        default=None, description="how much of the disk is used in the end, as df shows it"
    )
    cap: Size | None = Field(
        default=None, ge=parse_size(LEAST_FILL), description="with percent: the most that may be taken; default 4g"
    )

    summary: ClassVar[str] = "Takes the room of the disk under a folder of the container."
    mechanism: ClassVar[str] = "a file made by a helper container inside the target's mount namespace (fallocate)"
    undo_text: ClassVar[str] = "the file is removed, whether the container runs or not"
    program: ClassVar[str] = FILL_PROGRAM
    capabilities: ClassVar[tuple[str, ...]] = INSIDE
    in_mounts: ClassVar[bool] = True
    one_off: ClassVar[bool] = True
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = DiskIoStress.abilities

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.size is None) == (self.percent is None):
            message = "size or percent: one of them is due"
            raise ValueError(message)
        if self.cap is not None and isinstance(self.size, int):
            message = "cap with percent alone: a size is its own"
            raise ValueError(message)
        return self

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Fill each running container's."""
        value = f"{self.percent:g}%" if self.size is None else str(self.size)
        cap = self.size if isinstance(self.size, int) else self.cap or DEFAULT_CAP
        return self.planned(containers, value, str(cap), self.path)

    def undo_of(self, container: ContainerFacts) -> Undo:
        """From inside where the container runs, else from where its files are."""
        within, outlives = _whereabouts(container, self.path)
        command = self._asked("remove", FAULT, within, self.path, container.id)
        # A file is there in whatever state the container is, until it is removed.
        owed = {"command": command, "needed_in": tuple(ContainerState), "outlives": outlives}
        return super().undo_of(container).model_copy(update=owed)


def _whereabouts(container: ContainerFacts, path: str) -> tuple[str, bool]:
    """Where a folder of a container is when that is down: a folder of the engine's machine, and the way in it, and
    whether it outlives the container. NOWHERE where nobody can say, WITH_RUN where it is then gone.
    """
    parts = _parts(path)
    holding = [mount for mount in container.mounts if parts[: len(_parts(mount.path))] == _parts(mount.path)]
    mount = max(holding, key=lambda mount: len(_parts(mount.path)), default=None)
    if mount is not None and mount.in_memory:
        return WITH_RUN, False
    source = container.layer if mount is None else mount.source
    if not source.startswith("/"):
        return NOWHERE, False
    rest = parts if mount is None else parts[len(_parts(mount.path)) :]
    return f"{source}{INTO}{'/'.join(rest)}", mount is not None


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in {"", "."})


def filled_disk(argv: Sequence[str]) -> str:
    """The folder of the engine's machine on whose disk the file of such a command is; empty where nobody can say."""
    if not filled_folder(argv):
        return ""
    source, into, _ = argv[-3].partition(INTO)
    return source if into else ""


def filled_folder(argv: Sequence[str]) -> str:
    """The folder that a command takes a filling file from, as the container sees it; empty for another command."""
    *_, program, what, _fault, _way, path, _container = ("",) * 6 + tuple(argv)
    return f"/{'/'.join(_parts(path))}" if (program, what) == (FILL_PROGRAM, "remove") else ""


def filled_way(argv: Sequence[str]) -> str:
    """The way there where the container is down or gone, which may be none; empty for another command."""
    return argv[-3] if filled_folder(argv) else ""
