"""The verdict: measures, assertions, abort conditions, waiting, and which ending is strongest."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.record import AssertionResult, Sample, Verdict
from coordinator.scenarios.model import AbortCondition, Assertion
from coordinator.scenarios.verdict import (
    NEVER_RECOVERED,
    NO_DATA,
    NOT_DISTURBED,
    aborts,
    judge,
    overall,
    percentile,
    recovery,
    steady_for,
    unavailable_for,
    window,
)


def samples(marks: str, every: float = 1.0, start: float = 0.0) -> tuple[Sample, ...]:
    """`+` is good, `-` is bad, from `start` every `every` seconds; latencies of good ones are 1, 2, 3 … ms."""
    good = iter(range(1, len(marks) + 1))
    return tuple(
        Sample(start + index * every, mark == "+", next(good) / 1000 if mark == "+" else None, mark)
        for index, mark in enumerate(marks)
    )


def judged(
    claim: dict[str, object],
    taken: Sequence[Sample],
    *,
    window_end: float = 10.0,
    effect_at: float | None = None,
    steady_value: float | str | None = None,
) -> AssertionResult:
    """The judgement of a claim on the probe `api`."""
    return judge(
        Assertion.model_validate({"probe": "api", **claim}),
        phase="p",
        samples=taken,
        window_end=window_end,
        effect_at=effect_at,
        steady_value=steady_value,
        containers={},
    )


class TestMeasures:
    @given(st.lists(st.floats(0, 100), max_size=30).map(sorted), st.floats(0, 100), st.floats(0, 100))
    def test_a_window_holds_what_is_due_in_it(self, due: list[float], start: float, end: float) -> None:
        """From its start on and before its end, like a slow look at every sample."""
        taken = [Sample(offset, ok=True) for offset in due]
        assert list(window(taken, start, end)) == [one for one in taken if start <= one.offset_s < end]

    @given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.integers(1, 100))
    def test_percentiles_are_by_nearest_rank(self, latencies: list[float], percent: int) -> None:
        """The smallest value with at least that share of values not above it."""
        found = percentile([Sample(0, ok=True, latency_s=latency) for latency in latencies], percent)
        assert found is not None
        at_most = [value for value in latencies if value <= found]
        below = [value for value in latencies if value < found]
        assert len(at_most) * 100 >= percent * len(latencies) > len(below) * 100

    @pytest.mark.parametrize(
        ("marks", "longest"),
        [("+++", 0.0), ("+--+-+", 2.0), ("-+", 1.0), ("++--", 8.0), ("----------", 10.0)],
    )
    def test_the_longest_bad_span_runs_to_the_next_good_sample(self, marks: str, longest: float) -> None:
        """From the first bad sample's due time to the next good one's, or to the window's end at 10 s."""
        assert unavailable_for(samples(marks), 10.0) == longest

    @pytest.mark.parametrize(
        ("marks", "effect_at", "took"),
        [
            ("++++", 1.0, NOT_DISTURBED),
            ("+--+++", 0.5, 2.0),
            ("+--++-+++", 0.5, 5.0),
            ("-++++--+++", 4.0, 2.0),
            ("+--++", 0.0, NEVER_RECOVERED),
            ("----", None, NEVER_RECOVERED),
            ("-+++", None, 1.0),
            ("+++", 5.0, None),
            ("", None, None),
        ],
    )
    def test_recovery_is_from_the_first_bad_to_three_good(
        self, marks: str, effect_at: float | None, took: float | str | None
    ) -> None:
        """Counted after the effect alone; two good ones in a row do not end it."""
        assert recovery(samples(marks), effect_at) == took


class TestJudge:
    @pytest.mark.parametrize(
        ("claim", "actual", "passed"),
        [
            ({"availability": ">= 75%"}, "75%", True),
            ({"availability": "> 75%"}, "75%", False),
            ({"error_rate": "<= 25%"}, "25%", True),
            ({"error_rate": "< 25%"}, "25%", False),
            ({"throughput": ">= 0.6/s"}, "0.6/s", True),
            ({"throughput": "> 0.6"}, "0.6/s", False),
            ({"latency_p50": "3ms"}, "3ms", True),
            ({"latency_p90": "< 6ms"}, "6ms", False),
            ({"latency_p95": "<= 6ms"}, "6ms", True),
            ({"latency_p99": "<= 5ms"}, "6ms", False),
            ({"latency_max": "<= 6ms"}, "6ms", True),
            ({"value": "== +"}, "+", True),
            ({"value": "-"}, "+", False),
            ({"count": 6}, "6", True),
            ({"count": "> 6"}, "6", False),
            ({"unavailable_for": "2s"}, "2s", True),
            ({"unavailable_for": "< 2s"}, "2s", False),
            ({"recovers_within": "2s"}, "2s", True),
            ({"recovers_within": "1.9s"}, "2s", False),
        ],
    )
    def test_every_metric_passes_and_fails(
        self, claim: dict[str, object], actual: str, *, passed: bool
    ) -> None:  # a table's column
        """On six good samples around two bad ones, in ten seconds."""
        result = judged(claim, samples("++--++++"), effect_at=1.0)
        assert (result.on, result.metric, result.actual, result.passed) == ("api", next(iter(claim)), actual, passed)

    @pytest.mark.parametrize(
        "claim",
        [{"availability": "< 1%"}, {"error_rate": "< 1%"}, {"throughput": "< 1"}, {"latency_p99": "< 1h"},
         {"value": "!= x"}, {"count": 0}, {"unavailable_for": "1h"}, {"recovers_within": "1h"}, {"unchanged": "true"}],
    )  # fmt: skip
    def test_no_samples_fail(self, claim: dict[str, object]) -> None:
        """Silence proves nothing, whatever is claimed."""
        result = judged(claim, ())
        assert (result.actual, result.passed) == (NO_DATA, False)

    def test_an_undisturbed_probe_recovers_at_once_and_says_so(self) -> None:
        """Never bad counts as 0 and is marked."""
        result = judged({"recovers_within": "20s"}, samples("++++"), effect_at=1.0)
        assert (result.expected, result.actual, result.passed) == ("<= 20s", NOT_DISTURBED, True)

    def test_a_probe_that_stays_bad_never_recovers(self) -> None:
        """No limit is long enough."""
        result = judged({"recovers_within": "100h"}, samples("+---"), effect_at=0.5)
        assert (result.actual, result.passed) == (NEVER_RECOVERED, False)

    @pytest.mark.parametrize(("steady", "passed"), [("+", True), ("-", False), (None, False)])
    def test_unchanged_compares_with_the_steady_state(
        self, steady: str | None, *, passed: bool
    ) -> None:  # a table's column
        """Equal to the value at its end; without one there is nothing to be equal to."""
        assert judged({"unchanged": "true"}, samples("-+"), steady_value=steady).passed is passed

    def test_an_all_but_met_limit_is_not_shown_as_met(self) -> None:
        """89.9999 % is not written as 90 %."""
        taken = [Sample(i, ok=i >= 100_001) for i in range(1_000_000)]
        assert judged({"availability": ">= 90%"}, taken).actual == "89.9999%"


class TestContainerClaims:
    @pytest.mark.parametrize(
        ("claim", "passed"),
        [
            ({"state": "running"}, True),
            ({"state": "exited"}, False),
            ({"health": "healthy"}, True),
            ({"health": "none"}, False),
            ({"restarts": 2}, True),
            ({"restarts": "< 2"}, False),
            ({"state": "running", "health": "healthy", "restarts": "<= 2"}, True),
            ({"state": "removed"}, False),
        ],
    )
    def test_a_container_is_as_claimed_or_not(
        self, claim: dict[str, object], *, passed: bool
    ) -> None:  # a table's column
        """State, health and restarts, alone and together."""
        one = ContainerFacts(
            id="1", name="web", image="i", state=ContainerState.RUNNING, health="healthy", restart_count=2
        )
        assert self.judged(claim, (one,)).passed is passed

    def test_every_container_must_be_so(self) -> None:
        """One of two is not enough, and the answer names both."""
        up = ContainerFacts(id="1", name="a", image="i", state=ContainerState.RUNNING)
        down = ContainerFacts(id="2", name="b", image="i", state=ContainerState.EXITED)
        result = self.judged({"state": "running"}, (up, down))
        assert not result.passed
        assert result.actual == "a: state running; b: state exited"
        assert (result.on, result.metric, result.expected) == ("web", "state", "running")

    def test_a_removed_container_is_removed_and_nothing_else(self) -> None:
        """What is gone satisfies `removed` only."""
        assert self.judged({"state": "removed"}, (None,)).passed
        assert not self.judged({"state": "running"}, (None,)).passed
        assert not self.judged({"restarts": 0}, (None,)).passed

    def test_no_container_is_no_data(self) -> None:
        """An empty target proves nothing."""
        assert self.judged({"state": "running"}, ()).actual == NO_DATA

    @staticmethod
    def judged(claim: dict[str, object], containers: tuple[ContainerFacts | None, ...]) -> AssertionResult:
        """The judgement of a claim on the target `web`."""
        assertion = Assertion.model_validate({"container": {"target": "web", **claim}})
        return judge(
            assertion, phase="p", samples=(), window_end=1, effect_at=None, steady_value=None,
            containers={"web": containers},
        )  # fmt: skip


class TestWhileItRuns:
    @pytest.mark.parametrize(
        ("condition", "marks", "stops"),
        [
            ({"unavailable_for": "3s"}, "+---", False),
            ({"unavailable_for": "3s"}, "+----", True),
            ({"unavailable_for": "3s"}, "-----+", False),
            ({"unavailable_for": "3s"}, "-----+-", False),
            ({"unavailable_for": "3s"}, "", False),
            ({"availability": "< 50%"}, "---------", False),
            ({"availability": "< 50%"}, "----------", True),
            ({"availability": "< 50%"}, "-" * 100 + "+" * 100, False),
            ({"error_rate": "> 50%"}, "+" * 100 + "-" * 51, True),
            ({"latency_p99": "> 5ms"}, "+" * 10, True),
            ({"latency_p50": "> 5ms"}, "+" * 10, False),
            ({"value": "== -"}, "++-", True),
            ({"value": "== -"}, "--+", False),
        ],
    )
    def test_abort_conditions_are_judged_on_the_tail(
        self,
        condition: dict[str, object],
        marks: str,
        *,
        stops: bool,
    ) -> None:
        """The bad span at the end, the latest value, or the last hundred samples once there are ten."""
        reason = aborts(AbortCondition.model_validate({"probe": "api", **condition}), samples(marks))
        assert (reason is not None) is stops
        assert reason is None or "api" in reason

    def test_an_abort_condition_does_not_look_at_all_samples(self) -> None:
        """However long the execution and the outage, only as much as the condition needs is read."""

        class Counting(Sequence[Sample]):
            """A million bad samples that count how often one is looked at."""

            looked = 0

            def __len__(self) -> int:
                return 1_000_000

            def __getitem__(self, index: int | slice) -> Sample:  # type: ignore[override]  # slices are not asked for
                assert isinstance(index, int)
                self.looked += 1
                return Sample(float(index % 1_000_000), ok=False)

        taken = Counting()
        assert aborts(AbortCondition.model_validate({"probe": "api", "unavailable_for": "20s"}), taken) is not None
        assert taken.looked < 50

    @pytest.mark.parametrize(
        ("marks", "now", "steady"),
        [("++++", 3.0, True), ("++++", 2.9, False), ("+-++", 3.0, False), ("+++-", 3.0, False), ("", 9.0, False)],
    )
    def test_steady_is_good_without_a_break(self, marks: str, now: float, *, steady: bool) -> None:  # a table's column
        """For three seconds up to now."""
        assert steady_for(samples(marks), 3.0, now) is steady


def test_the_strongest_ending_wins() -> None:
    """Error, aborted, not injected, failed, passed, in this order, each with its own reason."""
    failed, missed = ["a", "b"], ["c"]
    assert overall(error="e", aborted="x", not_injected=missed, failed=failed) == (Verdict.ERROR, "e")
    assert overall(error=None, aborted="x", not_injected=missed, failed=failed) == (Verdict.ABORTED, "x")
    assert overall(error=None, aborted=None, not_injected=missed, failed=failed) == (Verdict.NOT_INJECTED, "c")
    assert overall(error=None, aborted=None, not_injected=(), failed=failed) == (Verdict.FAILED, "a; b")
    assert overall(error=None, aborted=None, not_injected=(), failed=()) == (Verdict.PASSED, None)
