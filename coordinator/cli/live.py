"""How a running execution is shown: a live block under the events on a terminal, one line an event elsewhere. Shows
what it is given and asks for nothing; a terminal that has gone away is no reason to stop.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from coordinator.cli.output import note
from coordinator.record import Execution, ExecutionState, ProbeProgress, TimelineEntry

if TYPE_CHECKING:
    # rich is loaded on a terminal only.
    from rich.console import Console, RenderableType

_WORDS = {
    ExecutionState.QUEUED: "waiting for its turn",
    ExecutionState.PREPARING: "preparing",
    ExecutionState.STEADY_STATE: "steady state",
    ExecutionState.UNDOING: "undoing",
}


class Display(Protocol):
    """Shows an execution again and again."""

    def show(self, execution: Execution) -> None:
        """Show it as it is now."""
        ...

    def say(self, line: str) -> None:
        """Tell something beside it."""
        ...

    def close(self) -> None:
        """Give the terminal back; may be called twice."""
        ...


def make_display() -> Display:
    """The live one when standard error is a terminal that can move its cursor, else plain lines."""
    try:
        capable = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # closed
        capable = False
    if not capable:
        return Lines()
    from rich.console import Console

    return Live(Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None, highlight=False))


class Lines:
    """One line per event of the timeline."""

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
    """Events above, and below them the phase, its time left, active faults and probes, drawn anew at each look."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        from rich.live import Live as Region

        self._shown = 0
        self._region = Region(console=console, transient=True, auto_refresh=False)
        self._open = True
        self._region.start()

    def show(self, execution: Execution) -> None:
        """Print the events that are new, and draw the block again."""
        from rich.text import Text

        try:
            for entry in execution.timeline[self._shown :]:
                self._region.console.print(Text(event_line(entry), style=_style(entry)), soft_wrap=True)
            if self._open:
                self._region.update(frame(execution), refresh=True)
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
    return "  ".join(" ".join(part.split()) if index else part for index, part in enumerate(parts) if part)


def frame(execution: Execution) -> RenderableType:
    """The block below the events."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    progress = execution.progress
    head = Text.assemble((execution.scenario, "bold"), "  ", _WORDS.get(execution.state, execution.state.value))
    if execution.phase is not None:
        head.append(f"  phase {execution.phase}", "cyan")
    if progress is not None and progress.remaining_s is not None:
        head.append(f"  {progress.remaining_s:.0f} s left")
    block: list[RenderableType] = [head]
    faults = progress.active_faults if progress is not None else ()
    block.extend(Text(f"  fault  {fault}", "red") for fault in faults)
    if progress is not None and progress.probes:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, probe in progress.probes.items():
            table.add_row(*_probe_row(name, probe))
        block.append(table)
    return Group(*block)


def _probe_row(name: str, probe: ProbeProgress) -> tuple[RenderableType, ...]:
    from rich.text import Text

    return (
        Text(f"  probe  {name}"),
        Text(f"{probe.good} good", "green"),
        Text(f"{probe.bad} bad", "red" if probe.bad else ""),
        Text(f"{probe.late} late" if probe.late else ""),
        Text(f"{probe.rate:.1f}/s"),
        Text(f"last error: {probe.last_error}" if probe.last_error else "", "dim", no_wrap=True, overflow="ellipsis"),
    )


def _style(entry: TimelineEntry) -> str:
    if entry.event in {"fault_effective", "probe_bad", "assertion_failed", "fault_stuck", "abort_condition"}:
        return "red"
    return "green" if entry.event in {"fault_undone", "probe_good", "assertion_passed"} else ""
