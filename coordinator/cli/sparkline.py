"""The newest samples of a probe on one line of text: a column for a stretch of time, as high as its slowest good
answer, and a cross where any was bad, so that a failure is seen without colours. Knows no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from coordinator.errors import NotFound

if TYPE_CHECKING:
    from coordinator.ports import Control
    from coordinator.record import Sample, Series

WINDOWS_S: Final = (15.0, 30.0, 60.0)
"""How far back it shows: the least that holds all, or else the last."""
_DUST: Final = 1e-6
"""Of a column: what a due time may lie before it for being a sum of binary fractions."""
AMENDED_S: Final = 10.0
"""How long after it was due a sample may still be amended by a late answer: so much is asked for again and again."""
MOST_AT_ONCE: Final = 1000
"""Samples of one probe that are asked for at once."""


class Marks(NamedTuple):
    """The characters it is made of: levels from low to high, a bad one, and a column with no sample."""

    levels: str
    bad: str
    nothing: str


BLOCKS: Final = Marks("▁▂▃▄▅▆▇█", "×", " ")  # noqa: RUF001  # a cross, which is in most encodings
ASCII: Final = Marks(".:-=+*#@", "x", " ")


class Cell(NamedTuple):
    """One column."""

    mark: str
    bad: bool


class Recent:
    """The samples of the last minute of each probe, kept up to date by asking only for what may be new."""

    def __init__(self) -> None:
        """Know none."""
        self._samples: dict[str, list[Sample]] = {}

    async def refresh(self, control: Control, execution_id: str) -> None:
        """Ask for what may be new. Raises NoAnswer; whom nobody knows has no samples."""
        after_s = self.since()
        try:
            found = await control.samples(execution_id, after_s, MOST_AT_ONCE)
        except NotFound:
            return
        self.take(found, after_s)

    def since(self) -> float:
        """From when on to ask, in seconds from the execution's start: all probes' newest but for what may change."""
        newest = [samples[-1].offset_s for samples in self._samples.values() if samples]
        return min(newest, default=0.0) - AMENDED_S if newest else -1.0

    def take(self, found: Mapping[str, Series], after_s: float) -> None:
        """Put what was found after that moment in the place of what was known of it."""
        for name, series in found.items():
            kept = [sample for sample in self._samples.get(name, ()) if sample.offset_s <= after_s]
            samples = [*kept, *series.samples]
            begin = samples[-1].offset_s - WINDOWS_S[-1] if samples else 0.0
            self._samples[name] = [sample for sample in samples if sample.offset_s >= begin]

    def of(self, probe: str) -> Sequence[Sample]:
        """Those of one probe, in order."""
        return self._samples.get(probe, ())

    def end(self) -> float:
        """When the newest of all was due."""
        return max((samples[-1].offset_s for samples in self._samples.values() if samples), default=0.0)


def sparkline(samples: Sequence[Sample], end_s: float, width: int, marks: Marks) -> tuple[Cell, ...]:
    """`width` columns that end at `end_s`. None is shorter than the probe's pace, and so empty only by a gap."""
    if not samples:
        return (Cell(marks.nothing, bad=False),) * width
    window_s = next((one for one in WINDOWS_S if end_s <= one), WINDOWS_S[-1])
    column_s = max(window_s / width, _pace(samples))
    last = int(end_s / column_s + _DUST)
    columns: dict[int, list[Sample]] = {}
    for sample in samples:
        # Columns are fixed in time: they move as a whole, and a peak does not change its height on its way.
        columns.setdefault(int(sample.offset_s / column_s + _DUST) - last + width - 1, []).append(sample)
    shown = {at: _slowest(found) for at, found in columns.items() if at >= 0}
    top = max(shown.values(), default=0.0)
    return tuple(_cell(columns.get(at, ()), shown.get(at, 0.0), top, marks) for at in range(width))


def _pace(samples: Sequence[Sample]) -> float:
    """The seconds between two samples."""
    between = len(samples) - 1
    return (samples[-1].offset_s - samples[0].offset_s) / between if between else 0.0


def _slowest(samples: Iterable[Sample]) -> float:
    return max((sample.latency_s for sample in samples if sample.ok and sample.latency_s is not None), default=0.0)


def _cell(samples: Sequence[Sample], slowest: float, top: float, marks: Marks) -> Cell:
    if not samples:
        return Cell(marks.nothing, bad=False)
    if not all(sample.ok for sample in samples):
        return Cell(marks.bad, bad=True)
    level = int(slowest / top * len(marks.levels)) if top > 0 else 0
    return Cell(marks.levels[min(level, len(marks.levels) - 1)], bad=False)
