import pytest

from coordinator.record import Sample
from coordinator.reports.figures import figures, recoveries, seconds
from tests.unit.cli.played import execution


def test_no_samples_are_no_figures() -> None:
    """Without samples nothing is claimed."""
    fold = figures(())
    assert (fold.samples, fold.good, fold.availability, fold.p50_s, fold.max_s, fold.first_bad_s) == (
        0, 0, None, None, None, None,
    )  # fmt: skip


def test_latencies_are_those_of_good_samples() -> None:
    """A bad sample counts against availability and not among the latencies."""
    samples = [Sample(0.0, ok=True, latency_s=0.1), Sample(1.0, ok=False, latency_s=5.0), Sample(2.0, ok=False)]
    fold = figures(samples)
    assert (fold.samples, fold.good, fold.max_s) == (3, 1, 0.1)
    assert fold.availability == pytest.approx(100 / 3)
    assert (fold.first_bad_s, fold.last_bad_s) == (1.0, 2.0)


def test_recoveries_are_the_assertions_that_measured_one() -> None:
    """Only `recovers_within` measures a recovery."""
    assert [found.actual for found in recoveries(execution())] == ["1.3s"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0 ms"), (0.01234, "12.3 ms"), (1.0, "1.00 s"), (75.5, "75.50 s")]
)
def test_seconds_for_people(value: float | None, text: str) -> None:
    """Milliseconds below a second, two decimals above, a dash for none."""
    assert seconds(value) == text
