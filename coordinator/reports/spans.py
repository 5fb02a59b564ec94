"""When things were, in seconds from an execution's start: its phases, and each fault on each target from due over
effect to undone. Draws nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from coordinator.faults.facts import Value
from coordinator.record import ENDED, Execution, Fault, Report, TargetOutcome

LONGER_S: Final = 30.0
LONGER_BY: Final = 0.5
"""How much of the time after the last sample, phase or effect is still shown: what a recovery of the next morning undid
would leave a minute's execution a line's width.
"""
STEADY: Final = "steady state"


class Span(Value):
    """A phase, from its start to its last event."""

    name: str
    start_s: float
    end_s: float


class Window(Value):
    """A fault on one of its targets. `effect_s` is None where none was seen, `undone_s` where it was not undone."""

    type: str
    name: str
    due_s: float | None
    effect_s: float | None
    undone_s: float | None
    owes: bool
    """Whether it may still be in force."""

    @property
    def label(self) -> str:
        """What it did to whom."""
        return f"{self.type} on {self.name}"


def offset(execution: Execution, at: datetime | None) -> float | None:
    """Seconds from the execution's start; None for a time that is not known, or without a start."""
    if at is None or execution.started_at is None:
        return None
    return (at - execution.started_at).total_seconds()


def phases(execution: Execution) -> tuple[Span, ...]:
    """The phases in order. One that goes on ends at its latest event so far."""
    spans: dict[str, tuple[float, float]] = {}
    for entry in execution.timeline:
        if entry.phase is not None:
            first, last = spans.get(entry.phase, (entry.offset_s, entry.offset_s))
            first = entry.offset_s if entry.event == "phase_started" else first
            spans[entry.phase] = (first, max(last, entry.offset_s))
    return tuple(Span(name=name, start_s=first, end_s=last) for name, (first, last) in spans.items())


def steady_states(execution: Execution) -> tuple[Span, ...]:
    """The steady state before the phases and after them, each as far as it was judged."""
    judged = [
        entry.offset_s for entry in execution.timeline if entry.phase is None and entry.event.startswith("assertion_")
    ]
    played = phases(execution)
    begun = [entry.offset_s for entry in execution.timeline if entry.event in {"target_resolved", "warning"}]
    first = min((span.start_s for span in played), default=max(judged, default=0.0))
    before = [at for at in judged if at <= first]
    after = [at for at in judged if at > first]
    found = []
    if before:
        found.append(Span(name=STEADY, start_s=max((at for at in begun if at <= before[0]), default=0.0), end_s=first))
    if after:
        found.append(Span(name=STEADY, start_s=max(span.end_s for span in played), end_s=after[-1]))
    return tuple(found)


def windows(execution: Execution) -> tuple[Window, ...]:
    """Every fault on every target, in the order they were armed."""
    return tuple(
        _window(execution, fault, target) for fault in execution.faults for target in fault.targets if fault.due_at
    )


def _window(execution: Execution, fault: Fault, target: TargetOutcome) -> Window:
    return Window(
        type=fault.type,
        name=target.name,
        due_s=offset(execution, fault.due_at),
        effect_s=offset(execution, target.effective_at),
        undone_s=offset(execution, target.undone_at),
        owes=fault.state not in ENDED and target.undone_at is None,
    )


def length(report: Report) -> float:
    """The seconds that a picture of it shows: at least one."""
    execution = report.execution
    shown = [series.samples[-1].offset_s for series in report.probes.values() if series.samples]
    shown += [span.end_s for span in phases(execution)]
    shown += [window.effect_s for window in windows(execution) if window.effect_s is not None]
    end = max(shown, default=0.0)
    later = [window.undone_s for window in windows(execution) if window.undone_s is not None]
    finished = offset(execution, execution.finished_at)
    later += [] if finished is None else [finished]
    limit = end + max(LONGER_S, LONGER_BY * end)
    return max([1.0, end, *(at for at in later if at <= limit)])
