"""Loads the container named by its id from inside its limits, with processes that are not of it but in its cgroups.

    stress.py put FAULT cpu WORKERSxLOAD MARK CONTAINER_ID        LOAD: per cent of one CPU, by each worker
    stress.py put FAULT memory BYTES|SHARE% MARK CONTAINER_ID     SHARE of the container's limit
    stress.py remove FAULT CONTAINER_ID                           none of this fault runs when this ends with 0

Runs in the host's process and cgroup namespaces, with the host's cgroups mounted. A stressor waits until it has joined
all cgroups of the container's main process; `put` ends with 0 when the container's own accounting shows it. It outlives
this program, and ends at the time `expires` in MARK or with the main process, whatever else is dead. It is the first
that the kernel kills for want of memory. It is found by its command line. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import mmap
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from actors.docker.programs import limits
from actors.docker.programs.crash import cgroup_of, started
from actors.docker.programs.limits import FAILED, OK, USAGE, Failed, known

BEAT_S = 0.1
"""How often a stressor looks whether it is to end; also the period in which it takes its share of CPU time."""

DEBT_S = 0.5
"""How much CPU time, which others took from it, a stressor makes up for later."""

SHOWN_S = 12.0
"""How long the accounting may take to show a stressor."""

GONE_S = 5.0
CHUNK = 1 << 20
Work = Callable[[Callable[[], bool]], None]
"""What a stressor does for as long as it is told to."""

FREE_SHARE = 0.9
"""The most of the host's available memory that is taken: beyond, its other containers would suffer."""


class Target:
    """A container's main process, and the folders of the cgroups it is in."""

    def __init__(self, container: str) -> None:
        """Look for it. Raises Failed."""
        main = limits.main_process(container)
        if main is None:
            raise Failed("no process of this container is seen from here: is it running on this very host?")
        self.container = container
        self.since, self.pid, lines = main
        self.groups = [found for found in map(self._group, lines) if found is not None]

    def _group(self, line: str) -> limits.Group | None:
        """Of one line of /proc/PID/cgroup; None for a hierarchy in which it has no cgroup of its own."""
        _, controllers, path = line.split(":", maxsplit=2)
        if self.container not in path:
            return None
        names = [controllers.removeprefix("name=")] if controllers else ["", "unified"]
        groups = (limits.Group(f"{limits.GROUPS}/{name}{path}", unified=not controllers) for name in names)
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
        where = limits.group(self.container, "cpuacct" if kind == "cpu" else kind)
        if where is None:
            raise Failed("it has ended")
        try:
            if kind == "memory":
                return int(where.read("memory.current" if where.unified else "memory.usage_in_bytes"))
            if not where.unified:
                return int(where.read("cpuacct.usage")) // 1000
            return int(where.read("cpu.stat").split()[1])
        except OSError as error:
            raise Failed(f"its accounting of {kind} cannot be read: {error.strerror}") from None


# ---------------------------------------------------------------- the stressors


def spin(share: float, alive: Callable[[], bool]) -> None:
    """Take this share of a CPU: in each period what is due, with what others took before, up to a bound."""
    due, end = time.process_time(), time.monotonic()
    while alive():
        # After a pause of the container there is nothing to make up for.
        end = max(end, time.monotonic() - BEAT_S) + BEAT_S
        due = min(due + share * BEAT_S, time.process_time() + DEBT_S)
        while time.process_time() < due and time.monotonic() < end:
            for _ in range(2000):
                pass
        time.sleep(max(0.0, end - time.monotonic()))


def hold(size: int, alive: Callable[[], bool], full: Callable[[], object]) -> None:
    """Have so many bytes, in pages that are really there."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for start in range(0, size, CHUNK):
            for place in range(start, min(start + CHUNK, size), mmap.PAGESIZE):
                memory[place] = 1
            if not alive():
                return
        full()
        while alive():
            time.sleep(BEAT_S)


def stressor(work: Work, target: Target, until: float, go: int) -> NoReturn:
    """What a child does: let go of what its parent has, wait for the word, work until the end."""
    os.setsid()
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
        file.write("1000")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    end = time.monotonic() + until - time.time()
    if os.read(go, 1):
        work(lambda: time.monotonic() < end and target.runs())
    os._exit(0)


def start(work: Work, target: Target, until: float) -> tuple[int, int]:
    """A child that waits in the container's cgroups: its process id, and where the word to go is written."""
    heard, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Held here, it would never see that its parent died before the word was given.
        os.close(go)
        stressor(work, target, until, heard)
    os.close(heard)
    try:
        target.take(pid)
    except Failed:
        os.close(go)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return pid, go


# ---------------------------------------------------------------- put and remove


def put(fault: str, kind: str, value: str, mark: str, container: str) -> None:
    """Start the stressors, and see them in the accounting. Raises Failed, and then none runs."""
    target = Target(container)
    until = float(dict(word.split("=", maxsplit=1) for word in mark.split())["expires"])
    if until <= time.time():
        raise Failed("its deadline is past")
    full, told = os.pipe()
    size, works = wanted(kind, value, target, lambda: os.write(told, b"1"))
    before = target.used(kind)
    children: list[tuple[int, int]] = []
    try:
        for work in works:
            children.append(start(work, target, until))  # noqa: PERF401  # those before a failure are to be ended
        for _, go in children:
            os.write(go, b"1")
        shown(kind, target, before, size, full, [pid for pid, _ in children])
    except Failed:
        remove(fault, container)
        raise


def wanted(kind: str, value: str, target: Target, full: Callable[[], object]) -> tuple[int, list[Work]]:
    """What the accounting has to show at least, and what the stressors do. Raises Failed where there is no room."""
    if kind == "cpu":
        workers, load = value.split("x")
        share = float(load) / 100
        return 1, [lambda alive: spin(share, alive)] * int(workers)
    where = limits.group(target.container, "memory")
    try:
        limit = where.read("memory.max" if where.unified else limits.MEMORY[0]) if where else ""
    except OSError:
        limit = ""
    if not limit:
        raise Failed("it has ended, or its memory is not counted here")
    facts = dict(line.split(":", maxsplit=1) for line in meminfo().splitlines())
    whole = int(facts["MemTotal"].split()[0]) << 10 if limits.unlimited(limit) else int(limit)
    size = int(float(value[:-1]) / 100 * whole) if value.endswith("%") else int(value)
    size = max(limits.PAGE, size // limits.PAGE * limits.PAGE)
    most = int((int(facts["MemAvailable"].split()[0]) << 10) * FREE_SHARE)
    # Beyond its own limit it is the container that runs out of memory, not the host.
    if min(size, whole) > most:
        raise Failed(f"{size} bytes are more than this host can spare: {most}")
    return size, [lambda alive: hold(size, alive, full)]


def meminfo() -> str:
    """What the kernel says of the host's memory."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
        return file.read()


def shown(kind: str, target: Target, before: int, size: int, full: int, children: list[int]) -> None:
    """Wait until the accounting shows what they do. Raises Failed where one ends, or it does not show in time."""
    end = time.monotonic() + SHOWN_S
    while time.monotonic() < end:
        for pid in children:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
                raise Failed(
                    "the stressor was killed, not the container: more memory than its limit leaves"
                    if killed and kind == "memory"
                    else "the stressor has ended: the container has, or its deadline is past"
                )
        if kind == "cpu":
            if target.used(kind) >= before + size:
                return
            time.sleep(0.01)
        elif select.select([full], [], [], 0.02)[0]:
            # What the container itself gave back meanwhile is not ours to demand.
            if target.used(kind) < size:
                raise Failed(f"{size} bytes are held, and its accounting shows {target.used(kind)}")
            return
    raise Failed(f"its accounting does not show the stressors within {SHOWN_S:g} s: is it frozen?")


def remove(fault: str, container: str) -> None:
    """Kill all of this fault in this container, what is only about to start them as well. Raises Failed."""
    end = time.monotonic() + GONE_S
    while left := [pid for pid in stressors(fault, container) if not dying(pid)]:
        for pid in left:
            try:
                if ours(pid, fault, container):
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except OSError as error:
                raise Failed(f"stressor {pid} could not be killed: {error.strerror}") from None
        if time.monotonic() > end:
            raise Failed(f"stressors still run after they were killed: {', '.join(map(str, left))}")
        time.sleep(0.01)


def stressors(fault: str, container: str) -> list[int]:
    """The processes of this fault in this container, but for this one."""
    numbers = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  # as above
    return [pid for pid in numbers if pid != os.getpid() and ours(pid, fault, container)]


def ours(pid: int, fault: str, container: str) -> bool:
    """Whether a process is this program, asked to put this fault there."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            words = file.read().split("\0")[:-1]
    except OSError:
        return False
    at = next((place for place, word in enumerate(words[:5]) if word.endswith("/programs/stress.py")), None)
    # What starts it in a container is a command of the engine, which names it further back.
    return at is not None and words[at + 1 : at + 3] == ["put", fault] and words[-1] == container


def dying(pid: int) -> bool:
    """Whether it is killed and only cannot go yet: a container that is paused holds it until it goes on (version 1)."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            lines = dict(line.split(":\t", maxsplit=1) for line in file.read().splitlines() if ":\t" in line)
    except OSError:
        return True
    pending = int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)
    return bool(pending >> (signal.SIGKILL - 1) & 1)


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    container = sys.argv[-1]
    try:
        match sys.argv[1:]:
            case ["put", fault, ("cpu" | "memory") as kind, value, mark, _] if known(container) and "expires=" in mark:
                put(fault, kind, value, mark, container)
            case ["remove", fault, _] if known(container):
                remove(fault, container)
            case _:
                sys.stderr.write("usage: stress.py put FAULT cpu|memory VALUE MARK ID | remove FAULT ID\n")
                return USAGE
    except Failed as error:
        sys.stderr.write(f"{container[:12]}: {error}\n")
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main())
