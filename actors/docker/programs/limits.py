"""Sets a limit in the cgroup of the container named by its id, and sets back what was there before.

    limits.py put FAULT KIND VALUE CONTAINER_ID      KIND cpu: cores; memory: bytes; pids: how many more may be made
    limits.py remove FAULT|all CONTAINER_ID          the limit is what it was when this ends with 0

Runs in the host's process and cgroup namespaces, with the host's cgroups at GROUPS. What was there before is kept on
the cgroup itself, as an extended attribute: written before the limit is, and gone with the cgroup, as the limit is.
Which cgroup is the container's is decided by its processes, not by its name; versions 1 and 2 are both known. Standard
library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

from actors.docker.programs.crash import HEXADECIMAL, LENGTHS, cgroups, started

OK, FAILED, USAGE = 0, 1, 2
ALL = "all"
"""In place of a fault: whichever it was, for whoever has no record of its own."""

GROUPS = "/host-cgroup"
RECORD = "user.test-coordinator."
"""Begins the name of the attribute; the kind of limit ends it, so that one kind is set once at a time."""

LEAST_US = 1000
"""The kernel takes no smaller quota of time in a period."""

PAGE = os.sysconf("SC_PAGESIZE")
"""Limits of memory are whole ones."""

UNLIMITED = 1 << 62
"""A memory limit from here on is none: version 1 writes the largest number of whole pages."""

MEMORY = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
"""Version 1: memory, and memory with swap, which may never be less."""

KINDS = ("cpu", "memory", "pids")


class Failed(Exception):
    """It could not be done; says why, for a person."""


class Group:
    """One cgroup: its folder, and whether it is of version 2."""

    def __init__(self, folder: str, *, unified: bool) -> None:
        self.folder = folder
        self.unified = unified

    def read(self, name: str) -> str:
        """A file of it. Raises OSError."""
        with open(f"{self.folder}/{name}", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
            return file.read().strip()

    def write(self, name: str, text: str) -> None:
        """Write a file of it, and read it back. Raises Failed."""
        try:
            with open(f"{self.folder}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123  # as above
                file.write(text)
            now = self.read(name)
        except OSError as error:
            raise Failed(f"{name} could not be set to {text}: {error.strerror}") from None
        if not same(now, text):
            raise Failed(f"{name} is {now} after {text} was written")

    def join(self, pid: int) -> None:
        """Make a process one of it. Raises OSError."""
        with open(f"{self.folder}/cgroup.procs", "w", encoding="ascii") as file:  # noqa: PTH123  # as above
            file.write(str(pid))

    def has(self, name: str) -> bool:
        """Whether it has such a file."""
        return os.path.exists(f"{self.folder}/{name}")  # noqa: PTH110  # as above

    def record(self, kind: str) -> dict[str, Any] | None:
        """What is kept on it about a limit of this kind."""
        try:
            told = json.loads(os.getxattr(self.folder, RECORD + kind))
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def keep(self, kind: str, told: dict[str, object], flags: int = os.XATTR_CREATE) -> None:
        """Keep it, with these flags only where nothing is kept. Raises Failed."""
        try:
            os.setxattr(self.folder, RECORD + kind, json.dumps(told).encode(), flags)
        except FileExistsError:
            raise Failed(f"another fault limits its {kind} already") from None
        except OSError as error:
            raise Failed(f"what was there before cannot be kept on the cgroup: {error.strerror}") from None

    def kinds(self, beginning: str) -> list[str]:
        """What is kept on it, of a kind that begins so."""
        try:
            names = os.listxattr(self.folder)
        except OSError:
            return []
        return [name.removeprefix(RECORD) for name in names if name.startswith(RECORD + beginning)]

    def forget(self, kind: str) -> None:
        """Keep nothing any more. Raises OSError."""
        os.removexattr(self.folder, RECORD + kind)


def same(one: str, other: str) -> bool:
    """Whether two values of a file are one: version 1 shows the -1 of memory as the largest number there is."""
    return one == other or (unlimited(one) and unlimited(other))


def unlimited(text: str) -> bool:
    """Whether a file's value stands for no limit."""
    return text in {"-1", "max"} or (text.isdigit() and int(text) >= UNLIMITED)


def group(container: str, controller: str) -> Group | None:
    """The cgroup of a container in the hierarchy of this controller; None when no process of it is here."""
    main = main_process(container)
    return None if main is None else group_in(main.cgroups, controller, container)


def group_in(lines: list[str], controller: str, container: str = "") -> Group | None:
    """The cgroup in the hierarchy of this controller, of a process with these lines of /proc/PID/cgroup.

    Where a container is named, its own alone, also for a process further down.
    """
    for line in lines:
        _, controllers, path = line.split(":", maxsplit=2)
        if controller in controllers.split(","):
            return Group(f"{GROUPS}/{controllers}{trimmed(path, container)}", unified=False)
    for line in lines:
        number, controllers, path = line.split(":", maxsplit=2)
        if (number, controllers) == ("0", "") and container in path:
            return Group(f"{GROUPS}{trimmed(path, container)}", unified=True)
    return None


class Process(NamedTuple):
    """When it started, in ticks since boot, its id, and its cgroups, a line each."""

    started: int
    pid: int
    cgroups: list[str]


def main_process(container: str) -> Process | None:
    """A container's; all its other processes were started later."""
    ages = []
    for pid, text in cgroups().items():
        if container not in text:
            continue
        try:
            ages.append(Process(started(pid), pid, text.splitlines()))
        except OSError:
            continue
    return min(ages, default=None)


def trimmed(path: str, container: str) -> str:
    """Up to the part that is named after the container: an init inside may have made cgroups of its own below it."""
    parts = path.split("/")
    last = next((place for place, part in enumerate(parts) if container and container in part), len(parts) - 1)
    return "/".join(parts[: last + 1])


# ---------------------------------------------------------------- what is written


def cpu(where: Group, value: str) -> list[tuple[str, str]]:
    """So many cores. Raises Failed where it has no more as it is, and OSError."""
    cores = float(value)
    if where.unified:
        quota, period = where.read("cpu.max").split()
        wanted = [("cpu.max", f"{max(LEAST_US, round(cores * int(period)))} {period}")]
        before = int(quota) / int(period) if quota != "max" else 0.0
    else:
        quota, period = where.read("cpu.cfs_quota_us"), where.read("cpu.cfs_period_us")
        wanted = [("cpu.cfs_quota_us", str(max(LEAST_US, round(cores * int(period)))))]
        before = int(quota) / int(period) if int(quota) > 0 else 0.0
    if 0.0 < before <= cores:
        raise Failed(f"it is limited to {before:g} CPUs as it is")
    return wanted


def memory(where: Group, value: str) -> list[tuple[str, str]]:
    """So many bytes, with no swap beside them. Raises Failed where it has no more as it is, and OSError."""
    main, swap = ("memory.max", "memory.swap.max") if where.unified else MEMORY
    value, before = str(int(value) // PAGE * PAGE), where.read(main)
    if before != "max" and int(before) <= int(value):
        raise Failed(f"it is limited to {before} bytes as it is")
    wanted = [(main, value)]
    if where.has(swap):
        wanted.append((swap, "0" if where.unified else value))
    return wanted


def pids(where: Group, value: str) -> list[tuple[str, str]]:
    """So many more than there are now. Raises Failed where no more fit as it is, and OSError."""
    most = int(where.read("pids.current")) + int(value)
    before = where.read("pids.max")
    if before != "max" and int(before) <= most:
        raise Failed(f"it is limited to {before} processes as it is")
    return [("pids.max", str(most))]


PLANS = {"cpu": cpu, "memory": memory, "pids": pids}


# ---------------------------------------------------------------- put and remove


def put(fault: str, kind: str, value: str, container: str) -> None:
    """Keep what is there, then set the limit. Raises Failed."""
    where = group(container, kind)
    if where is None:
        raise Failed("no process of this container is seen from here: is it running on this very host?")
    try:
        wanted = PLANS[kind](where, value)
        before = [(name, where.read(name)) for name, _ in wanted]
    except OSError as error:
        raise Failed(f"its {kind} cannot be limited here: {error.strerror}: {error.filename}") from None
    where.keep(kind, {"fault": fault, "before": before, "wanted": wanted})
    try:
        for name, text in wanted:
            where.write(name, text)
    except Failed:
        restore(where, before)
        where.forget(kind)
        raise


def remove(fault: str, container: str) -> None:
    """Set back what this fault set, whatever kind it is; nothing where it set nothing. Raises Failed."""
    for kind in KINDS:
        where = group(container, kind)
        told = where.record(kind) if where is not None else None
        if where is None or told is None or fault not in {told.get("fault"), ALL}:
            continue
        try:
            # What somebody else has changed since is theirs.
            ours = {name for name, text in told["wanted"] if same(where.read(name), text)}
            restore(where, [(name, text) for name, text in told["before"] if name in ours])
            where.forget(kind)
        except OSError as error:
            if os.path.exists(where.folder):  # noqa: PTH110  # pathlib takes long to import
                raise Failed(f"its {kind} could not be set back: {error.strerror}") from None


def restore(where: Group, before: list[tuple[str, str]]) -> None:
    """In the reverse order of setting: up again, memory with swap is the first. Raises Failed."""
    for name, text in reversed(before):
        where.write(name, "-1" if name in MEMORY and int(text) >= UNLIMITED else text)


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["put", fault, kind, value, container] if kind in KINDS and known(container):
            work: Callable[[], None] = partial(put, fault, kind, value, container)
        case ["remove", fault, container] if known(container):
            work = partial(remove, fault, container)
        case _:
            sys.stderr.write("usage: limits.py put FAULT KIND VALUE CONTAINER_ID | remove FAULT CONTAINER_ID\n")
            return USAGE
    return done(work, container)


def done(work: Callable[[], None], container: str) -> int:
    """How a program ends that does this to a container: 0, or 1 with one line that says why it could not be done."""
    try:
        work()
    except Failed as error:
        sys.stderr.write(f"{container[:12]}: {error}\n")
        return FAILED
    return OK


def known(container: str) -> bool:
    """Whether it is an id, and nothing that could be part of another's cgroup."""
    return len(container) in LENGTHS and HEXADECIMAL.issuperset(container)


if __name__ == "__main__":
    sys.exit(main())
