"""A probe's samples in a few figures, by the measures that verdicts are made with. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.faults.facts import Value
from coordinator.record import AssertionResult, Execution, Sample
from coordinator.scenarios.verdict import availability, percentile

RECOVERY_METRIC = "recovers_within"


class Figures(Value):
    """`availability` is a percentage, None without samples; latencies are seconds over good samples, None without."""

    samples: int
    good: int
    availability: float | None
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    first_bad_s: float | None
    last_bad_s: float | None


def figures(samples: Sequence[Sample]) -> Figures:
    """Fold a series."""
    bad = [sample.offset_s for sample in samples if not sample.ok]
    return Figures(
        samples=len(samples),
        good=sum(sample.ok for sample in samples),
        availability=availability(samples),
        p50_s=percentile(samples, 50),
        p95_s=percentile(samples, 95),
        max_s=percentile(samples, 100),
        first_bad_s=min(bad, default=None),
        last_bad_s=max(bad, default=None),
    )


def recoveries(execution: Execution) -> tuple[AssertionResult, ...]:
    """The assertions that measured a recovery time."""
    return tuple(result for result in execution.assertions if result.metric == RECOVERY_METRIC)


def seconds(value: float | None) -> str:
    """A span for people: `250 ms`, `2.35 s`, a dash where there is none."""
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.2f} s"
