import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.record import Sample
from coordinator.reports.chart import (
    COLUMNS,
    HEIGHT,
    MANY_WINDOWS,
    MOST_TICKS,
    bars,
    clock,
    columns,
    plot,
    scale_of,
    shades,
    ticks,
)
from coordinator.reports.figures import figures
from coordinator.reports.spans import Window

latencies = st.floats(min_value=1e-6, max_value=60)
samples = st.lists(st.tuples(st.booleans(), st.none() | latencies), min_size=1, max_size=400).flatmap(
    lambda rows: st.sampled_from([0.01, 0.1, 1.0, 7.0]).map(
        lambda every: [Sample(round(index * every, 6), ok, latency) for index, (ok, latency) in enumerate(rows)]
    )
)


def window(due: float | None, effect: float | None, undone: float | None) -> Window:
    """A fault at these times."""
    return Window(type="t", name="n", due_s=due, effect_s=effect, undone_s=undone, owes=undone is None)


@settings(deadline=None)
@given(samples)
def test_no_sample_is_left_out_of_the_picture(series: Sequence[Sample]) -> None:
    """Every sample falls on exactly one column, in order; extremes of latency and bad ones are not averaged away."""
    found = columns(series, max(1.0, series[-1].offset_s))
    assert sum(column.samples for column in found) == len(series)
    assert sum(column.bad for column in found) == sum(not one.ok for one in series)
    places = [column.at for column in found]
    assert places == sorted(set(places))
    assert places[0] >= 0
    assert places[-1] < COLUMNS
    good = [one.latency_s for one in series if one.ok and one.latency_s is not None]
    assert max((c.slowest for c in found if c.slowest is not None), default=None) == max(good, default=None)
    assert min((c.fastest for c in found if c.fastest is not None), default=None) == min(good, default=None)


@settings(deadline=None)
@given(samples)
def test_what_is_drawn_is_inside_the_picture(series: Sequence[Sample]) -> None:
    """No number of any path is outside, and none is not a number."""
    drawn = plot(series, figures(series), max(1.0, series[-1].offset_s))
    for path in (drawn.curve, drawn.misses, drawn.ups):
        assert re.fullmatch(r"([MLVhz][0-9. ]*)*", path)
        for x in re.findall(r"[ML]([0-9.]+) ", path):
            assert 0 <= float(x) <= COLUMNS
        for y in re.findall(r"(?:[ML][0-9.]+ |V)([0-9.]+)", path):
            assert 0 <= float(y) <= HEIGHT
    assert bool(drawn.misses) == any(not one.ok for one in series)
    assert all(0 <= level.at <= HEIGHT for level in drawn.levels)


def test_a_failure_breaks_the_curve() -> None:
    """No line is drawn through samples that have no latency."""
    series = [Sample(0.0, ok=True, latency_s=0.1), Sample(1.0, ok=False), Sample(2.0, ok=True, latency_s=0.1)]
    assert plot(series, figures(series), 2.0).curve.count("M") == 2


def test_a_bar_is_as_tall_as_the_part_that_was_bad() -> None:
    """In quarters, rounded up, so that one bad sample of a thousand is seen; neighbours of one height are one bar."""
    series = [Sample(index / 1000, ok=index % 10 != 0) for index in range(6000)]
    assert plot(series, figures(series), 6.0).misses == f"M0 {HEIGHT}V75h{COLUMNS}V{HEIGHT}z"
    bad = [Sample(one.offset_s, ok=False) for one in series]
    assert plot(bad, figures(bad), 6.0).misses == f"M0 {HEIGHT}V0h{COLUMNS}V{HEIGHT}z"


@pytest.mark.parametrize(
    ("slowest", "top"), [(0.16, 0.2), (0.2, 0.2), (0.21, 0.5), (0.9, 1.0), (7.0, 10.0), (0.00031, 0.0005)]
)
def test_scales_end_at_round_figures(slowest: float, top: float) -> None:
    """1, 2, 5 or 10 times a power of ten, not below the slowest."""
    scale = scale_of(figures([Sample(0.0, ok=True, latency_s=slowest)]))
    assert scale.top == pytest.approx(top)
    assert not scale.logarithmic


def test_one_very_slow_answer_does_not_press_the_others_flat() -> None:
    """Where the slowest is many times the middle one the scale is logarithmic, and the picture says so."""
    series = [Sample(float(index), ok=True, latency_s=0.003) for index in range(100)]
    series.append(Sample(100.0, ok=True, latency_s=2.5))
    drawn = plot(series, figures(series), 100.0)
    assert drawn.logarithmic
    assert [level.text for level in drawn.levels] == ["10.00 s", "100 ms", "1 ms"]
    heights = {float(y) for y in re.findall(r"[ML][0-9.]+ ([0-9.]+)", drawn.curve)}
    assert max(heights) - min(heights) > HEIGHT / 3
    assert max(heights) < HEIGHT


@given(st.floats(min_value=0.5, max_value=1e6))
def test_there_are_few_ticks_at_round_times(length: float) -> None:
    """From 0 on, at most MOST_TICKS, all inside."""
    found = ticks(length)
    assert 1 <= len(found) <= MOST_TICKS + 1
    assert found[0].text == "0 s"
    assert all(0 <= tick.at <= 100 for tick in found)


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (90, "90 s"), (120, "2 min"), (150, "2:30 min"), (3600, "1 h"), (5400, "90 min")],
)
def test_times_for_people(time: float, text: str) -> None:
    """Seconds, then minutes, then hours."""
    assert clock(time) == text


def test_a_window_is_awaited_then_in_force() -> None:
    """From due to effect one shade, from effect to undone another; one still in force goes to the edge."""
    assert [(one.kind, one.at, one.width) for one in bars(window(1, 2, 5), 10)] == [("due", 10, 10), ("force", 20, 30)]
    assert [(one.kind, one.at, one.width) for one in bars(window(1, 2, None), 10)] == [
        ("due", 10, 10), ("open", 20, 80),
    ]  # fmt: skip
    assert bars(window(1, 2, 99), 10)[1].kind == "open"
    assert bars(window(1, None, None), 10) == ()


def test_very_many_windows_are_drawn_as_what_they_cover() -> None:
    """Overlapping shades become one; where nothing was in force nothing is shaded."""
    many = [window(1 + index / 1000, 2, 5) for index in range(MANY_WINDOWS)] + [window(8, 8, 9)]
    found = shades(many, 10)
    assert [(round(one.at), round(one.width)) for one in found] == [(10, 40), (80, 10)]
    assert len(shades(many[:3], 10)) == 6


def test_infinite_length_is_not_asked_for() -> None:
    """The ticks of a very long execution are still finite."""
    assert all(math.isfinite(tick.at) for tick in ticks(1e9))
