"""Signals processes of the container named by its id, found by name or command line: its image needs no tools.

    signals.py kill BY TEXT SIGNAL CONTAINER_ID     each that matches now, but the main process
    signals.py put FAULT BY TEXT MARK CONTAINER_ID  each that matches is stopped (SIGSTOP) when this ends with 0
    signals.py remove FAULT|all CONTAINER_ID        those that were stopped by `put` go on when this ends with 0

BY is `name`, of the process or its executable, or `pattern`, looked for in its command line. Runs in the host's
process and cgroup namespaces, for `put` and `remove` with the host's cgroups mounted. Which processes `put` stops, by
number and start time, is kept on the container's cgroup as an extended attribute before any is: what anybody else has
stopped is left alone. The attribute is gone with the cgroup, as the processes are. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import re
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from actors.docker.programs import limits
from actors.docker.programs.crash import NOT_SEEN, STARTED, cgroup_of, cgroups, send
from actors.docker.programs.limits import USAGE, Failed, done, known
from actors.docker.programs.pending import end_puts
from actors.docker.programs.running import asked_in, in_time

USED = "usage: signals.py kill BY TEXT SIGNAL ID | put FAULT BY TEXT MARK ID | remove FAULT ID\n"
KEPT = "frozen."
"""Begins the kind of what is kept on the cgroup; the fault ends it."""

HIERARCHY = "devices"
"""Of version 1: the one that no engine does without."""

STOPPED = frozenset("Tt")
"""States of a process that a signal has stopped, or a debugger."""

OVER = frozenset("ZXx")
SEEN_S = 5.0
LOOK_S = 0.005
MOST_TEXT = 4096
"""How much of a command line a pattern is looked for in: its author may have been careless."""

MATCH_S = 2.0
"""How much of a CPU's time a pattern may take, on all command lines together."""

SHOWN = 100
PASSES = 20
"""How often it is looked for processes that were started meanwhile by one that matches."""


class Process(NamedTuple):
    """Its number, when it started (ticks since boot), its state as /proc has it, its name and its command line."""

    pid: int
    since: int
    state: str
    name: str
    words: tuple[str, ...]

    @property
    def line(self) -> str:
        """As much of its command line as a pattern is looked for in."""
        return " ".join(self.words)[:MOST_TEXT]

    def named(self, text: str) -> bool:
        """Whether that is its name, or its executable's."""
        return text in {self.name, os.path.basename(self.words[0])}  # noqa: PTH119  # pathlib takes long to import


def look(pid: int) -> Process | None:
    """A process as it is now; None where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            before, _, after = file.read().rpartition(")")
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            words = tuple(file.read().removesuffix("\0").split("\0"))
    except OSError:
        return None
    fields = after.split()
    return Process(pid, int(fields[STARTED]), fields[0], before.partition("(")[2], words)


def there(pid: int, since: int, container: str) -> bool:
    """Whether this very process is there, and of this container."""
    found = look(pid)
    return found is not None and found.since == since and found.state not in OVER and container in cgroup_of(pid)


def stopped(pid: int) -> bool:
    """Whether all its threads are."""
    states = []
    try:
        for name in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # as above
            path = f"/proc/{pid}/task/{name}/stat"
            with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
                states.append(file.read().rpartition(")")[2].split()[0])
    except OSError:
        return False
    return STOPPED.union(OVER).issuperset(states)


def living(container: str) -> list[Process]:
    """Its own processes, whatever their state. Raises Failed where none is seen."""
    inside = [pid for pid, cgroup in cgroups().items() if container in cgroup]
    if not inside:
        raise Failed(NOT_SEEN)
    found = [each for each in map(look, inside) if each is not None and each.state not in OVER]
    return [each for each in found if asked_in(each.words) is None]


def matching(by: str, text: str, container: str) -> list[Process]:
    """The processes of a container that are meant. Raises Failed where none is."""
    own = living(container)
    found = with_pattern(text, own) if by == "pattern" else [each for each in own if each.named(text)]
    if not found:
        names = ", ".join(sorted({each.name for each in own})[:10])
        raise Failed(f"no process of {by} {text!r} runs in it; there are: {names}")
    return found


def with_pattern(text: str, own: list[Process]) -> list[Process]:
    """Those of these in whose command line it is found. Raises Failed where that takes too long, as it may do: each
    way to read a text is tried, and there may be more than anybody can wait for.
    """
    pattern, found, line = re.compile(text), [], ""

    def late(*_: object) -> None:
        raise Failed(f"the pattern {text!r} takes too long on: {line[:SHOWN]!r}")

    # Time of our own, not of a clock: a busy machine makes no pattern worse.
    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, MATCH_S)
    try:
        for each in own:
            line = each.line
            if pattern.search(line):
                found.append(each)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return found


def await_all(pids: list[tuple[int, int]], done: Callable[[int, int], bool], failure: str) -> None:
    """Wait until it is done with each. Raises Failed."""
    end = time.monotonic() + SEEN_S
    while left := [pid for pid, since in pids if not done(pid, since)]:
        if time.monotonic() > end:
            raise Failed(f"{failure}: {', '.join(map(str, left))}")
        time.sleep(LOOK_S)


# ---------------------------------------------------------------- kill, put and remove


def kill(by: str, text: str, number: int, container: str) -> None:
    """Send it to all that match, and after SIGKILL see them gone. Raises Failed."""
    found = matching(by, text, container)
    main = limits.main_process(container)
    others = [(each.pid, each.since) for each in found if main is None or each.pid != main.pid]
    if not others:
        raise Failed(f"only its main process is of {by} {text!r}: container_kill and container_crash are for that")
    hit = [each for each in others if signalled(*each, number, container)]
    if not hit:
        raise Failed(f"what was of {by} {text!r} has ended by itself")
    if number == signal.SIGKILL:
        await_all(hit, lambda pid, since: not there(pid, since, container), "processes still run after SIGKILL")


def signalled(pid: int, since: int, number: int, container: str) -> bool:
    """Whether this very process was there to be signalled. Raises Failed."""
    try:
        return send(pid, number, lambda: there(pid, since, container))
    except OSError as error:
        raise Failed(f"process {pid} could not be signalled: {error.strerror}") from None


def put(fault: str, by: str, text: str, mark: str, container: str) -> None:
    """Stop all that match and are not stopped yet. Raises Failed, and then none is stopped by this fault."""
    in_time(mark)
    where = limits.group(container, HIERARCHY)
    if where is None:
        raise Failed(NOT_SEEN)
    try:
        stop(where, fault, (by, text, mark), container)
    except Failed:
        undo(fault, container)
        raise


def stop(where: limits.Group, fault: str, asked: tuple[str, str, str], container: str) -> None:
    """Keep each, then stop it; once more for what was started meanwhile. Raises Failed."""
    by, text, mark = asked
    ours = kept(where, fault)
    for _ in range(PASSES):
        met = [(each.pid, each.since) for each in matching(by, text, container) if each.state not in STOPPED]
        fresh = [each for each in met if each not in ours]
        if not fresh:
            break
        ours += fresh
        where.keep(KEPT + fault, {"mark": mark, "processes": ours}, 0)
        sent = [each for each in fresh if signalled(*each, signal.SIGSTOP, container)]
        await_all(sent, lambda pid, since: stopped(pid) or not there(pid, since, container), "they do not stop")
    if not any(there(*each, container) for each in ours):
        raise Failed(f"all that is of {by} {text!r} is stopped as it is, or has ended")


def kept(where: limits.Group, fault: str) -> list[tuple[int, int]]:
    """What this fault has stopped, by number and start time."""
    told = where.record(KEPT + fault) or {"processes": []}
    return [(int(pid), int(since)) for pid, since in told["processes"]]


def remove(fault: str, container: str) -> None:
    """Let go on what this fault stopped, and have nobody stop any more. Raises Failed."""
    end_puts("signals.py", fault, container)
    undo(fault, container)


def undo(fault: str, container: str) -> None:
    """Let go on what this fault stopped, and nothing else. Raises Failed."""
    where = limits.group(container, HIERARCHY)
    faults = [] if where is None else [kind.removeprefix(KEPT) for kind in where.kinds(KEPT)]
    for each in faults if fault == limits.ALL else {fault}.intersection(faults):
        if where is not None:
            let_go_on(where, each, container)


def let_go_on(where: limits.Group, fault: str, container: str) -> None:
    """What this very fault stopped. Raises Failed."""
    sent = [each for each in kept(where, fault) if signalled(*each, signal.SIGCONT, container)]
    await_all(sent, lambda pid, since: not stopped(pid) or not there(pid, since, container), "they do not go on")
    try:
        where.forget(KEPT + fault)
    except OSError as error:
        if os.path.exists(where.folder):  # noqa: PTH110  # pathlib takes long to import
            raise Failed(f"what is kept on its cgroup cannot be taken off: {error.strerror}") from None


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    container = sys.argv[-1]
    match sys.argv[1:]:
        case ["kill", ("name" | "pattern") as by, text, number, _] if known(container) and number.isdigit():
            work = partial(kill, by, text, int(number), container)
        case ["put", fault, ("name" | "pattern") as by, text, mark, _] if known(container):
            work = partial(put, fault, by, text, mark, container)
        case ["remove", fault, _] if known(container):
            work = partial(remove, fault, container)
        case _:
            sys.stderr.write(USED)
            return USAGE
    return done(work, container)


if __name__ == "__main__":
    sys.exit(main())
