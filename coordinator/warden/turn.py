"""Which of several wardens of one DATA_DIR goes on, where coordinators have ended one after another: the last."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

TURN_FILE: Final = "warden"
"""Below DATA_DIR: held locked by the warden whose turn it is."""


class Turn:
    """One warden's. What cannot be written is not taken, and then nobody gives way: better two than none."""

    def __init__(self, data_dir: Path) -> None:
        """Touch nothing yet."""
        self._path = data_dir / TURN_FILE
        self._own: int | None = None

    def take(self) -> None:
        """Be the last; whoever was it before goes when he next looks. Idempotent."""
        if self._own is not None:
            return
        draft = self._path.with_name(f"{TURN_FILE}.{os.getpid()}")
        with suppress(OSError):
            own = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            # Locked before it can be seen: it is never taken for that of a dead one.
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.replace(self._path)
            self._own = own

    def is_over(self) -> bool:
        """Whether a later one is alive."""
        if self._own is None:
            return False
        try:
            last = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            if os.path.sameopenfile(last, self._own):
                return False
            fcntl.flock(last, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(last)
        return False

    def leave(self) -> None:
        """At the end; idempotent."""
        if self._own is not None:
            with suppress(OSError):
                if self._path.stat().st_ino == os.fstat(self._own).st_ino:
                    self._path.unlink()
            os.close(self._own)
            self._own = None
