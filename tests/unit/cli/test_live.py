import io

import pytest
from rich.console import Console

from coordinator.cli.live import Lines, Live, event_line, frame, make_display
from coordinator.record import ExecutionState, TimelineEntry
from tests.unit.cli import played


def drawn(state: ExecutionState) -> str:
    """The block of an execution as text."""
    console = Console(file=io.StringIO(), width=100)
    console.print(frame(played.execution(state)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_event_is_one_line() -> None:
    """Time, phase, event, target and text, whatever line breaks they hold."""
    entry = TimelineEntry(
        at=played.BEGIN, offset_s=12.34, phase="outage", event="fault_effective", target="web-1", text="a\nb"
    )
    assert event_line(entry) == "  12.3s  outage  fault effective  web-1  a b"


def test_the_block_shows_phase_time_left_faults_and_probes() -> None:
    """While it runs: phase, seconds left, active faults, and good, bad, late and rate of each probe."""
    text = drawn(ExecutionState.RUNNING)
    for part in (
        "kill-one-replica", "phase outage", "7 s left", "container_kill replica", "api", "90 good", "3 bad", "1 late",
        "9.8/s", "connection refused",
    ):  # fmt: skip
        assert part in text


def test_the_block_says_what_it_waits_for() -> None:
    """Queued and undoing are told in words."""
    assert "waiting for its turn" in drawn(ExecutionState.QUEUED)
    assert "undoing" in drawn(ExecutionState.UNDOING)


def test_no_terminal_means_plain_lines() -> None:
    """Where standard error is no terminal the display is lines."""
    assert isinstance(make_display(), Lines)


def test_the_live_display_prints_each_event_once_above_the_block() -> None:
    """On a terminal the events stay and the block goes when it is closed."""
    out = io.StringIO()
    live = Live(Console(file=out, force_terminal=True, width=100, color_system=None))
    live.show(played.execution(ExecutionState.RUNNING, events=1))
    live.show(played.execution(ExecutionState.RUNNING, events=2))
    live.say("SIGINT: stopping")
    live.close()
    live.close()
    text = out.getvalue()
    assert text.count("phase started") == 1
    assert text.count("fault effective") == 1
    assert "SIGINT: stopping" in text
    assert text.endswith("\x1b[?25h") or "\x1b[?25h" in text


class HungUp(io.StringIO):
    """A terminal that has gone away."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_hangs_up_stops_nothing() -> None:
    """When the terminal is gone, showing does nothing, and raises nothing."""
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=100)
    live = Live(console)
    console.file = HungUp()
    live.show(played.execution(ExecutionState.RUNNING))
    live.say("SIGHUP: stopping")
    live.close()
    with pytest.raises(OSError, match="Input/output"):
        console.file.write("x")
