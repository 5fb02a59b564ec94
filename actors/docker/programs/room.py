"""How much room there is where a file would be put, and whose: the host's disk, its memory, or the container's alone.

Decides what may be taken; puts nothing. Standard library only.
"""

from __future__ import annotations

import math
import os
import re
from typing import Final, NamedTuple

from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import FREE_SHARE

RESERVE_SHARE: Final = 0.05
RESERVE_LEAST: Final = 1 << 30
"""What stays free of a disk that the host lives on: so much of it, and so many bytes at least."""

IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
OF_CONTAINERS: Final = re.compile(r"/volumes/[^/]+/_data$|/containers/[^/]+/mounts/shm$")
"""Ends where an engine mounts a volume that is a file system of its own, or a container's shared memory."""

ID, DEVICE, POINT = 0, 2, 4
"""Places in a line of mountinfo."""


class Room(NamedTuple):
    """Of a file system, in bytes: whose it is (`host`, `memory` or `own`), what is used and what is free."""

    whose: str
    used: int
    free: int


def room(folder: int, mount: str, inside: str, host: str) -> Room:
    """Of an open folder, in the mount of this id; `inside` and `host` are mountinfo of the container and the host."""
    system = os.fstatvfs(folder)
    used = (system.f_blocks - system.f_bfree) * system.f_frsize
    return Room(whose(mount, inside, host), used, system.f_bavail * system.f_frsize)


def whose(mount: str, inside: str, host: str) -> str:
    """Whose the file system of a mount is. What nobody can tell is the host's."""
    here = next((line.split() for line in inside.splitlines() if line.split()[ID] == mount), None)
    if here is None:
        return "host"
    kind = here[here.index("-") + 1]
    points = [line.split()[POINT] for line in host.splitlines() if line.split()[DEVICE] == here[DEVICE]]
    if kind == "overlay" or not all(OF_CONTAINERS.search(point) for point in points):
        # A container's own layer lies on the disk of the engine.
        return "host"
    return "memory" if kind in IN_MEMORY else "own"


def wanted(value: str, cap: int, there: Room, memory: int) -> int:
    """How many bytes `BYTES` or `SHARE%` comes to. Raises Failed where that may not be taken.

    A share is what is to be used in the end, as df shows it; more than `cap` bytes are refused. `memory` is what the
    host has available.
    """
    size = int(value) if value.isdigit() else share(float(value.rstrip("%")) / 100, there)
    if size > cap:
        raise Failed(f"{value} would take {size} bytes, more than its cap of {cap}")
    if size > there.free:
        raise Failed(f"{size} bytes are more than is free there: {there.free}")
    if there.whose == "memory" and size > memory * FREE_SHARE:
        raise Failed(f"{size} bytes of memory are more than this host can spare: {int(memory * FREE_SHARE)}")
    if there.whose == "host":
        reserve = max(RESERVE_LEAST, int((there.used + there.free) * RESERVE_SHARE))
        if there.free - size < reserve:
            raise Failed(
                f"{size} bytes would leave {there.free - size} free of the host's disk, which must keep {reserve}"
            )
    return size


def share(part: float, there: Room) -> int:
    """What is missing until so much is used. Raises Failed where it is as it is."""
    size = math.ceil(part * (there.used + there.free)) - there.used
    if size <= 0:
        full = 100 * there.used / max(1, there.used + there.free)
        raise Failed(f"{full:.1f} % are used as it is")
    return size
