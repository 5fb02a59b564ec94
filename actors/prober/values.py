"""What a probe read as the value of a sample, and whether it is the expected one."""

from __future__ import annotations

import math

from actors.prober.failures import no_data, shortened, wrong_answer
from coordinator.quantities import Comparison
from coordinator.record import Reading


def number_or_text(text: str) -> float | str | None:
    """A number when it reads as a finite one, else one short line; None when it is empty."""
    line = text.strip()
    try:
        number = float(line)
    except ValueError:
        return shortened(line) or None
    return number if math.isfinite(number) else line


def valued(value: float | str | None, wanted: Comparison | None, *, latency_s: float) -> Reading:
    """The reading of a value; none at all is no data, whatever is wanted."""
    if value is None:
        return no_data("the answer holds no value", latency_s=latency_s)
    if wanted is not None and not wanted.holds(value):
        told = f"{value:g}" if isinstance(value, float) else repr(value)
        return wrong_answer(f"{told}, expected {wanted.shown}", latency_s=latency_s, value=value)
    return Reading(ok=True, latency_s=latency_s, value=value)
