"""The sliding window of restarts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.supervision.budget import Budget


def test_zero_allows_nothing() -> None:
    """An intensity of 0 never allows a restart."""
    assert not Budget(0, 10.0).spend(0.0)


def test_the_window_slides() -> None:
    """What lies further back than the period no longer counts; the period's own end still does, as in OTP."""
    budget = Budget(2, 10.0)
    assert [budget.spend(now) for now in (0.0, 5.0, 10.0, 20.5)] == [True, True, False, True]


def test_reset_forgets() -> None:
    """After a reset the whole budget is there again."""
    budget = Budget(1, 10.0)
    budget.spend(0.0)
    budget.reset()
    assert budget.spend(0.0)
    assert not budget.spend(0.0)


@given(st.integers(0, 5), st.floats(0.1, 10), st.lists(st.floats(0, 5), max_size=40))
def test_it_agrees_with_counting(intensity: int, period_s: float, gaps: list[float]) -> None:
    """It says the same as keeping every stamp and counting those within the period, as OTP does."""
    budget, stamps, now = Budget(intensity, period_s), [], 0.0
    for gap in gaps:
        now += gap
        stamps.append(now)
        assert budget.spend(now) is (sum(now - stamp <= period_s for stamp in stamps) <= intensity)
