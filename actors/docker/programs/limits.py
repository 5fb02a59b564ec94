"""Sets a limit in the cgroup of the container named by its id, and sets back what was there before.

    limits.py put FAULT KIND VALUE ON_CHANGE MARK CONTAINER_ID
                KIND cpu: cores; memory: bytes or SHARE%; pids: how many more may be made
                ON_CHANGE end or reapply: what `hold` does where somebody else changes the limit meanwhile
                MARK bears the fault's deadline, after which nothing is put
    limits.py remove FAULT|all CONTAINER_ID
                the limit is what it was when this ends with 0, or what somebody else has made of it: then this says so
    limits.py hold
                the same, asked for in lines of JSON; see limits_held.py

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

from actors.docker.programs.crash import HEXADECIMAL, LENGTHS, NOT_SEEN, cgroups, started

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
ON_CHANGE = ("end", "reapply")
PUT_WORDS = 6

LEAST_MEMORY = 6 << 20
"""Docker's own least limit: with less, nothing starts."""

PID_MAX = "/proc/sys/kernel/pid_max"
LEFT = "left as it is: "
"""Begins what `remove` says where somebody else has changed the limit since."""


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

    def foreign(self, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of files that we have set to these values, those that have another, with what that is. Raises OSError."""
        found = [(name, text, self.read(name)) for name, text in wanted]
        return [(name, now) for name, text, now in found if not same(now, text)]

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


def cpu(where: Group, value: str, main: int) -> list[tuple[str, str]]:
    """So many cores. Raises Failed where it has no more as it is, and OSError."""
    cores, there = float(value), len(os.sched_getaffinity(main))
    if where.unified:
        quota, period = where.read("cpu.max").split()
        wanted = [("cpu.max", f"{max(LEAST_US, round(cores * int(period)))} {period}")]
        before = int(quota) / int(period) if quota != "max" else 0.0
    else:
        quota, period = where.read("cpu.cfs_quota_us"), where.read("cpu.cfs_period_us")
        wanted = [("cpu.cfs_quota_us", str(max(LEAST_US, round(cores * int(period)))))]
        before = int(quota) / int(period) if int(quota) > 0 else 0.0
    if 0.0 < before <= cores:
        raise Failed(f"it is limited to {before:g} CPUs as it is: {cores:g} would limit nothing")
    if cores >= there:
        raise Failed(f"it has {there} CPUs to run on as it is: {cores:g} would limit nothing")
    return wanted


def memory(where: Group, value: str, _main: int = 0) -> list[tuple[str, str]]:
    """So many bytes, with no swap beside them. Raises Failed where it has no more as it is, and OSError."""
    main, swap = ("memory.max", "memory.swap.max") if where.unified else MEMORY
    before, there = where.read(main), os.sysconf("SC_PHYS_PAGES") * PAGE
    whole = there if unlimited(before) else min(int(before), there)
    most = int(whole * float(value[:-1]) / 100) if value.endswith("%") else int(value)
    most = most // PAGE * PAGE
    if most >= whole:
        limited = f"it is limited to {before}" if whole < there else f"this machine has {there}"
        raise Failed(f"{limited} bytes as it is: {most} would limit nothing")
    if most < LEAST_MEMORY:
        raise Failed(f"{value} of {whole} bytes are {most}: at least {LEAST_MEMORY} are due")
    wanted = [(main, str(most))]
    if where.has(swap):
        wanted.append((swap, "0" if where.unified else str(most)))
    return wanted


def pids(where: Group, value: str, _main: int = 0) -> list[tuple[str, str]]:
    """So many more than there are now. Raises Failed where no more fit as it is, and OSError."""
    most = int(where.read("pids.current")) + int(value)
    before = where.read("pids.max")
    if before != "max" and int(before) <= most:
        raise Failed(f"it is limited to {before} processes as it is: {most} would limit nothing")
    with open(PID_MAX, encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
        there = int(file.read())
    if there <= most:
        raise Failed(f"this machine has at most {there} processes as it is: {most} would limit nothing")
    return [("pids.max", str(most))]


PLANS: dict[str, Callable[[Group, str, int], list[tuple[str, str]]]] = {"cpu": cpu, "memory": memory, "pids": pids}


# ---------------------------------------------------------------- put and remove


def put(fault: str, kind: str, value: str, container: str, *, anew: bool = False) -> Group:
    """Keep what is there, then set the limit; the cgroup that has it. Raises Failed.

    Put once more, it is refused where somebody else has changed it since, or set `anew`: theirs is set back then.
    """
    main = main_process(container)
    if main is None:
        raise Failed(NOT_SEEN)
    where = group_in(main.cgroups, kind, container)
    if where is None:
        raise Failed(f"its {kind} is not limited by a cgroup here")
    try:
        told = where.record(kind)
        if told is not None and told.get("fault") == fault:
            theirs, flags = dict(where.foreign(told["wanted"])), os.XATTR_REPLACE
            if not theirs:
                return where
            if not anew:
                raise Failed(", ".join(changed(list(theirs.items()))))
            wanted = PLANS[kind](where, value, main.pid) if told["wanted"][0][0] in theirs else told["wanted"]
            before = [(name, theirs.get(name, text)) for name, text in told["before"]]
        else:
            wanted, flags = PLANS[kind](where, value, main.pid), os.XATTR_CREATE
            before = [(name, where.read(name)) for name, _ in wanted]
    except OSError as error:
        raise Failed(f"its {kind} cannot be limited here: {error.strerror}: {error.filename}") from None
    where.keep(kind, {"fault": fault, "before": before, "wanted": wanted}, flags)
    try:
        for name, text in wanted:
            where.write(name, text)
    except Failed:
        restore(where, before)
        where.forget(kind)
        raise
    return where


def remove(fault: str, container: str) -> str:
    """Set back what this fault set, whatever kind it is; nothing where it set nothing. Raises Failed.

    What somebody else has changed since is theirs: says what that is.
    """
    left = []
    for kind in KINDS:
        where = group(container, kind)
        told = where.record(kind) if where is not None else None
        if where is None or told is None or fault not in {told.get("fault"), ALL}:
            continue
        try:
            theirs = dict(where.foreign(told["wanted"]))
            restore(where, [(name, text) for name, text in told["before"] if name not in theirs])
            where.forget(kind)
            left += changed(list(theirs.items()))
        except OSError as error:
            if os.path.exists(where.folder):  # noqa: PTH110  # pathlib takes long to import
                raise Failed(f"its {kind} could not be set back: {error.strerror}") from None
    return f"{LEFT}{', '.join(left)}" if left else ""


def changed(theirs: list[tuple[str, str]]) -> list[str]:
    """What somebody else has set, for a person."""
    return [f"{name} was set to {'max' if unlimited(now) else now} by somebody else" for name, now in theirs]


def restore(where: Group, before: list[tuple[str, str]]) -> None:
    """In the reverse order of setting: up again, memory with swap is the first. Raises Failed."""
    for name, text in reversed(before):
        where.write(name, "-1" if name in MEMORY and int(text) >= UNLIMITED else text)


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["put", *words] if can_be_put(words):
            container = words[-1]
            work: Callable[[], object] = partial(put_once, *words)
        case ["remove", fault, container] if known(container):
            work = partial(remove_once, fault, container)
        case ["hold"]:
            # Loaded by nobody else: it takes its time.
            from actors.docker.programs.limits_held import hold

            return hold()
        case _:
            usage = "put FAULT KIND VALUE ON_CHANGE MARK CONTAINER_ID | remove FAULT CONTAINER_ID | hold"
            sys.stderr.write(f"usage: limits.py {usage}\n")
            return USAGE
    return done(work, container)


def put_once(fault: str, kind: str, value: str, on_change: str, mark: str, container: str) -> None:
    """Put it, if there is still time. Raises Failed."""
    # Not above: it imports this very module.
    from actors.docker.programs.running import in_time

    in_time(mark)
    put(fault, kind, value, container, anew=on_change == "reapply")


def remove_once(fault: str, container: str) -> None:
    """Remove, have nobody put any more, and say what is left to somebody else. Raises Failed."""
    from actors.docker.programs.pending import end_puts

    end_puts("limits.py", fault, container)
    left = remove(fault, container)
    if left:
        sys.stdout.write(f"{left}\n")


def can_be_put(words: list[str]) -> bool:
    """Whether these are FAULT KIND VALUE ON_CHANGE MARK CONTAINER_ID."""
    if len(words) != PUT_WORDS:
        return False
    _, kind, _, on_change, _, container = words
    return kind in KINDS and on_change in ON_CHANGE and known(container)


def done(work: Callable[[], object], container: str) -> int:
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
    # What others raise as Failed is what is caught here.
    sys.modules["actors.docker.programs.limits"] = sys.modules["__main__"]
    sys.exit(main())
