"""Stressors as processes: how they are started, found by their command lines, and killed. Standard library only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from actors.docker.programs.crash import send
from actors.docker.programs.limits import Failed

GONE_S = 5.0
PUT = ("stress.py", "put")
STRESSOR = ("stressors.py",)
PROGRAMS = "/programs/"
FEW = 5
"""Words in which the interpreter and the program are: a command of the engine names them further back."""


class Asked(NamedTuple):
    """What a stressor, or what starts one, was asked for."""

    fault: str
    mark: str
    container: str


def start(argv: list[str]) -> tuple[int, int, int]:
    """Its process id, a descriptor that it reads, and one that it writes. Raises Failed."""
    pipes: list[int] = []
    try:
        pipes += os.pipe()
        pipes += os.pipe()
        heard, given, told, said = pipes
        actions = [
            (os.POSIX_SPAWN_DUP2, heard, 0),
            (os.POSIX_SPAWN_DUP2, said, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        pid = os.posix_spawn(argv[0], argv, {}, file_actions=actions)
    except OSError as error:
        for each in pipes:
            os.close(each)
        raise Failed(f"a stressor could not be started: {error.strerror}") from None
    os.close(heard)
    os.close(said)
    return pid, given, told


def expires(mark: str) -> float:
    """The deadline in a mark, in seconds since the epoch; 0 where there is none."""
    for word in mark.split():
        name, _, text = word.partition("=")
        if name == "expires" and text.replace(".", "", 1).isdecimal():
            return float(text)
    return 0.0


def in_time(mark: str) -> None:
    """Raises Failed where the deadline in a mark is past: nobody takes back any more what is put now."""
    if 0.0 < expires(mark) <= time.time():
        raise Failed("its deadline is past")


def remove(fault: str, container: str) -> None:
    """Kill all of this fault in this container, what is only about to start them as well. Raises Failed."""
    end("stressor", lambda: stressors(fault, container), lambda pid: ours(pid, fault, container))


def end(what: str, found: Callable[[], list[int]], still: Callable[[int], bool]) -> None:
    """Kill all that is found, each only where it is `still` what is meant, until nothing is. Raises Failed."""
    until = time.monotonic() + GONE_S
    while left := [pid for pid in found() if not dying(pid)]:
        for pid in left:
            try:
                send(pid, signal.SIGKILL, partial(still, pid))
            except OSError as error:
                raise Failed(f"{what} {pid} could not be killed: {error.strerror}") from None
        if time.monotonic() > until:
            raise Failed(f"{what}s still run after they were killed: {', '.join(map(str, left))}")
        time.sleep(0.01)


def stressors(fault: str, container: str) -> list[int]:
    """The processes of this fault in this container, but for this one."""
    return [pid for pid in others() if ours(pid, fault, container)]


def others() -> list[int]:
    """Every process but this one."""
    numbers = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  # pathlib is slow to import
    return [pid for pid in numbers if pid != os.getpid()]


def ours(pid: int, fault: str, container: str) -> bool:
    """Whether a process is one of ours, asked to put this fault there."""
    found = asked(pid)
    return found is not None and (found.fault, found.container) == (fault, container)


def asked(pid: int) -> Asked | None:
    """What a process was asked for, where it is a stressor of ours or starts one."""
    return asked_in(words_of(pid))


def words_of(pid: int) -> list[str]:
    """Its command line; empty where it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            return file.read().split("\0")[:-1]
    except OSError:
        return []


def asked_in(words: Sequence[str]) -> Asked | None:
    """The same of a command line."""
    for at, word in enumerate(words[:FEW]):
        for program, *more in (PUT, STRESSOR):
            rest = list(words[at + 1 :])
            if word.endswith(PROGRAMS + program) and rest[: len(more)] == more and len(rest) == len(more) + 5:
                fault, _, _, mark, container = rest[len(more) :]
                return Asked(fault, mark, container)
    return None


def dying(pid: int) -> bool:
    """Whether it is killed and cannot go yet: a container that is paused holds it until it goes on (version 1), and a
    disk until it has answered.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            lines = dict(line.split(":\t", maxsplit=1) for line in file.read().splitlines() if ":\t" in line)
    except OSError:
        return True
    pending = int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)
    return bool(pending >> (signal.SIGKILL - 1) & 1) and lines["State"].startswith("D")
