"""The exclusive hold on a DATA_DIR: one coordinator at a time, released by the kernel however the process ends.
Standard library only: the warden takes it too.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from coordinator.errors import DataDirInUse, InvalidSettings, WardenAtWork

LOCK_FILE: Final = "lock"
WARDEN: Final = "warden"
"""The role of whoever puts back what a dead coordinator left."""

_OWNER_ONLY: Final = 0o700


class DataDirLock:
    """An advisory lock on `DATA_DIR/lock`, whose content names the holder for people."""

    def __init__(self, data_dir: Path, instance: str, role: str = "serve") -> None:
        """Touch nothing yet. `role` is what the holder is: `serve`, `warden`, a command."""
        self._data_dir = data_dir
        self._holder = {"pid": os.getpid(), "instance": instance, "role": role}
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it. Raises DataDirInUse where another has it (WardenAtWork where that ends soon by itself),
        InvalidSettings where the folder cannot be used.
        """
        descriptor = self._opened()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _Holder.read(descriptor)
            os.close(descriptor)
            if holder.role == WARDEN:
                raise WardenAtWork(
                    f"DATA_DIR {self._data_dir}: {holder} is putting back what a dead coordinator left"
                ) from None
            raise DataDirInUse(
                f"DATA_DIR {self._data_dir} is in use by {holder}; stop it or give another DATA_DIR"
            ) from None
        # On a full disk the lock holds all the same; only its message to people is missing.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(self._holder).encode() + b"\n", 0)
        self._descriptor = descriptor

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
        return f"{self.role} of {self.instance} (pid {self.pid})" if self.role else "another coordinator"
