"""The container that is loaded: which processes and cgroups are its own, what they use, and how much more would fit.

Decides nothing about stressors. Standard library only.
"""

from __future__ import annotations

import os
from typing import Final

from actors.docker.programs import limits
from actors.docker.programs.crash import NOT_SEEN, STARTED, cgroup_of, started
from actors.docker.programs.limits import Failed, Group

FREE_SHARE: Final = 0.9
"""The most of the host's available memory that is taken: beyond, its other containers would suffer."""

OOM_FILES: Final = ("memory.events", "memory.oom_control")
"""Where the kernel counts what it killed for want of memory: version 2, version 1."""


class Target:
    """A container's main process, and the folders of the cgroups it is in."""

    def __init__(self, container: str) -> None:
        """Look for it. Raises Failed."""
        main = limits.main_process(container)
        if main is None:
            raise Failed(NOT_SEEN)
        self.container = container
        self.since, self.pid, self.lines = main
        self.groups = [found for found in map(self._group, self.lines) if found is not None]

    def _group(self, line: str) -> Group | None:
        """Of one line of /proc/PID/cgroup; None for a hierarchy in which it has no cgroup of its own."""
        _, controllers, path = line.split(":", maxsplit=2)
        if self.container not in path:
            return None
        names = [controllers.removeprefix("name=")] if controllers else ["", "unified"]
        groups = (Group(f"{limits.GROUPS}/{name}{path}", unified=not controllers) for name in names)
        return next((each for each in groups if each.has("cgroup.procs")), None)

    def runs(self) -> bool:
        """Whether this very process still does."""
        try:
            return started(self.pid) == self.since
        except OSError:
            return False

    def take(self, pid: int) -> None:
        """Make a process one of its cgroups. Raises Failed."""
        for group in self.groups:
            try:
                group.join(pid)
            except OSError as error:
                raise Failed(f"its cgroup {group.folder} cannot be joined: {error.strerror}") from None
        if self.container not in cgroup_of(pid):
            raise Failed("the stressor is not in its cgroup after it has joined")

    def used(self, kind: str) -> int:
        """CPU time in microseconds, or bytes of memory, as its own accounting has it. Raises Failed."""
        where = limits.group_in(self.lines, "cpuacct" if kind == "cpu" else kind, self.container)
        if where is None:
            raise Failed(f"its {kind} is not counted here")
        try:
            if kind == "memory":
                return int(where.read("memory.current" if where.unified else "memory.usage_in_bytes"))
            if not where.unified:
                return int(where.read("cpuacct.usage")) // 1000
            return int(where.read("cpu.stat").split()[1])
        except OSError as error:
            raise Failed(f"its accounting of {kind} cannot be read: {error.strerror}") from None

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel has killed for want of memory; None where it is gone or not counted."""
        where = limits.group_in(self.lines, "memory", self.container)
        if where is None:
            return None
        try:
            words = where.read(OOM_FILES[0] if where.unified else OOM_FILES[1]).split()
            return int(words[words.index("oom_kill") + 1])
        except (OSError, ValueError):
            return None

    def memory(self, wanted: str) -> int:
        """How many bytes, in whole pages, `BYTES` or `SHARE%` of its limit come to. Raises Failed without room."""
        where = limits.group_in(self.lines, "memory", self.container)
        try:
            limit = where.read("memory.max" if where.unified else limits.MEMORY[0]) if where else ""
        except OSError:
            limit = ""
        if not limit:
            raise Failed("it has ended, or its memory is not counted here")
        of_host = memory_of_host()
        whole = of_host["MemTotal"] if limits.unlimited(limit) else int(limit)
        size = int(float(wanted[:-1]) / 100 * whole) if wanted.endswith("%") else int(wanted)
        size = max(limits.PAGE, size // limits.PAGE * limits.PAGE)
        most = int(of_host["MemAvailable"] * FREE_SHARE)
        # Beyond its own limit it is the container that runs out of memory, not the host.
        if min(size, whole) > most:
            raise Failed(f"{size} bytes are more than this host can spare: {most}")
        return size


def memory_of_host() -> dict[str, int]:
    """What the kernel says of the host's memory, in bytes by its names."""
    lines = (line.split() for line in meminfo().splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines}


def meminfo() -> str:
    """The same as text."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
        return file.read()


class Process:
    """A process known by its folder in /proc, which is looked at even from where that is not seen."""

    def __init__(self, pid: int, since: int) -> None:
        """Of this number, started at this time in ticks since boot. Raises OSError when it is gone."""
        self._since = since
        self._folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)

    def runs(self) -> bool:
        """Whether this very process still does, as one that can still be reaped does not."""
        try:
            fields = self.read("stat").rpartition(")")[2].split()
        except OSError:
            return False
        return int(fields[STARTED]) == self._since and fields[0] not in "ZX"

    def parent(self) -> int:
        """The number of its parent, 0 where that is not seen here. Raises OSError when it is gone."""
        return int(self.read("stat").rpartition(")")[2].split()[1])

    def read(self, name: str) -> str:
        """A file of its folder. Raises OSError when it is gone."""
        with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=self._folder), encoding="utf-8", errors="replace") as file:
            return file.read()

    def mount_namespace(self) -> int:
        """A descriptor of it. Raises OSError."""
        return os.open("ns/mnt", os.O_RDONLY, dir_fd=self._folder)
