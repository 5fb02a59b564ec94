"""Delays between restarts."""

from __future__ import annotations

import math

import pytest

from coordinator.supervision import IMMEDIATE, Backoff, SpecError


def test_caps_double_up_to_the_maximum() -> None:
    """The first restart is immediate; the caps then grow by the factor and stop at the maximum."""
    backoff = Backoff(minimum_s=1.0, maximum_s=5.0, factor=2.0)
    assert [backoff.cap_s(lives) for lives in (1, 2, 3, 4, 5, 10_000)] == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_full_jitter() -> None:
    """A delay is the drawn share of its cap."""
    backoff = Backoff(minimum_s=4.0, maximum_s=4.0, factor=1.0)
    assert [backoff.delay_s(2, draw) for draw in (0.0, 0.25, 0.999)] == [0.0, 1.0, pytest.approx(3.996)]


def test_immediate_never_waits() -> None:
    """OTP's way: no delay and no limit of its own."""
    assert IMMEDIATE.cap_s(1_000_000) == 0
    assert IMMEDIATE.max_short_lives == math.inf


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minimum_s", -1.0),
        ("minimum_s", math.inf),
        ("maximum_s", 0.01),
        ("maximum_s", math.inf),
        ("factor", 0.5),
        ("reset_after_s", 0.0),
        ("max_short_lives", 0),
    ],
)
def test_what_makes_no_delay_is_refused(field: str, value: float) -> None:
    """Each wrong value is refused by the name of its field."""
    with pytest.raises(SpecError) as refused:
        Backoff(**{field: value})
    assert refused.value.field == field
