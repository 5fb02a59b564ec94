import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.cli.sparkline import ASCII, BLOCKS, WINDOWS_S, Recent, sparkline
from coordinator.record import Sample, Series
from tests.unit.cli import played
from tests.unit.cli.scripted import ScriptedControl


def samples(count: int, every: float = 0.1, bad: range = range(0)) -> list[Sample]:
    """Samples whose latencies grow."""
    return [
        Sample(round(index * every, 6), index not in bad, None if index in bad else 0.001 * (index + 1))
        for index in range(count)
    ]


def drawn(found: list[Sample], width: int = 10) -> str:
    """The line as text."""
    return "".join(cell.mark for cell in sparkline(found, found[-1].offset_s, width, BLOCKS))


def test_a_column_is_as_high_as_its_slowest_answer() -> None:
    """The slowest of what is shown is the highest, and the newest stands at the right."""
    line = drawn(samples(150), 10)
    assert len(line) == 10
    assert list(line) == sorted(line)
    assert line[-1] == BLOCKS.levels[-1]


def test_bad_samples_are_seen_without_colours() -> None:
    """A column in which any sample was bad has a mark of its own."""
    line = drawn(samples(150, bad=range(50, 51)), 10)
    assert line.count(BLOCKS.bad) == 1
    cells = sparkline(samples(150, bad=range(50, 51)), 14.9, 10, ASCII)
    assert [cell.mark for cell in cells if cell.bad] == [ASCII.bad]
    assert all(cell.mark.isascii() for cell in cells)


@pytest.mark.parametrize("every", [0.1, 0.3, 0.7, 2.0, 7.0])
def test_a_slow_probe_has_no_gaps(every: float) -> None:
    """However seldom it looks, no column is empty between its samples."""
    line = drawn(samples(40, every), 30)
    assert BLOCKS.nothing not in line.strip()
    assert len(line) == 30


def test_a_young_execution_fills_the_line() -> None:
    """The least window is 15 s, so that a short run is more than a few columns; the longest is a minute."""
    assert len(drawn(samples(100), 30).strip()) == 20
    assert len(drawn(samples(3000), 30).strip()) == 30
    assert WINDOWS_S[-1] == 60.0


def test_nothing_seen_is_an_empty_line() -> None:
    """Without samples there are only empty columns; a probe that measures no latency is at the ground."""
    assert "".join(cell.mark for cell in sparkline((), 3.0, 5, BLOCKS)) == " " * 5
    assert set(drawn([Sample(index / 10, ok=True) for index in range(151)], 10)) == {BLOCKS.levels[0]}


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 1e6)), min_size=1, max_size=200), st.integers(1, 80))
def test_it_is_always_as_wide_as_asked(rows: list[tuple[bool, float | None]], width: int) -> None:
    """Whatever the samples are."""
    found = [Sample(index * 0.1, ok, latency) for index, (ok, latency) in enumerate(rows)]
    assert len(sparkline(found, found[-1].offset_s, width, BLOCKS)) == width


def test_only_what_may_be_new_is_asked_for() -> None:
    """What is asked for again takes the place of what was known; what is older than a minute is forgotten."""
    recent = Recent()
    assert recent.since() == -1.0
    recent.take({"api": Series(probe="api", samples=tuple(samples(300)))}, -1.0)
    assert recent.since() == pytest.approx(19.9)
    amended = Sample(25.0, ok=False)
    recent.take({"api": Series(probe="api", samples=(amended,))}, 19.9)
    found = recent.of("api")
    assert (len(found), found[-1], recent.end()) == (201, amended, 25.0)
    recent.take({"api": Series(probe="api", samples=(Sample(70.0, ok=True),))}, 69.0)
    assert recent.of("api")[0].offset_s == pytest.approx(10.0)
    assert recent.of("other") == ()


def test_one_that_is_behind_is_not_forgotten() -> None:
    """What is asked for begins before the newest sample of the slowest probe."""
    recent = Recent()
    recent.take(
        {name: Series(probe=name, samples=(Sample(at, ok=True),)) for name, at in (("a", 30.0), ("b", 20.0))}, 0
    )
    assert recent.since() == 10.0


@pytest.mark.anyio
async def test_samples_come_from_the_coordinator() -> None:
    """Asked for through the port; an execution that nobody knows has none."""
    recent = Recent()
    await recent.refresh(ScriptedControl([played.execution()]), played.EXECUTION_ID)
    assert len(recent.of("api")) == 16
    await recent.refresh(ScriptedControl(), "nonsuch")
    assert len(recent.of("api")) == 16
