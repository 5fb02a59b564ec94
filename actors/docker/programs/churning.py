"""Keeps a disk busy: writes a file without a name, has it reach the disk, forgets it, and reads it again.

A file without a name is gone with whoever holds it open, however that ends. Where the file system knows none, it has
one for an instant, empty, where the file system is mounted: that is where strays.py looks. Standard library only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from actors.docker.programs import inside
from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Process

CHUNK: Final = 1 << 20
FILE: Final = 32 << 20
"""How large the file is."""

AT_ONCE: Final = 4 << 20
"""How much is written before the disk must have it."""

LEFT: Final = 64 << 20
"""How much must stay free beside it."""

NAMELESS_UNKNOWN: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""What file systems say that know no files without a name."""


def churn(path: str, main: Process, alive: Callable[[], bool], on: Callable[[], object]) -> None:
    """In this folder of the container, until it is not `alive`. `on` is told once a disk had some. Raises Failed."""
    try:
        counted = os.open("/proc/self/io", os.O_RDONLY)
    except OSError:
        raise Failed("this kernel does not count what processes read and write") from None
    inside.enter(main)
    file = nameless(path)
    inside.drop_rights()
    try:
        work(file, counted, alive, on)
    except OSError as error:
        raise inside.refused(path, error) from None


def nameless(path: str) -> int:
    """A file of its own in this folder, with its whole room, and no name. Raises Failed."""
    where = inside.straight(path)
    try:
        file = opened(where)
        os.posix_fallocate(file, 0, FILE)
        room = os.fstatvfs(file)
    except OSError as error:
        raise inside.refused(path, error) from None
    finally:
        os.close(where)
    if room.f_bavail * room.f_frsize < LEFT:
        raise Failed(f"fewer than {LEFT >> 20} MiB would stay free in {path} beside a file of {FILE >> 20}")
    return file


def opened(where: int) -> int:
    """A file without a name, in a folder or on its file system. Raises OSError."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=where)
    except OSError as error:
        if error.errno not in NAMELESS_UNKNOWN:
            raise
    above = top(where)
    try:
        return unnamed(above)
    except OSError:
        # Mounted read-only further up, or kept from us there.
        return unnamed(where)
    finally:
        os.close(above)


def top(where: int) -> int:
    """A descriptor of the folder where the file system of this one is mounted, as far up as anybody lets us."""
    here = os.dup(where)
    while True:
        try:
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
        except OSError:
            return here
        one, other = os.fstat(here), os.fstat(above)
        if one.st_dev != other.st_dev or one.st_ino == other.st_ino:
            os.close(above)
            return here
        os.close(here)
        here = above


def unnamed(where: int) -> int:
    """A file that has lost its name again. Raises OSError."""
    name = f".tc-{os.getpid()}-{os.urandom(8).hex()}.io"
    file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=where)
    try:
        os.unlink(name, dir_fd=where)
    except FileNotFoundError:  # a scan was faster
        return file
    return file


def work(file: int, counted: int, alive: Callable[[], bool], on: Callable[[], object]) -> None:
    """Over and over. Raises OSError, Failed."""
    chunk, before, told = os.urandom(CHUNK), written(counted), False
    while True:
        for place in range(0, FILE, CHUNK):
            os.pwrite(file, chunk, place)
            if (place + CHUNK) % AT_ONCE == 0:
                os.fdatasync(file)
                if not told and written(counted) == before:
                    raise Failed("what is written there reaches no disk: it is kept in memory")
                if not told:
                    told = True
                    on()
            if not alive():
                return
        os.posix_fadvise(file, 0, FILE, os.POSIX_FADV_DONTNEED)
        for place in range(0, FILE, CHUNK):
            os.pread(file, CHUNK, place)
            if not alive():
                return


def written(counted: int) -> int:
    """Bytes that this process has had written to disks, by the kernel's count."""
    words = os.pread(counted, 4096, 0).split()
    return int(words[words.index(b"write_bytes:") + 1])
