import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.record import Reading, Sample
from coordinator.samples import LONGEST_S, Samples, Values

GOOD = Reading(ok=True, latency_s=0.01, value=200.0)
BAD = Reading(ok=False, error="refused")
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


def test_samples_are_a_sequence() -> None:
    """Samples read as a sequence: length, index from both ends, slices, iteration, bounds."""
    samples = Samples(0.1)
    for reading in (
        Reading(ok=True, latency_s=0.01, value=200.0),
        Reading(ok=False, error="refused"),
        Reading(ok=True, latency_s=0.2, value="text"),
    ):
        samples.add(reading)
    expected = [Sample(0.0, True, 0.01, 200.0), Sample(0.1, False), Sample(0.2, True, 0.2, "text")]
    assert len(samples) == 3
    assert list(samples) == expected
    assert samples[-1] == expected[2]
    assert list(samples[1:]) == expected[1:]
    assert list(reversed(samples)) == expected[::-1]
    with pytest.raises(IndexError):
        samples[3]


def test_offsets_read_as_they_were_meant() -> None:
    """Due times carry no dust of binary fractions, however many there are."""
    samples = Samples(0.1)
    samples.begin(3)
    samples.add(GOOD)
    assert samples[0].offset_s == 0.3
    assert samples.offset(36_001) == 3600.1
