"""What samples and facts say: measures, assertions, abort conditions, and the verdict. Pure; asks nobody."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from coordinator.faults.facts import ContainerFacts
from coordinator.quantities import Comparison, show_duration
from coordinator.record import AssertionResult, Sample, Verdict
from coordinator.scenarios.model import AbortCondition, Assertion, ContainerClaim

GOOD_IN_A_ROW: Final = 3
"""Good samples in a row that end a disturbance."""
ABORT_TAIL: Final = 100
"""Samples an abort condition looks back on (but for `unavailable_for` and `value`)."""
ABORT_LEAST: Final = 10
"""Samples there must be before such a condition can be true: one bad first sample is no availability of 0 %."""
NO_DATA: Final = "no data"
NOT_DISTURBED: Final = "not disturbed"
NEVER_RECOVERED: Final = "never recovered"
_PERCENTILES: Final = {"latency_p50": 50, "latency_p90": 90, "latency_p95": 95, "latency_p99": 99, "latency_max": 100}


def window(samples: Sequence[Sample], start: float, end: float) -> Sequence[Sample]:
    """The samples due at or after `start` and before `end`, in seconds; `samples` are in order."""
    first = bisect_left(samples, start, key=lambda sample: sample.offset_s)
    return samples[first : bisect_left(samples, end, lo=first, key=lambda sample: sample.offset_s)]


# ---------------------------------------------------------------- measures


def availability(samples: Sequence[Sample]) -> float | None:
    """Good in per cent of scheduled samples; missed and late ones are bad. None without samples."""
    return 100 * sum(sample.ok for sample in samples) / len(samples) if samples else None


def percentile(samples: Sequence[Sample], percent: float) -> float | None:
    """Seconds by nearest rank over the good samples; None when none is good."""
    latencies = sorted(sample.latency_s for sample in samples if sample.ok and sample.latency_s is not None)
    return latencies[max(0, math.ceil(percent * len(latencies) / 100) - 1)] if latencies else None


def throughput(samples: Sequence[Sample], window_end: float) -> float | None:
    """Good samples per second, from the first sample's due time to the window's end."""
    span = window_end - samples[0].offset_s if samples else 0.0
    return sum(sample.ok for sample in samples) / span if span > 0 else None


def last_value(samples: Sequence[Sample]) -> float | str | None:
    """The latest value that was read, of a good or a bad sample."""
    return next((sample.value for sample in reversed(samples) if sample.value is not None), None)


def unavailable_for(samples: Sequence[Sample], window_end: float) -> float | None:
    """Seconds of the longest unbroken bad span: from its first bad sample's due time to the next good one's, or to the
    window's end. None without samples.
    """
    longest, began = 0.0, None
    for sample in samples:
        if not sample.ok:
            began = sample.offset_s if began is None else began
        elif began is not None:
            longest, began = max(longest, sample.offset_s - began), None
    if began is not None:
        longest = max(longest, window_end - began)
    return longest if samples else None


def recovery(samples: Sequence[Sample], effect_at: float | None) -> float | str | None:
    """Seconds from the first bad sample at or after the effect to the first of three good ones in a row.

    NOT_DISTURBED when none was bad, NEVER_RECOVERED when no three good ones followed, None without samples.
    """
    after = samples if effect_at is None else window(samples, effect_at, math.inf)
    if not after:
        return None
    bad_at: float | None = None
    good: list[float] = []
    for sample in after:
        if not sample.ok:
            bad_at, good = (sample.offset_s if bad_at is None else bad_at), []
        elif bad_at is not None:
            good.append(sample.offset_s)
            if len(good) == GOOD_IN_A_ROW:
                return good[0] - bad_at
    return NOT_DISTURBED if bad_at is None else NEVER_RECOVERED


def _measure(metric: str, samples: Sequence[Sample], window_end: float) -> float | str | None:
    """The measured value of any metric that compares with a limit."""
    if metric in _PERCENTILES:
        return percentile(samples, _PERCENTILES[metric])
    match metric:
        case "availability":
            return availability(samples)
        case "error_rate":
            good = availability(samples)
            return None if good is None else 100 - good
        case "throughput":
            return throughput(samples, window_end)
        case "count":
            return float(sum(sample.ok for sample in samples)) if samples else None
        case "unavailable_for":
            return unavailable_for(samples, window_end)
        case _:
            return last_value(samples)


def shown(metric: str, value: float | str | None) -> str:
    """A measured value for a person, with its unit."""
    if value is None:
        return NO_DATA
    if isinstance(value, str):
        return value
    if metric in {"availability", "error_rate"}:
        return f"{value:.6g}%"
    if metric == "throughput":
        return f"{value:.4g}/s"
    if metric in _PERCENTILES or metric in {"unavailable_for", "recovers_within"}:
        return show_duration(round(value, 4))
    return f"{value:g}"


# ---------------------------------------------------------------- assertions


def judge(
    assertion: Assertion,
    *,
    phase: str,
    samples: Sequence[Sample],
    window_end: float,
    effect_at: float | None,
    steady_value: float | str | None,
    containers: Mapping[str, tuple[ContainerFacts | None, ...]],
) -> AssertionResult:
    """Judge one assertion on `samples`, already cut to the window it is about, or on containers.

    For `recovers_within` the window begins no later than the effect, which may lie in an earlier phase. Offsets are
    seconds from the execution's start. `effect_at` is when the first fault took effect, None if none did;
    `steady_value` the probe's value at the end of the steady state; a container that is gone is None.
    """
    if assertion.container is not None:
        claim = assertion.container
        passed, actual = claim_holds(claim, containers.get(claim.target, ()))
        metric = ", ".join(name for name in ("state", "health", "restarts") if getattr(claim, name) is not None)
        return AssertionResult(
            phase=phase, on=claim.target, metric=metric, expected=claim_shown(claim), actual=actual, passed=passed
        )
    metric = assertion.metrics()[0]
    if metric == "recovers_within":
        expected, actual, passed = _judge_recovery(assertion, samples, effect_at)
    elif metric == "unchanged":
        value = last_value(samples)
        expected = "a value in the steady state" if steady_value is None else f"== {shown('value', steady_value)}"
        actual, passed = shown("value", value), steady_value is not None and value == steady_value
    else:
        comparison: Comparison = getattr(assertion, metric)
        measured = _measure(metric, samples, window_end)
        expected, actual = comparison.shown, shown(metric, measured)
        passed = measured is not None and comparison.holds(measured)
    return AssertionResult(
        phase=phase, on=assertion.probe or "", metric=metric, expected=expected, actual=actual, passed=passed
    )


def _judge_recovery(assertion: Assertion, samples: Sequence[Sample], effect_at: float | None) -> tuple[str, str, bool]:
    """Expected, actual, passed."""
    limit = assertion.recovers_within or 0.0
    took = recovery(samples, effect_at)
    passed = took == NOT_DISTURBED or (isinstance(took, float) and took <= limit)
    return f"<= {show_duration(limit)}", shown("recovers_within", took), passed


def claim_shown(claim: ContainerClaim) -> str:
    """The claim for a person, in the order of the metric's names: `running, == 0`."""
    parts = (claim.state, claim.health, claim.restarts.shown if claim.restarts else None)
    return ", ".join(part for part in parts if part)


def claim_holds(claim: ContainerClaim, containers: Sequence[ContainerFacts | None]) -> tuple[bool, str]:
    """Whether every container is as claimed, and how they are, for a person. No containers: no data, which fails."""
    if not containers:
        return False, NO_DATA
    holds, described = True, []
    for container in containers:
        if container is None:
            holds = holds and claim.state == "removed" and claim.health is None and claim.restarts is None
            described.append("removed")
            continue
        health = container.health or "none"
        holds = (
            holds
            and claim.state in {None, container.state.value}
            and claim.health in {None, health}
            and (claim.restarts is None or claim.restarts.holds(float(container.restart_count)))
        )
        parts = [f"state {container.state}" if claim.state else "", f"health {health}" if claim.health else ""]
        parts.append(f"restarts {container.restart_count}" if claim.restarts else "")
        described.append(f"{container.name}: " + ", ".join(part for part in parts if part))
    return holds, "; ".join(described)


# ---------------------------------------------------------------- while it runs


def aborts(condition: AbortCondition, samples: Sequence[Sample]) -> str | None:
    """Why the execution must stop, in words, when the condition is true at the last of `samples`; else None.

    Looks only at the tail, so that it can be asked at every sample.
    """
    if not samples:
        return None
    metric = condition.condition()
    if condition.unavailable_for is not None:
        span = _bad_span(samples, condition.unavailable_for)
        if span < condition.unavailable_for:
            return None
        return f"abort_if: {condition.probe} unavailable for {show_duration(condition.unavailable_for)}"
    comparison: Comparison = getattr(condition, metric)
    tail = samples[-1:] if metric == "value" else samples[-ABORT_TAIL:]
    if metric != "value" and len(tail) < ABORT_LEAST:
        return None
    measured = _measure(metric, tail, tail[-1].offset_s)
    if measured is None or not comparison.holds(measured):
        return None
    return f"abort_if: {condition.probe} {metric} {comparison.shown} (it is {shown(metric, measured)})"


def _bad_span(samples: Sequence[Sample], enough: float) -> float:
    """Seconds from the first to the last sample of the bad run at the end; stops looking back at `enough`."""
    now = samples[-1].offset_s
    began = now
    for sample in reversed(samples):
        if sample.ok or now - began >= enough:
            break
        began = sample.offset_s
    return -1.0 if samples[-1].ok else now - began


def steady_for(samples: Sequence[Sample], seconds: float, now_s: float) -> bool:
    """Whether the probe has been good without a break for that long, at `now_s` seconds from the execution's start."""
    since: float | None = None
    for sample in reversed(samples):
        if not sample.ok:
            break
        since = sample.offset_s
        if now_s - since >= seconds:
            break
    return since is not None and now_s - since >= seconds


# ---------------------------------------------------------------- the end


def overall(
    *, error: str | None, aborted: str | None, not_injected: Sequence[str], failed: Sequence[str]
) -> tuple[Verdict, str | None]:
    """The strongest verdict that has a reason, with the reason in one line; passed has none."""
    if error is not None:
        return Verdict.ERROR, error
    if aborted is not None:
        return Verdict.ABORTED, aborted
    if not_injected:
        return Verdict.NOT_INJECTED, "; ".join(not_injected)
    if failed:
        return Verdict.FAILED, "; ".join(failed)
    return Verdict.PASSED, None
