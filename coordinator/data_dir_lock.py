"""The exclusive hold on a DATA_DIR: one coordinator at a time, released by the kernel however the process ends.
Standard library only: the warden takes it too.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from coordinator.errors import DataDirInUse, InvalidSettings, WardenAtWork

LOCK_FILE: Final = "lock"
WARDEN: Final = "warden"
"""The role of whoever puts back what a dead coordinator left."""

_OWNER_ONLY: Final = 0o700

_RANGE: Final = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, pid. See F_OFD_SETLK in fcntl(2)."""
_WARDENS_BYTES: Final = 2
_BYTES: Final = 1
"""How much of the file is locked tells the role of the holder from the instant on at which it holds it."""


class DataDirLock:
    """An advisory lock on `DATA_DIR/lock`, whose content names the holder for people."""

    def __init__(self, data_dir: Path, instance: str, role: str = "serve") -> None:
        """Touch nothing yet. `role` is what the holder is: `serve`, `warden`, a command."""
        self._data_dir = data_dir
        self._holder = {"pid": os.getpid(), "instance": instance, "role": role}
        self._length = _WARDENS_BYTES if role == WARDEN else _BYTES
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it. Raises DataDirInUse where another has it (WardenAtWork where that ends soon by itself),
        InvalidSettings where the folder cannot be used.
        """
        with ExitStack() as refused:
            descriptor = self._opened()
            refused.callback(os.close, descriptor)
            self._take(descriptor)
            refused.pop_all()
        # On a full disk the lock holds all the same; only its message to people is missing.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(self._holder).encode() + b"\n", 0)
        self._descriptor = descriptor

    def _take(self, descriptor: int) -> None:
        try:
            while not _taken(descriptor, self._length):
                length = _held_length(descriptor)
                # None: it was let go in between.
                if length is not None:
                    raise self._refusal(_Holder.read(descriptor), by_warden=length == _WARDENS_BYTES)
        except OSError as failed:
            raise InvalidSettings(
                f"DATA_DIR: {self._data_dir}: cannot be locked: {failed.strerror}; give a folder on a local disk"
            ) from failed

    def _refusal(self, holder: _Holder, *, by_warden: bool) -> DataDirInUse:
        # What the file says may still be of the holder before.
        certain = holder.role != "" and by_warden == (holder.role == WARDEN)
        if by_warden:
            return WardenAtWork(
                f"DATA_DIR {self._data_dir}: {holder if certain else 'a warden'} is putting back what a dead "
                "coordinator left"
            )
        return DataDirInUse(
            f"DATA_DIR {self._data_dir} is in use by {holder if certain else 'another coordinator'}; "
            "stop it or give another DATA_DIR"
        )

    def release(self) -> None:
        """Give it back; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        try:
            self._data_dir.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
            return os.open(self._data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failed:
            raise InvalidSettings(
                f"DATA_DIR: {self._data_dir}: {failed.strerror}; give a folder that this user can write"
            ) from failed


def _taken(descriptor: int, length: int) -> bool:
    """Lock as many bytes for this open file; False where another has one of them."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, length, 0))
    except (BlockingIOError, PermissionError):
        # Either may be the answer where another has it.
        return False
    return True


def _held_length(descriptor: int) -> int | None:
    """How many bytes another has locked; None where nobody has any."""
    asked = _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, _WARDENS_BYTES, 0)
    kind, _, _, length, _ = _RANGE.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else length


class _Holder(NamedTuple):
    """Who holds it, as it says itself."""

    role: str = ""
    instance: str = ""
    pid: int = 0

    @classmethod
    def read(cls, descriptor: int) -> Self:
        """What the file says; nobody in particular where that is unreadable."""
        try:
            said = json.loads(os.pread(descriptor, 4096, 0))
            return cls(str(said["role"]), str(said["instance"]), int(said["pid"]))
        except (ValueError, KeyError, TypeError):
            return cls()

    def __str__(self) -> str:
        return f"{self.role} of {self.instance} (pid {self.pid})"
