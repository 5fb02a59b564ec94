import math
import sys

from hypothesis import given
from hypothesis import strategies as st

from coordinator.record import Reading, Sample
from coordinator.samples import LONGEST_S, Samples, Values

VALUES = st.none() | st.floats(allow_nan=False) | st.sampled_from(("running", "exited", "")) | st.text(max_size=3)
READINGS = st.builds(Reading, ok=st.booleans(), latency_s=st.none() | st.floats(0, LONGEST_S), value=VALUES)


def as_read(offset: float, reading: Reading) -> Sample:
    """A reading as it comes out again: its latency in microseconds."""
    latency = None if reading.latency_s is None else round(reading.latency_s * 1e6) / 1e6
    return Sample(offset, reading.ok, latency, reading.value)


@given(st.lists(READINGS, max_size=30), st.data())
def test_what_went_in_comes_out(readings: list[Reading], data: st.DataObject) -> None:
    """Every row, at any place, in any slice, and after any of them was amended."""
    samples = Samples(0.1)
    samples.begin(7)
    for reading in readings:
        samples.add(reading)
    if readings:
        row = data.draw(st.integers(0, len(readings) - 1))
        readings[row] = data.draw(READINGS)
        samples.amend(row, readings[row])
    expected = [as_read(round((7 + at) * 0.1, 6), reading) for at, reading in enumerate(readings)]
    part = data.draw(st.slices(len(readings)))
    assert list(samples) == expected
    assert [samples[at] for at in range(-len(samples), 0)] == expected
    assert list(samples[part]) == expected[part]
    assert samples.upcoming == 7 + len(readings)


def test_what_is_no_number_is_no_value() -> None:
    """NaN could not be told in JSON; infinities can be compared."""
    values = Values()
    for value in (math.nan, math.inf, math.nan, math.nan):
        values.append(value)
    assert list(values.rows(range(4))) == [None, math.inf, None, None]


def test_an_endless_latency_is_long() -> None:
    """Beyond 35 minutes latencies are not told apart."""
    samples = Samples(1)
    samples.add(Reading(ok=True, latency_s=1e9))
    assert samples[0].latency_s == LONGEST_S


def test_a_sample_takes_few_bytes() -> None:
    """Four where the value stays the same, sixteen where it never does; growing takes an eighth more at most."""

    def size(samples: Samples) -> int:
        values = samples._values
        return sum(map(sys.getsizeof, (samples._answers._packed, values._begins, values._numbers, values._texts)))

    same, other, count = Samples(0.1), Samples(0.1), 20_000
    for number in range(count):
        same.add(Reading(ok=True, latency_s=0.001 * (number % 9), value=200.0))
        other.add(Reading(ok=True, latency_s=0.001, value=float(number)))
    assert size(same) <= 4.6 * count
    assert size(other) <= 18 * count
