"""Has the processes of the container named by its id tell another time than the kernel does, and the kernel's again.

    clock.py put FAULT realtime OFFSET_NS MARK CONTAINER_ID    every process of it does when this ends with 0
    clock.py remove FAULT|all CONTAINER_ID                     none does any more, byte for byte, when this ends with 0

Changes the code that the kernel puts into every process for asking the time, in each process that there is; what a
process makes of itself by fork has it as well, and what it becomes by exec has the kernel's own again. Nothing is kept:
what a fault changed bears its name. Runs in the host's process and cgroup namespaces, with the host's cgroups mounted.
x86-64. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from actors.docker.programs import limits, vdso
from actors.docker.programs.limits import USAGE, Failed, done, known
from actors.docker.programs.pending import end_puts
from actors.docker.programs.running import in_time
from actors.docker.programs.signals import living
from actors.docker.programs.tracing import Gone, Held, Unstoppable, held

MACHINE = "x86_64"
USED = "usage: clock.py put FAULT realtime OFFSET_NS MARK CONTAINER_ID | remove FAULT CONTAINER_ID\n"
PASSES = 20
"""How often it is looked for processes that were made meanwhile by one that was not changed yet."""

CALM = 3
"""How often none may be met that is changed, where new ones come without end, until there is none."""

TRIES = 200
PAUSE_S = 0.005
"""Between two tries at what a thread is in the way of: it is out of it in less than a microsecond."""

QUIET_S = 2.0
"""How long is waited for what a signal may have interrupted in a stub; then the stub is left, where nothing leads."""

CLOSE_NS = 5_000_000
"""How far a changed process of our own may be from what is asked."""


class Image(NamedTuple):
    """Where the kernel's code is in a process, and what it is now."""

    start: int
    code: bytes


def image(process: Held) -> Image | None:
    """Of a process that is still; None where the kernel gave it none. Raises Gone."""
    found = place(process.pid)
    return None if found is None else Image(found.start, process.read(found.start, len(found)))


def place(pid: int | str) -> range | None:
    """Where it is. Raises Gone."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # pathlib is slow
            line = next((line for line in file if line.endswith("[vdso]\n")), "")
    except OSError:
        raise Gone from None
    if not line:
        return None
    first, last = line.split(maxsplit=1)[0].split("-")
    return range(int(first, 16), int(last, 16))


def pristine() -> bytes:
    """As the kernel gives it: this program's own. Raises Failed."""
    if os.uname().machine != MACHINE:
        raise Failed(f"a clock can be skewed on {MACHINE} alone; this machine is {os.uname().machine}")
    own = place("self")
    if own is None:
        raise Failed("this kernel gives processes no code for telling the time, which could be changed")
    with open("/proc/self/mem", "rb", 0) as file:  # noqa: PTH123  # as above
        file.seek(own.start)
        return file.read(len(own))


# ---------------------------------------------------------------- one process


def skew(pid: int, own: bytes, patch: vdso.Patch) -> bool:
    """Whether it had to be changed. Raises Failed, Gone."""
    for _ in range(TRIES):
        made = skewed(pid, own, patch)
        if made is not None:
            return made
        time.sleep(PAUSE_S)
    raise Failed(f"process {pid}: its threads are always where it is to be changed")


def skewed(pid: int, own: bytes, patch: vdso.Patch) -> bool | None:
    """The same, once; None where a thread is in the way. Raises Failed, Gone."""
    try:
        with held(pid) as process:
            there = checked(process, own)
            at, tail = patch.tail
            entries = [there.code[where : where + vdso.JUMP] for where, _ in patch.entries]
            if there.code[at : at + len(tail)] == tail and entries == [jump for _, jump in patch.entries]:
                return False
            if entries != [own[where : where + vdso.JUMP] for where, _ in patch.entries]:
                raise Failed(f"the clock of process {pid} is skewed by another fault already")
            starts = [there.start + where for where, _ in patch.entries]
            if process.any_in(lambda code: any(start < code < start + vdso.JUMP for start in starts)):
                return None
            for where, data in (patch.tail, *patch.entries):
                process.write(there.start + where, data)
                if process.read(there.start + where, len(data)) != data:
                    raise Failed(f"process {pid} is what it was after it was changed")
    except Unstoppable as error:
        raise Failed(f"process {pid}: {error}") from None
    return True


def checked(process: Held, own: bytes) -> Image:
    """Its code, which is the kernel's but for what we change. Raises Failed, Gone."""
    there = image(process)
    if there is None:
        raise Failed(f"process {process.pid} has no code of the kernel's for telling the time")
    if not vdso.same(there.code, own):
        raise Failed(f"process {process.pid} tells the time by other code: it is not of {MACHINE}, or was changed")
    behind = there.code[vdso.end(own) :]
    if behind.strip(b"\0") and not behind.startswith(vdso.MAGIC):
        raise Failed(f"somebody else uses the room behind the kernel's code in process {process.pid}")
    return there


def restore(pid: int, own: bytes, tag: bytes, *, frozen: bool) -> bool:
    """As the kernel made it, where this fault changed it; whether it had. Raises Failed, Gone."""
    if not changed(image(Held(pid)), own, tag):
        # One that was never changed is not held: it may be in a debugger's hands.
        return False
    end = time.monotonic() + (0.0 if frozen else QUIET_S)
    while not restored(pid, own, tag, frozen=frozen, last=time.monotonic() > end):
        time.sleep(PAUSE_S)
    return True


def changed(there: Image | None, own: bytes, tag: bytes) -> bool:
    """Whether a fault did it whose room begins so."""
    room = vdso.room(own)
    return there is not None and there.code[room.start : room.start + len(tag)] == tag


def restored(pid: int, own: bytes, tag: bytes, *, frozen: bool, last: bool) -> bool:
    """Whether nothing is left to do. For the `last` time, what is in use is left, as nothing leads to it any more."""
    room = vdso.room(own)
    try:
        with held(pid, frozen=frozen) as process:
            there = image(process)
            if there is None or not changed(there, own, tag):
                return True
            for where, _ in vdso.patch(own, "", 0).entries:
                if there.code[where : where + vdso.JUMP] != own[where : where + vdso.JUMP]:
                    process.write(there.start + where, own[where : where + vdso.JUMP])
            stubs = range(there.start + room.start, there.start + room.stop)
            if process.any_in(stubs.__contains__) or process.mentions(stubs):
                return last
            process.write(stubs.start, own[room.start : room.stop])
            if process.read(there.start, len(own)) != own:
                raise Failed(f"process {pid} is not what it was after it was put back")
    except Unstoppable as error:
        raise Failed(f"process {pid}: {error}") from None
    return True


# ---------------------------------------------------------------- a container


def put(fault: str, offset_ns: int, mark: str, container: str) -> None:
    """Change every process, once more for what was made meanwhile. Raises Failed, and then none is changed."""
    in_time(mark)
    own = pristine()
    try:
        patch = vdso.patch(own, fault, offset_ns)
    except vdso.Unknown as error:
        raise Failed(str(error)) from None
    living(container)
    proved(own, patch, offset_ns)
    try:
        for _ in range(PASSES):
            if not any(each(numbers(container), lambda pid: skew(pid, own, patch))):
                return
    except Failed:
        undo(fault, container)
        raise
    undo(fault, container)
    raise Failed("it makes processes faster than they can be changed")


def remove(fault: str, container: str) -> None:
    """Put every process back, and have nobody change any more. Raises Failed."""
    end_puts("clock.py", fault, container)
    undo(fault, container)


def undo(fault: str, container: str) -> None:
    """Put every process back, once more for what was made meanwhile. Raises Failed."""
    tag = vdso.MAGIC if fault == limits.ALL else vdso.tag(fault)
    try:
        own = pristine()
        vdso.patch(own, fault, 0)
    except (Failed, vdso.Unknown):  # where no clock can be skewed, none is
        return
    calm = 0
    for _ in range(PASSES):
        pids = numbers(container)
        calm = 0 if any(each(pids, lambda pid: restore(pid, own, tag, frozen=paused(container)))) else calm + 1
        if set(numbers(container)) <= set(pids) or calm == CALM:
            return
    raise Failed("it makes processes faster than their clocks can be put back")


def paused(container: str) -> bool:
    """Whether the kernel keeps all of it still."""
    where = limits.group(container, "freezer")
    try:
        if where is None:
            return False
        if where.unified:
            return "frozen 1" in where.read("cgroup.events")
        return where.read("freezer.state") == "FROZEN"
    except OSError:
        return False


def numbers(container: str) -> list[int]:
    """Of its processes; none where it has ended."""
    try:
        return [process.pid for process in living(container)]
    except Failed:
        return []


def each(pids: list[int], work: Callable[[int], bool | None]) -> list[bool]:
    """What it makes of each that is still there. Raises Failed."""
    made = []
    for pid in pids:
        try:
            made.append(bool(work(pid)))
        except Gone:
            continue
    return made


def proved(own: bytes, patch: vdso.Patch, offset_ns: int) -> None:
    """Try it on a process of our own, before it is done to any other. Raises Failed."""
    asked, ask = os.pipe()
    answer, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ask)
        while os.read(asked, 1):
            now = (time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC))
            os.write(told, " ".join(map(str, now)).encode())
        os._exit(0)
    os.close(asked)
    os.close(told)

    def difference() -> int:
        os.write(ask, b".")
        real, since = os.read(answer, 100).split()
        return int(real) - int(since)

    try:
        before = difference()
        skew(pid, own, patch)
        off = difference() - before - offset_ns
    except (Gone, ValueError, BrokenPipeError):
        raise Failed("a process of our own did not survive it: nothing else was changed") from None
    finally:
        os.close(ask)
        os.close(answer)
        os.waitpid(pid, 0)
    if abs(off) > CLOSE_NS:
        raise Failed(f"a process of our own was {off} ns off what was asked: nothing else was changed")


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    container = sys.argv[-1]
    match sys.argv[1:]:
        case ["put", fault, "realtime", offset, mark, _] if known(container) and offset.removeprefix("-").isdigit():
            work = partial(put, fault, int(offset), mark, container)
        case ["remove", fault, _] if known(container):
            work = partial(remove, fault, container)
        case _:
            sys.stderr.write(USED)
            return USAGE
    return done(work, container)


if __name__ == "__main__":
    sys.exit(main())
