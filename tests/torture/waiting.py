"""Waits for what other processes do, which send no event."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_S = 0.1


def happens(holds: Callable[[], bool], within_s: float, pause_s: float = LOOK_S) -> bool:
    """Return as soon as it holds; False when it did not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
