"""Takes a disk's room in the container named by its id, with a file; and gives it back.

    fill.py put FAULT BYTES|SHARE% CAP PATH MARK CONTAINER_ID      PATH: a folder as the container sees it
    fill.py remove FAULT WITHIN PATH CONTAINER_ID                  no such file is there when this ends with 0

The file is PATH/.tc-FAULT.fill; its first line is MARK. SHARE: of the file system, used in the end; CAP: the most bytes
it may take. Runs in the host's process and cgroup namespaces, with the host's cgroups mounted. The folder is reached
from inside the container's mount namespace, and no component of PATH may be a link. Where the container is down, the
file is removed from WITHIN: a folder of the engine's machine, as the engine sees that, and behind /./ the way in it,
which may not lead through a link either; `?` is none. Where that folder is gone, so is the file, and from a `tmpfs` it
is with the run. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import errno
import re
from collections.abc import Callable
from functools import partial

from actors.docker.programs import inside, limits, outside
from actors.docker.programs.limits import FAILED, OK, USAGE, Failed, done, known
from actors.docker.programs.load_target import Process, Target, memory_of_host
from actors.docker.programs.pending import end_puts
from actors.docker.programs.room import room, wanted
from actors.docker.programs.running import in_time

FAULT = re.compile(r"[0-9a-f-]{1,64}")
VALUE = re.compile(r"\d+|\d+(\.\d+)?(e-\d+)?%")
STEP = 1 << 30
"""Taken at once: between two steps a signal is heard."""

BLOCK = 4096
CLOSE = 0.01
"""How near a share is, of the whole, where the file system needs some of the rest for itself."""

KILLED = "what fills it was killed, not the container: its memory has no room for these files"


class Killed(Failed):
    """What fills it was, and may have left a part of the file."""


def put(fault: str, value: str, cap: int, path: str, mark: str, container: str) -> None:
    """Take the room, all or nothing. Raises Failed."""
    in_time(mark)
    target = Target(container)
    process = process_of(target.pid, target.since)
    go_read, go = os.pipe()

    def act() -> None:
        inside.die_with_parent()
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  # pathlib is slow
            file.write("1000")
        memory = memory_of_host()["MemAvailable"]
        about = os.open("/proc/self/fdinfo", os.O_RDONLY | os.O_DIRECTORY)
        seen = process.read("mountinfo")
        with open("/proc/1/mountinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            host = file.read()
        os.close(go)
        if not os.read(go_read, 1):
            return
        inside.enter(process)
        where = inside.straight(path)
        there = room(where, mount_of(about, where), seen, host)
        taken(
            where, f".tc-{fault}.fill", f"{mark}\n".encode(), wanted(value, cap, there, memory), exact=value.isdigit()
        )

    try:
        apart(act, lambda pid: begin(target, pid, go, go_read))
    except Killed as killed:
        try:
            take_away(process, path, f".tc-{fault}.fill")
        except Failed as error:
            raise Failed(f"{killed}; {error}") from None
        raise


def begin(target: Target, pid: int, go: int, go_read: int) -> None:
    """Let the process that fills act as one of the container's: files in memory count as its memory. Raises Failed."""
    os.close(go_read)
    try:
        target.take(pid)
        os.write(go, b"g")
    finally:
        os.close(go)


def mount_of(about: int, where: int) -> str:
    """The id of the mount that an open folder is in; `about` is what the kernel tells of descriptors."""
    with os.fdopen(os.open(str(where), os.O_RDONLY, dir_fd=about), encoding="ascii") as file:
        words = file.read().split()
    return words[words.index("mnt_id:") + 1]


def taken(where: int, name: str, mark: bytes, size: int, *, exact: bool) -> None:
    """Make the file. Raises Failed, and then there is none."""
    try:
        unlink(where, name)
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=where)
    except OSError as error:
        raise Failed(f"no file can be made there: {error.strerror}") from None
    try:
        os.write(file, mark)
        why = lacking(file, max(size, len(mark)), exact=exact)
    except OSError as error:
        why = error.strerror or str(error)
    finally:
        os.close(file)
    if why:
        unlink(where, name)
        raise Failed(f"{size} bytes could not be taken: {why}")


def lacking(file: int, size: int, *, exact: bool) -> str:
    """Have it grow; why it is not as large as it must be, by the kernel's count of its blocks. Raises OSError."""
    grow(file, size)
    has, system = os.fstat(file).st_blocks * 512, os.fstatvfs(file)
    near = system.f_bavail <= system.f_blocks * CLOSE
    return f"it has {has}, and the disk is full" if has < size and (exact or not near) else ""


def grow(file: int, size: int) -> None:
    """Have blocks up to this size, or as near as there are any. Raises OSError."""
    at, step = 0, STEP
    while at < size and step >= BLOCK:
        part = min(step, size - at)
        try:
            os.posix_fallocate(file, at, part)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2
            continue
        at += part


def remove(fault: str, within: str, path: str, container: str) -> None:
    """From inside where the container runs, else from where its files are; nobody makes it any more. Raises Failed."""
    end_puts("fill.py", fault, container)
    main = limits.main_process(container)
    name = f".tc-{fault}.fill"
    if main is None:
        from_outside(within, name)
        return
    take_away(process_of(main.pid, main.started), path, name)


def take_away(process: Process, path: str, name: str) -> None:
    """From where this process of the container is. Raises Failed."""

    def act() -> None:
        inside.enter(process)
        where = inside.straight(path, missing=True)
        if where is not None:
            unlink(where, name)

    apart(act, lambda _: None)


def from_outside(within: str, name: str) -> None:
    """Where the container is down. Raises Failed."""
    engine = outside.engine()

    def act() -> None:
        inside.join(engine)
        removed(within, name)

    apart(act, lambda _: None)


def removed(within: str, name: str) -> None:
    """From where the engine is. Raises Failed."""
    where = outside.reached(within)
    if where is not None:
        unlink(where, name)


def unlink(where: int, name: str) -> None:
    """It is gone afterwards, whether it was there or not. Raises Failed."""
    try:
        # Asked first: where nothing can be written, removing what is not there is an error as well.
        os.stat(name, dir_fd=where, follow_symlinks=False)  # pathlib takes no descriptor
        os.unlink(name, dir_fd=where)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failed(f"{name} could not be removed: {error.strerror}") from None


def process_of(pid: int, since: int) -> Process:
    """Raises Failed when it has ended."""
    try:
        return Process(pid, since)
    except OSError:
        raise Failed("it has ended") from None


def apart(act: Callable[[], None], begun: Callable[[int], None]) -> None:
    """Do it in a process of its own, which may go where there is no way back; `begun` is told which. Raises Failed."""
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard)
        try:
            act()
        except (Failed, OSError) as error:
            os.write(said, str(error).encode())
            os._exit(FAILED)
        os._exit(OK)
    os.close(said)
    try:
        begun(pid)
    finally:
        with os.fdopen(heard, encoding="utf-8", errors="replace") as file:
            told = file.read()
        status = os.waitpid(pid, 0)[1]
    if status:
        raise Killed(KILLED) if os.WIFSIGNALED(status) else Failed(told)


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    container = sys.argv[-1]
    match sys.argv[1:]:
        case ["put", fault, value, cap, path, mark, _] if (
            known(container) and FAULT.fullmatch(fault) and VALUE.fullmatch(value) and cap.isdigit()
        ):
            work = partial(put, fault, value, int(cap), path, mark, container)
        case ["remove", fault, within, path, _] if known(container) and FAULT.fullmatch(fault):
            work = partial(remove, fault, within, path, container)
        case _:
            sys.stderr.write("usage: fill.py put FAULT BYTES|SHARE% CAP PATH MARK ID | remove FAULT WITHIN PATH ID\n")
            return USAGE
    return done(work, container)


if __name__ == "__main__":
    sys.exit(main())
