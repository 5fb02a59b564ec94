"""How many restarts are too many: a sliding window that keeps no more stamps than it needs."""

from __future__ import annotations

from collections import deque


class Budget:
    """Allows `intensity` restarts within any `period_s` seconds. Every attempt counts, also one that does not start."""

    __slots__ = ("_period_s", "_stamps", "intensity")

    def __init__(self, intensity: int, period_s: float) -> None:
        """Start with nothing spent."""
        self.intensity = intensity
        self._period_s = period_s
        # One stamp per allowed restart decides: the next is over when the oldest of them still lies in the period.
        self._stamps: deque[float] = deque(maxlen=intensity)

    def spend(self, now: float) -> bool:
        """Count one restart at `now` (seconds, never going back); False when it is one too many."""
        if self.intensity == 0:
            return False
        over = len(self._stamps) == self.intensity and now - self._stamps[0] <= self._period_s
        self._stamps.append(now)
        return not over

    def reset(self) -> None:
        """Forget what was spent."""
        self._stamps.clear()
