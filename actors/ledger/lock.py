"""The exclusive hold on a DATA_DIR: one coordinator at a time, released by the kernel however the process ends."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from coordinator.errors import DataDirInUse, InvalidSettings

LOCK_FILE: Final = "lock"
_OWNER_ONLY: Final = 0o700


class DataDirLock:
    """An advisory lock on `DATA_DIR/lock`, whose content names the holder for people."""

    def __init__(self, data_dir: Path, instance: str, role: str = "serve") -> None:
        """Touch nothing yet. `role` is what the holder is: `serve`, `warden`, a command."""
        self._data_dir = data_dir
        self._holder = {"pid": os.getpid(), "instance": instance, "role": role}
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it. Raises DataDirInUse where another has it, InvalidSettings where the folder cannot be used."""
        descriptor = self._opened()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            raise DataDirInUse(
                f"DATA_DIR {self._data_dir} is in use by {_described(holder)}; stop it or give another DATA_DIR"
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


def _described(holder: bytes) -> str:
    try:
        said = json.loads(holder)
        return f"{said['role']} of {said['instance']} (pid {said['pid']})"
    except (ValueError, KeyError, TypeError):
        return "another coordinator"
