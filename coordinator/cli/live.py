"""How a running execution is shown: a live block under the events on a terminal, one line an event elsewhere. Shows
what it is given and asks for nothing; a terminal that has gone away is no reason to stop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from coordinator.cli.output import note
from coordinator.cli.sparkline import ASCII, BLOCKS, Marks, Recent, sparkline
from coordinator.plain_text import one_line
from coordinator.record import ENDED, Execution, ExecutionState, Fault, FaultState, ProbeProgress, TimelineEntry

if TYPE_CHECKING:
    # rich is loaded on a terminal only.
    from rich.console import Console, RenderableType
    from rich.text import Text

_WORDS = {
    ExecutionState.QUEUED: "waiting for its turn",
    ExecutionState.PREPARING: "preparing",
    ExecutionState.STEADY_STATE: "steady state",
    ExecutionState.UNDOING: "undoing",
    ExecutionState.FINISHED: "finished",
}
_FAULT_MARKS: Final = {FaultState.ARMED: "o", FaultState.STUCK: "!"}
"""What stands before a fault; a star before one that is in force."""
_SOON_S: Final = 10.0
"""Less than this is counted down in tenths."""
_NARROWEST: Final = 10
_WIDEST: Final = 60
_BESIDE: Final = 52
"""Columns that a sparkline leaves to the name and the figures."""
_NAME: Final = 18
_FIGURES: Final = 5


class Display(Protocol):
    """Shows an execution again and again."""

    @property
    def recent(self) -> Recent | None:
        """The samples it draws, to be kept up to date by whoever asks for them; None where it draws none."""
        ...

    def show(self, execution: Execution) -> None:
        """Show it as it is now."""
        ...

    def say(self, line: str) -> None:
        """Tell something beside it."""
        ...

    def close(self) -> None:
        """Give the terminal back; may be called twice."""
        ...


class Look(NamedTuple):
    """How things are drawn on a console: how wide, and with which characters."""

    width: int
    marks: Marks


def make_display() -> Display:
    """The live one when standard error is a terminal that can move its cursor, else plain lines, as for NO_COLOR."""
    console = make_console()
    return Lines() if console is None else Live(console)


def make_console(*, to_stderr: bool = True) -> Console | None:
    """One that can be drawn on, or None: no terminal, one that cannot move its cursor, or NO_COLOR."""
    stream = sys.stderr if to_stderr else sys.stdout
    try:
        capable = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # closed
        capable = False
    if not capable or os.environ.get("NO_COLOR"):
        return None
    from rich.console import Console

    return Console(stderr=to_stderr, highlight=False)


def look_of(console: Console) -> Look:
    """What this console can show."""
    return Look(console.width, BLOCKS if console.encoding.lower().startswith("utf") else ASCII)


class Lines:
    """One line per event of the timeline."""

    recent: Final = None

    def __init__(self) -> None:
        """Begin before the first event."""
        self._shown = 0

    def show(self, execution: Execution) -> None:
        """Print the events that are new."""
        for entry in execution.timeline[self._shown :]:
            note(event_line(entry))
        self._shown = max(self._shown, len(execution.timeline))

    def say(self, line: str) -> None:
        """Print the line."""
        note(line)

    def close(self) -> None:
        """Nothing to give back."""


class Live:
    """Events above, and below them the phase, its time left, faults and probes, drawn anew at each look."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        from rich.live import Live as Region

        self._shown = 0
        self.recent = Recent()
        self._region = Region(console=console, transient=True, auto_refresh=False)
        self._open = True
        self._region.start()

    def show(self, execution: Execution) -> None:
        """Print the events that are new, and draw the block again."""
        from rich.text import Text

        console = self._region.console
        try:
            for entry in execution.timeline[self._shown :]:
                console.print(Text(event_line(entry), style=_style(entry)), soft_wrap=True)
            if self._open:
                self._region.update(frame(execution, self.recent, look_of(console)), refresh=True)
        except OSError:  # the terminal has hung up; the execution has not
            self._open = False
        self._shown = max(self._shown, len(execution.timeline))

    def say(self, line: str) -> None:
        """Print the line above the block."""
        from rich.text import Text

        try:
            self._region.console.print(Text(line, style="bold"), soft_wrap=True)
        except OSError:
            self._open = False

    def close(self) -> None:
        """Remove the block."""
        self._open = False
        try:
            self._region.stop()
        except OSError:
            return


def event_line(entry: TimelineEntry) -> str:
    """`12.3s  outage  fault effective  web-1  text`, with what there is of it."""
    parts = (f"{entry.offset_s:.1f}s".rjust(7), entry.phase, entry.event.replace("_", " "), entry.target, entry.text)
    return "  ".join(one_line(part) if index else part for index, part in enumerate(parts) if part)


# ---------------------------------------------------------------- the block


def frame(execution: Execution, recent: Recent, look: Look) -> RenderableType:
    """The block below the events."""
    from rich.console import Group

    block: list[RenderableType] = [_head(execution, recent)]
    block.extend(_fault_line(execution, fault) for fault in execution.faults if fault.state not in ENDED)
    progress = execution.progress
    if progress is not None and progress.probes:
        block.append(_probes(progress.probes, recent, look))
        block.extend(
            _cropped(f"  {one_line(name)}: last error: {one_line(probe.last_error)}", "dim")
            for name, probe in progress.probes.items()
            if probe.last_error
        )
    return Group(*block)


def _head(execution: Execution, recent: Recent) -> Text:
    from rich.text import Text

    head = Text.assemble((one_line(execution.scenario), "bold"), no_wrap=True, overflow="ellipsis")
    if execution.phase is not None:
        head.append(f"  phase {one_line(execution.phase)}", "bold cyan")
    after_phases = execution.state is ExecutionState.RUNNING and execution.phase is None
    word = _WORDS[ExecutionState.STEADY_STATE] if after_phases else _WORDS.get(execution.state)
    if word is not None:
        head.append(f"  {word}", "cyan")
    progress = execution.progress
    if progress is not None and progress.remaining_s is not None:
        head.append(f"  {countdown(progress.remaining_s)} left", "bold")
    now = max([recent.end(), *(entry.offset_s for entry in execution.timeline[-1:])])
    head.append(f"  {now:.0f} s since the start", "dim")
    return head


def countdown(left_s: float) -> str:
    """`4.2 s` when it is soon, `42 s`, `4:02 min`, `1:04:02 h`."""
    if left_s < _SOON_S:
        return f"{left_s:.1f} s"
    minutes, seconds = divmod(round(left_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02} h"
    return f"{minutes}:{seconds:02} min" if minutes else f"{seconds} s"


def _fault_line(execution: Execution, fault: Fault) -> Text:
    """What is done to whom, and since when it is seen."""
    names = ", ".join(target.name for target in fault.targets) or fault.target
    text = (
        f"{_FAULT_MARKS.get(fault.state, '*')} fault  {one_line(fault.type)} on {one_line(names)}  {fault.state.value}"
    )
    effects = [target.effective_at for target in fault.targets if target.effective_at is not None]
    if effects and execution.started_at is not None:
        text += f" since {(min(effects) - execution.started_at).total_seconds():.1f}s"
    return _cropped(f"  {text}", "dim" if fault.state is FaultState.ARMED else "red")


def _cropped(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _probes(probes: Mapping[str, ProbeProgress], recent: Recent, look: Look) -> RenderableType:
    """A row a probe: sparkline, newest latency, and how many were good, bad and late."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME)
    table.add_column(no_wrap=True)
    for _ in range(_FIGURES):
        table.add_column(no_wrap=True, justify="right")
    width = min(_WIDEST, max(_NARROWEST, look.width - _BESIDE))
    for name, probe in probes.items():
        line = Text()
        for cell in sparkline(recent.of(name), recent.end(), width, look.marks):
            line.append(cell.mark, "bold red" if cell.bad else "green")
        table.add_row(
            Text(f"  {one_line(name)}"),
            line,
            Text(_latest(recent, name)),
            Text(f"{probe.good} good"),
            Text(f"{probe.bad} bad", "bold red" if probe.bad else "dim"),
            Text(f"{probe.late} late" if probe.late else "", "yellow"),
            Text(f"{probe.rate:.1f}/s", "dim"),
        )
    return table


def _latest(recent: Recent, probe: str) -> str:
    """The newest sample: its latency, or that it was bad."""
    samples = recent.of(probe)
    if not samples:
        return ""
    newest = samples[-1]
    if not newest.ok:
        return "bad"
    return "" if newest.latency_s is None else f"{newest.latency_s * 1000:.0f} ms"


def _style(entry: TimelineEntry) -> str:
    if entry.event in {"fault_effective", "probe_bad", "assertion_failed", "fault_stuck", "abort_condition"}:
        return "red"
    if entry.event == "fault_met_nothing":
        return "yellow"
    return "green" if entry.event in {"fault_undone", "probe_good", "assertion_passed"} else ""
