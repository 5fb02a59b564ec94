"""Specifications; what is refused and why is in tests/conformance."""

from __future__ import annotations

import math

import pytest

from coordinator.supervision import Backoff, ChildSpec, SpecError, Strategy, SupervisorSpec
from tests.unit.supervision.desk import child, never


def test_defaults_by_kind() -> None:
    """A worker has 30 s to start and 5 s to stop; a supervisor has all the time its children need."""
    worker, nested = ChildSpec("a", never), ChildSpec("s", SupervisorSpec("s"))
    assert (worker.start_timeout_s, worker.stop_timeout_s, worker.kind) == (30.0, 5.0, "worker")
    assert (nested.start_timeout_s, nested.stop_timeout_s, nested.kind) == (math.inf, math.inf, "supervisor")
    assert worker.backoff == Backoff()


def test_given_timeouts_are_kept() -> None:
    """No time given is changed, 0 and infinity included."""
    spec = ChildSpec("s", SupervisorSpec("s"), start_timeout_s=1, stop_timeout_s=0)
    assert (spec.start_timeout_s, spec.stop_timeout_s) == (1, 0)
    assert ChildSpec("a", never, stop_timeout_s=math.inf).stop_timeout_s == math.inf


def test_budget_defaults() -> None:
    """Five restarts in 30 s: a burst is stood, a crash loop is not."""
    spec = SupervisorSpec("root", (child("a"),))
    assert (spec.intensity, spec.period_s, spec.strategy) == (5, 30.0, Strategy.ONE_FOR_ONE)


def test_an_error_says_where_and_what() -> None:
    """A refusal names the child, the field and the reason in one sentence."""
    with pytest.raises(SpecError, match="child 'a': stop_timeout_s: must be 0 or more seconds"):
        ChildSpec("a", never, stop_timeout_s=-1)
