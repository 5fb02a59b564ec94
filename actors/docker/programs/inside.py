"""The way into a container's mount namespace, where its paths are what they are to itself: no link in them leads out.

For a process that stays there, and can load nothing any more afterwards. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Process

CLONE_NEWNS: Final = 0x00020000
CAPABILITY_VERSION: Final = 0x20080522
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def enter(main: Process) -> None:
    """Go to where a container's main process is, at its root. Raises Failed."""
    try:
        descriptor = main.mount_namespace()
    except OSError as error:
        raise Failed(f"its mount namespace cannot be seen: {error.strerror}") from None
    try:
        if _LIBC.setns(descriptor, CLONE_NEWNS) != 0:
            raise Failed(f"its mount namespace cannot be entered: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)
    if not main.runs():
        raise Failed("it has ended")


def folder(path: str) -> int:
    """A descriptor of a folder. Raises Failed."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Failed(f"there is no folder {path} in it") from None
    except NotADirectoryError:
        raise Failed(f"{path} is no folder") from None
    except OSError as error:
        raise Failed(f"{path} cannot be opened: {error.strerror}") from None


def refused(path: str, error: OSError) -> Failed:
    """Why nothing could be written there, for a person."""
    return Failed(f"nothing can be written to {path}: {error.strerror}")


def drop_rights() -> None:
    """Have no capability any more. Raises Failed."""
    if _LIBC.capset(struct.pack("=II", CAPABILITY_VERSION, 0), bytes(24)) != 0:
        raise Failed(f"rights cannot be given up: {os.strerror(ctypes.get_errno())}")
