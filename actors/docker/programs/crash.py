"""Kills the main process of each container named by its id, from outside the engine, as a real crash would.

    crash.py -- CONTAINER_ID...

Runs in the host's process namespace. Decides by cgroup which process is a container's; knows no engine.
"""

import os
import signal
import sys
from collections.abc import Callable

LENGTHS = range(12, 65)
"""Of an id: from as short as docker shows it to whole."""

NOT_SEEN = "no process of this container is seen from here: it is down, or runs on another machine"
HEXADECIMAL = set("0123456789abcdef")
STARTED = 19
"""The place of a process's start time in /proc/PID/stat, counted behind the name, which may hold anything."""


def main() -> int:
    """0 when every container's main process was killed, 1 when one was not, 2 for wrong usage."""
    ids = [argument for argument in sys.argv[1:] if argument != "--"]
    if not ids or not all(len(each) in LENGTHS and HEXADECIMAL.issuperset(each) for each in ids):
        sys.stderr.write("usage: crash.py -- CONTAINER_ID...\n")
        return 2
    known = cgroups()
    failed = 0
    for container in ids:
        error = crash(container, [pid for pid, cgroup in known.items() if container in cgroup])
        if error:
            sys.stderr.write(f"{container[:12]}: {error}\n")
            failed = 1
    return failed


def cgroups() -> dict[int, str]:
    """Every process here with the cgroups it is in. A container's id is part of their names with every driver."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib takes longer to import than all the rest takes
        if name.isdigit():
            found[int(name)] = cgroup_of(int(name))
    return found


def cgroup_of(pid: int) -> str:
    """Its cgroups, or nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            return file.read()
    except OSError:
        return ""


def started(pid: int) -> int:
    """When it started, in ticks since boot. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
        return int(file.read().rpartition(")")[2].split()[STARTED])


def crash(container: str, pids: list[int]) -> str:
    """Kill the oldest of these, which is the main process: all others were started later. An error, or nothing."""
    ages = []
    for pid in pids:
        try:
            ages.append((started(pid), pid))
        except OSError:
            continue
    if not ages:
        return NOT_SEEN
    _, pid = min(ages)
    try:
        return kill(pid, container)
    except OSError as error:
        return f"process {pid} could not be killed: {error.strerror}"


def kill(pid: int, container: str) -> str:
    """SIGKILL to it, where it is of this container; an error, or nothing. Raises OSError."""
    sent = send(pid, signal.SIGKILL, lambda: container in cgroup_of(pid))
    return "" if sent else f"process {pid} is gone"


def send(pid: int, number: int, still: Callable[[], bool]) -> bool:
    """A signal, through a handle on this very process, so that a number given to another since is never hit.

    False where it is gone, or not `still` the one that is meant. Raises OSError.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel or a system call filter from before 2020: a look just before has to do
        handle = -1
    try:
        if not still():
            return False
        if handle < 0:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        if handle >= 0:
            os.close(handle)
    return True


if __name__ == "__main__":
    sys.exit(main())
