"""A probe's samples, and faults over time, as numbers to draw with: paths, ticks and shades. The markup is the
template's; what is drawn is as wide as the page, whatever that is.

Hundreds of samples may fall on one column of a picture: then a line from the fastest to the slowest stands for them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from coordinator.faults.facts import Value
from coordinator.record import Sample
from coordinator.reports.figures import Figures, seconds
from coordinator.reports.spans import Window

COLUMNS: Final = 600
HEIGHT: Final = 100
FLOOR: Final = 94
"""Where the line of what is all good is drawn, so that no half of it is cut off."""
MANY_WINDOWS: Final = 60
"""More shades than this make a picture large and no clearer: they are drawn as one where they overlap."""
UNEVEN: Final = 20
"""A slowest latency that is so many times the middle one would press the others to the ground: then the scale is
logarithmic.
"""
MOST_TICKS: Final = 6
_STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MINUTE_S: Final = 60
_STEPS_IN_DECADE: Final = (1, 2, 5, 10)
_QUARTERS: Final = 4
_DUST: Final = 1e-6
"""Of a column: what a due time may lie before it for being a sum of binary fractions."""


class Tick(Value):
    """A place on an axis, in per cent of its length, and what it says."""

    at: float
    text: str


class Shade(Value):
    """A stretch of time, in per cent of the whole. `kind` is due, force (in force) or open (in force to the end)."""

    at: float
    width: float
    kind: str


class Plot(Value):
    """A probe's picture. Paths are on COLUMNS times HEIGHT; in `misses` a taller bar is a greater part that was bad."""

    curve: str
    misses: str
    ups: str
    levels: tuple[Tick, ...]
    logarithmic: bool


class Column(NamedTuple):
    """What falls on one column of the picture: the extremes of its good latencies, and how much of it was bad."""

    at: int
    fastest: float | None
    slowest: float | None
    bad: int
    samples: int


class Scale(Value):
    """From latencies to heights, of which 0 is the top."""

    bottom: float
    top: float
    logarithmic: bool

    def height(self, latency: float) -> float:
        """Where it is drawn."""
        if self.logarithmic:
            part = math.log(max(latency, self.bottom) / self.bottom) / math.log(self.top / self.bottom)
        else:
            part = latency / self.top
        return round(HEIGHT * (1 - min(1.0, part)), 1)

    def levels(self) -> tuple[Tick, ...]:
        """The latencies that are written at the side, from the top."""
        if not self.logarithmic:
            return tuple(Tick(at=self.height(level), text=seconds(level)) for level in (self.top, self.top / 2))
        decades = round(math.log10(self.top / self.bottom))
        each = math.ceil(decades / 3)
        values = (self.top / 10**power for power in range(0, decades, each))
        return tuple(Tick(at=self.height(value), text=seconds(value)) for value in values)


def plot(samples: Sequence[Sample], fold: Figures, length_s: float) -> Plot:
    """The picture of all samples of a probe over `length_s` seconds."""
    found = columns(samples, length_s)
    scale = scale_of(fold)
    return Plot(
        curve=_curve(found, scale),
        misses="".join(_bar(run, quarters) for quarters, run in _runs(found) if quarters),
        ups="".join(f"M{run[0]} {FLOOR}h{len(run)}" for quarters, run in _runs(found) if not quarters),
        levels=scale.levels() if fold.max_s is not None else (),
        logarithmic=scale.logarithmic,
    )


def columns(samples: Sequence[Sample], length_s: float) -> list[Column]:
    """The columns that any sample falls on, in order."""
    scale, last = COLUMNS / length_s, COLUMNS - 1
    places = [min(last, max(0, int(sample[0] * scale + _DUST))) for sample in samples]
    good = [sample[2] if sample[1] else None for sample in samples]
    answers = [sample[1] for sample in samples]
    found = []
    first = 0
    while first < len(places):
        at = places[first]
        end = bisect_right(places, at, lo=first)
        latencies = [latency for latency in good[first:end] if latency is not None]
        found.append(
            Column(
                at=at,
                fastest=min(latencies, default=None),
                slowest=max(latencies, default=None),
                bad=answers[first:end].count(False),
                samples=end - first,
            )
        )
        first = end
    return found


def scale_of(fold: Figures) -> Scale:
    """A scale that begins and ends at round figures and holds all good latencies."""
    slowest = max(fold.max_s or 0.0, 1e-6)
    middle = fold.p50_s or 0.0
    if 0 < middle * UNEVEN < slowest:
        bottom, top = 10.0 ** math.floor(math.log10(middle)), 10.0 ** math.ceil(math.log10(slowest))
        return Scale(bottom=bottom / 10, top=top, logarithmic=True)
    decade = 10.0 ** math.floor(math.log10(slowest))
    top = next(step * decade for step in _STEPS_IN_DECADE if step * decade >= slowest * 0.999)
    return Scale(bottom=0.0, top=top, logarithmic=False)


def _curve(found: Iterable[Column], scale: Scale) -> str:
    """A line from column to column, from extreme to extreme; it breaks where nothing good was seen."""
    path = []
    pen = "M"
    for column in found:
        if column.fastest is None or column.slowest is None:
            # Without a latency and without a failure: a probe that measures none.
            pen = "M" if column.bad else pen
            continue
        high, low = scale.height(column.slowest), scale.height(column.fastest)
        # A stroke of no length is a dot: one good sample among bad ones is seen.
        path.append(f"{pen}{column.at + 0.5:g} {high:g}" + ("h0" if high == low else f"V{low:g}"))
        pen = "L"
    return "".join(path)


def _runs(found: Iterable[Column]) -> Iterator[tuple[int, list[int]]]:
    """Neighbouring columns of which equally many quarters, rounded up, were bad: that number, and their places."""
    quartered = ((column.at, math.ceil(_QUARTERS * column.bad / column.samples)) for column in found)
    # Of neighbours the number grows as the place does.
    for (quarters, _), run in groupby(enumerate(quartered), lambda one: (one[1][1], one[1][0] - one[0])):
        yield quarters, [at for _, (at, _) in run]


def _bar(run: Sequence[int], quarters: int) -> str:
    return f"M{run[0]} {HEIGHT}V{HEIGHT - HEIGHT * quarters // _QUARTERS}h{len(run)}V{HEIGHT}z"


# ---------------------------------------------------------------- time


def ticks(length_s: float) -> tuple[Tick, ...]:
    """Round times along the axis, at most MOST_TICKS."""
    step = next((one for one in _STEPS_S if length_s / one < MOST_TICKS), length_s / MOST_TICKS)
    times = (number * step for number in range(math.floor(length_s / step) + 1))
    return tuple(Tick(at=_per_cent(time, length_s), text=clock(time)) for time in times)


def clock(time_s: float) -> str:
    """A time on the axis: `30 s`, `0.5 s`, `5 min`, `1:30 min`, `2 h`."""
    if time_s < 2 * _MINUTE_S:
        return f"{time_s:g} s"
    minutes, rest = divmod(round(time_s), _MINUTE_S)
    if rest:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // _MINUTE_S} h" if minutes % _MINUTE_S == 0 else f"{minutes} min"


def shades(found: Sequence[Window], length_s: float) -> tuple[Shade, ...]:
    """When faults were awaited and in force."""
    shown = [window for window in found if window.effect_s is not None]
    made = [shade for window in shown for shade in bars(window, length_s)]
    return tuple(made) if len(shown) <= MANY_WINDOWS else _merged(made)


def bars(window: Window, length_s: float) -> tuple[Shade, ...]:
    """One fault on one target: from due to effect, from effect to undone; nothing where it had no effect."""
    if window.effect_s is None:
        return ()
    due = window.effect_s if window.due_s is None else min(window.due_s, window.effect_s)
    undone = length_s if window.undone_s is None else window.undone_s
    still = window.undone_s is None or undone > length_s
    return (
        _shade(due, window.effect_s, length_s, "due"),
        _shade(window.effect_s, undone, length_s, "open" if still else "force"),
    )


def _shade(begin_s: float, end_s: float, length_s: float, kind: str) -> Shade:
    begin, end = _per_cent(begin_s, length_s), _per_cent(max(begin_s, end_s), length_s)
    return Shade(at=begin, width=round(end - begin, 3), kind=kind)


def _merged(made: Iterable[Shade]) -> tuple[Shade, ...]:
    """As few shades as cover the same time; what is in force is told from what is awaited no more."""
    merged: list[Shade] = []
    for shade in sorted(made, key=lambda one: one.at):
        last = merged[-1] if merged else None
        if last is not None and shade.at <= last.at + last.width:
            end = max(last.at + last.width, shade.at + shade.width)
            kind = "open" if "open" in {last.kind, shade.kind} else "force"
            merged[-1] = Shade(at=last.at, width=round(end - last.at, 3), kind=kind)
        else:
            merged.append(shade)
    return tuple(merged)


def _per_cent(time_s: float, length_s: float) -> float:
    return round(100 * min(1.0, max(0.0, time_s / length_s)), 3)
