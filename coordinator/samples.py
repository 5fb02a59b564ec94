"""A probe's samples as columns: millions of them in a few bytes each, read as rows. Decides nothing.

A sample takes 4 bytes, and 12 more where its value is not that of the sample before: most never change, as a status.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, overload

from coordinator.record import Reading, Sample

MICRO: Final = 1e6
NO_LATENCY: Final = 0x7FFFFFFF
LONGEST_S: Final = (NO_LATENCY - 1) / MICRO
"""The longest latency that is told apart from longer ones: 35 minutes."""


class Answers:
    """Whether each sample was good, and its latency in whole microseconds, finer than a shared loop can tell."""

    def __init__(self) -> None:
        """None yet."""
        self._packed = array("I")

    def __len__(self) -> int:
        return len(self._packed)

    def append(self, reading: Reading) -> None:
        """Add one."""
        self._packed.append(_packed(reading))

    def replace(self, row: int, reading: Reading) -> None:
        """Put another in its place."""
        self._packed[row] = _packed(reading)

    def __getitem__(self, row: int) -> tuple[bool, float | None]:
        packed = self._packed[row]
        latency = packed >> 1
        return bool(packed & 1), None if latency == NO_LATENCY else latency / MICRO


def _packed(reading: Reading) -> int:
    latency = reading.latency_s
    micros = NO_LATENCY if latency is None else max(0, round(min(latency, LONGEST_S) * MICRO))
    return micros << 1 | reading.ok


class Values:
    """A value for each sample, kept once as long as it stays the same. What is no number at all (NaN) is no value."""

    def __init__(self) -> None:
        """None yet."""
        self._count = 0
        self._begins = array("I")
        """The rows at which another value begins; what it is stands at the same place below."""
        self._numbers = array("d")
        self._texts: dict[int, str] = {}

    def __len__(self) -> int:
        return self._count

    def append(self, value: float | str | None) -> None:
        """Add one."""
        last = len(self._begins) - 1
        if last < 0 or value != self._run(last):
            if isinstance(value, str):
                self._texts[last + 1] = sys.intern(str(value))
            self._begins.append(self._count)
            self._numbers.append(math.nan if value is None or isinstance(value, str) else value)
        self._count += 1

    def replace(self, row: int, value: float | str | None) -> None:
        """Put another in its place; meant for one of the last."""
        behind = tuple(self.rows(range(row + 1, self._count)))
        while self._begins and self._begins[-1] >= row:
            self._begins.pop()
            self._numbers.pop()
            self._texts.pop(len(self._begins), None)
        self._count = row
        for each in (value, *behind):
            self.append(each)

    def rows(self, wanted: range) -> Iterator[float | str | None]:
        """The values of these rows."""
        for row in wanted:
            yield self._run(bisect_right(self._begins, row) - 1)

    def _run(self, at: int) -> float | str | None:
        number = self._numbers[at]
        return self._texts.get(at) if math.isnan(number) else number


class Rows(Sequence[Sample]):
    """Columns read as samples; whoever derives says when each was due."""

    def __init__(self) -> None:
        """None yet."""
        self._answers = Answers()
        self._values = Values()

    def offset_of(self, row: int) -> float:
        """When a row was due, in seconds from the start."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Sample]:
        return self._read(range(len(self)))

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Sample]: ...
    def __getitem__(self, at: int | slice) -> Sample | Sequence[Sample]:
        rows = range(len(self))
        if isinstance(at, slice):
            return tuple(self._read(rows[at]))
        row = rows[at]
        return next(self._read(range(row, row + 1)))

    def _read(self, rows: range) -> Iterator[Sample]:
        for row, value in zip(rows, self._values.rows(rows), strict=True):
            ok, latency = self._answers[row]
            yield Sample(self.offset_of(row), ok, latency, value)


class Samples(Rows):
    """All samples of one probe so far, growing: a row per due time without a gap."""

    def __init__(self, every: float) -> None:
        """`every` is the pace in seconds."""
        super().__init__()
        self._every = every
        self._first = 0

    def offset(self, index: int) -> float:
        """When the due time `index` is, in seconds from the start; microseconds, so that 3 x 0.1 reads as 0.3."""
        return round(index * self._every, 6)

    def offset_of(self, row: int) -> float:
        """When a row was due, in seconds from the start."""
        return self.offset(self._first + row)

    @property
    def upcoming(self) -> int:
        """The first due time that has no row yet."""
        return self._first + len(self)

    def begin(self, index: int) -> None:
        """Make the due time `index` the first row."""
        self._first = index

    def add(self, reading: Reading) -> None:
        """Add a row at the upcoming due time."""
        self._answers.append(reading)
        self._values.append(reading.value)

    def amend(self, row: int, reading: Reading) -> None:
        """Fill in the answer of a row that was added before it came."""
        self._answers.replace(row, reading)
        self._values.replace(row, reading.value)
