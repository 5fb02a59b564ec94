"""One stressor: a process of its own that waits until it is in the container's cgroups, then works until its end.

    stressors.py FAULT cpu SHARE MARK CONTAINER_ID        a share of one CPU
    stressors.py FAULT memory BYTES MARK CONTAINER_ID     every page touched
    stressors.py FAULT disk PATH MARK CONTAINER_ID        written to a disk and read again, in a file without a name

Started by stress.py. Says `ready` and waits for one line, `PID SINCE STAYS`: the container's main process, when that
was started, and whether the stressor outlives who started it (0 or 1). Says `on` when it has an effect, or why it has
none. Ends at the time `expires` in MARK, with the main process, and, unless it stays, with the end of its input. It is
the first that the kernel kills for want of memory, and is found by its command line. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import mmap
import select
import time
from collections.abc import Callable

from actors.docker.programs.churning import churn
from actors.docker.programs.limits import FAILED, OK, USAGE, Failed
from actors.docker.programs.load_target import Process
from actors.docker.programs.running import expires

BEAT_S = 0.1
"""How often a stressor looks whether it is to end; also the period in which it takes its share of CPU time."""

DEBT_S = 0.5
"""How much CPU time, which others took from it, a stressor makes up for later."""

CHUNK = 1 << 20
WORDS = 5
Alive = Callable[[], bool]
On = Callable[[], object]


def spin(share: float, alive: Alive, on: On) -> None:
    """Take this share of a CPU: in each period what is due, with what others took before, up to a bound."""
    due, end = time.process_time(), time.monotonic()
    told = False
    while alive():
        # After a pause of the container there is nothing to make up for.
        end = max(end, time.monotonic() - BEAT_S) + BEAT_S
        due = min(due + share * BEAT_S, time.process_time() + DEBT_S)
        while time.process_time() < due and time.monotonic() < end:
            for _ in range(2000):
                pass
        if not told:
            told = True
            on()
        time.sleep(max(0.0, end - time.monotonic()))


def hold(size: int, alive: Alive, on: On) -> None:
    """Have so many bytes, in pages that are really there. Raises Failed where the kernel does not give them."""
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise Failed(f"the kernel gives no {size} bytes at once: {getattr(error, 'strerror', error)}") from None
    with memory:
        for start in range(0, size, CHUNK):
            for place in range(start, min(start + CHUNK, size), mmap.PAGESIZE):
                memory[place] = 1
            if not alive():
                return
        on()
        while alive():
            time.sleep(BEAT_S)


def say(text: str) -> None:
    """One line to who started it, who may be gone."""
    try:
        os.write(1, f"{text}\n".encode())
    except OSError:
        os._exit(FAILED)


def lasting(main: Process, until: float, *, stays: bool) -> Alive:
    """What tells whether to go on: `until` is seconds since the epoch, which count from now on."""
    end = time.monotonic() + until - time.time()

    def alive() -> bool:
        if not stays and select.select([0], [], [], 0)[0] and not os.read(0, 1):
            return False
        return time.monotonic() < end and main.runs()

    return alive


def heard() -> tuple[Process, bool] | None:
    """The line that says to begin; None where who would say it is gone, or the container."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(0, 1)
        if not chunk:
            return None
        line += chunk
    pid, since, stays = line.split()
    try:
        return Process(int(pid), int(since)), stays == b"1"
    except OSError:
        return None


def in_force() -> None:
    """Say that there is an effect."""
    say("on")


def work(kind: str, value: str, main: Process, alive: Alive) -> None:
    """Until the end. Raises Failed."""
    if kind == "cpu":
        spin(float(value), alive, in_force)
    elif kind == "memory":
        hold(int(value), alive, in_force)
    else:
        churn(value, main, alive, in_force)


def main() -> int:
    """0 at its end, 1 where it could not work, 2 for wrong usage."""
    if len(sys.argv) != WORDS + 1:
        sys.stderr.write("usage: stressors.py FAULT cpu|memory|disk VALUE MARK CONTAINER_ID\n")
        return USAGE
    _, _fault, kind, value, mark, _container = sys.argv
    os.setsid()
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
        file.write("1000")
    say("ready")
    told = heard()
    if told is None:
        return OK
    process, stays = told
    try:
        work(kind, value, process, lasting(process, expires(mark), stays=stays))
    except Failed as error:
        say(f"failed {error}")
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main())
