"""How long to wait before the next restart. Knows neither time nor dice: both are arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from coordinator.supervision.errors import SpecError


class RandomSource(Protocol):
    """Where jitter comes from; `random.Random` satisfies it."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


def _check(holds: bool, field: str, reason: str) -> None:  # noqa: FBT001 - reads as "check that …"
    if not holds:
        raise SpecError("backoff", field, reason)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between restarts of one child, all in seconds.

    The first restart is immediate. The n-th in a row after it waits a random time between nothing and
    minimum x factor^(n-1), at most `maximum_s` ("full jitter", AWS Architecture Blog 2015). A child that was up for
    `reset_after_s` starts over. More than `max_short_lives` lives in a row that were shorter than that are over the
    limit whatever the supervisor's window says: a growing delay could otherwise hide a crash loop from it for ever.
    """

    minimum_s: float = 0.1
    maximum_s: float = 30.0
    factor: float = 2.0
    reset_after_s: float = 60.0
    max_short_lives: float = 10

    def __post_init__(self) -> None:
        """Refuse values that make no delay."""
        _check(self.minimum_s >= 0 and math.isfinite(self.minimum_s), "minimum_s", "must be 0 or more seconds")
        _check(
            self.maximum_s >= self.minimum_s and math.isfinite(self.maximum_s),
            "maximum_s",
            "must be at least minimum_s, and finite",
        )
        _check(self.factor >= 1 and math.isfinite(self.factor), "factor", "must be 1 or more")
        _check(self.reset_after_s > 0, "reset_after_s", "must be more than 0 seconds")
        _check(self.max_short_lives >= 1, "max_short_lives", "must be 1 or more")

    def cap_s(self, short_lives: int) -> float:
        """The longest the restart after this many short lives in a row may wait, in seconds."""
        if short_lives <= 1 or self.minimum_s == 0:
            return 0.0
        # Compared as logarithms: factor^n overflows a float long before a child stops crashing.
        exponent = short_lives - 2
        if exponent * math.log(self.factor) >= math.log(self.maximum_s / self.minimum_s):
            return self.maximum_s
        return min(self.maximum_s, self.minimum_s * self.factor**exponent)

    def delay_s(self, short_lives: int, draw: float) -> float:
        """Seconds to wait; `draw` is uniform in [0, 1)."""
        return self.cap_s(short_lives) * draw


IMMEDIATE = Backoff(minimum_s=0.0, maximum_s=0.0, max_short_lives=math.inf)
"""No delay at all, as OTP restarts: only the supervisor's window limits a crash loop."""
