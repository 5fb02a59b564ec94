"""The way into a container's mount namespace, where its paths are what they are to itself: no link in them leads out.

For a process that stays there, and can load nothing any more afterwards. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import time
from typing import Final, overload

from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Process

CLONE_NEWNS: Final = 0x00020000
PR_SET_PDEATHSIG: Final = 1
CAPABILITY_VERSION: Final = 0x20080522
TRIES: Final = 5
PAUSE_S: Final = 0.01
"""Between two looks at who started a container: a process that ends has children for an instant, and no root."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def enter(main: Process) -> None:
    """Go to where a container's main process is, at its root. Raises Failed, also where that is still the engine's: a
    process is put into the container's cgroup before it has the container's mounts.
    """
    engines = root_of_starter(main)
    join(main)
    # Asked afterwards: whoever is there before the container's mounts are is taken along to them, and never back.
    if root("/") == engines:
        raise Failed("it is only starting: what it sees yet are the files of the engine's machine")


def root_of_starter(main: Process) -> tuple[int, int] | None:
    """The root of whoever started a container's main process: the engine's own. None where nobody who is seen here has
    started it. Raises Failed.
    """
    why = None
    for _ in range(TRIES):
        try:
            starter = main.parent()
            found = root(f"/proc/{starter}/root") if starter else None
            if main.parent() == starter:
                return found
        except OSError as error:  # whoever starts containers leaves them to another, and ends
            why = error.strerror
        time.sleep(PAUSE_S)
    raise Failed(f"who started it cannot be seen: {why}")


def root(path: str) -> tuple[int, int]:
    """Device and inode of a folder, which tell it from all others. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116  # pathlib takes long to import
    return found.st_dev, found.st_ino


def join(process: Process) -> None:
    """Go to where a process is, wherever that may be. Raises Failed."""
    try:
        descriptor = process.mount_namespace()
    except OSError as error:
        raise Failed(f"its mount namespace cannot be seen: {error.strerror}") from None
    try:
        if _LIBC.setns(descriptor, CLONE_NEWNS) != 0:
            raise Failed(f"its mount namespace cannot be entered: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)
    if not process.runs():
        raise Failed("it has ended")


@overload
def straight(path: str) -> int: ...
@overload
def straight(path: str, *, missing: bool, top: int | None = None) -> int | None: ...
def straight(path: str, *, missing: bool = False, top: int | None = None) -> int | None:
    """A descriptor of a folder that is reached without any link: one into /proc may lead out, where the container sees
    the host's processes. From the root, or from `top`, an open folder, which is closed. Raises Failed; with `missing`,
    None where it is not there.
    """
    where = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if top is None else top
    for part in path.split("/"):
        if part in {"", "."}:
            continue
        if part == "..":
            os.close(where)
            raise Failed(f"{path} leads up again: give the path without that")
        try:
            there = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
        except FileNotFoundError:
            if missing:
                return None
            raise Failed(f"there is no folder {path} in it") from None
        except OSError as error:
            raise _no_way(path, part, where, error) from None
        finally:
            os.close(where)
        where = there
    return where


def _no_way(path: str, part: str, where: int, error: OSError) -> Failed:
    """Why a part of a path cannot be gone through, for a person."""
    try:
        leads = os.readlink(part, dir_fd=where)
    except OSError:
        return Failed(f"{path} is no folder" if error.errno == errno.ENOTDIR else f"{path}: {error.strerror}")
    return Failed(f"{path} leads through a link, {part} to {leads}: give the path without it")


def refused(path: str, error: OSError) -> Failed:
    """Why nothing could be written there, for a person."""
    return Failed(f"nothing can be written to {path}: {error.strerror}")


def die_with_parent() -> None:
    """Be killed when whoever started this ends. Raises Failed where that has happened."""
    parent = os.getppid()
    if _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
        raise Failed("who started this has ended")


def drop_rights() -> None:
    """Have no capability any more. Raises Failed."""
    if _LIBC.capset(struct.pack("=II", CAPABILITY_VERSION, 0), bytes(24)) != 0:
        raise Failed(f"rights cannot be given up: {os.strerror(ctypes.get_errno())}")
