import io
import sys

import pytest
from rich.console import Console

from coordinator.cli.live import Lines, Live, countdown, event_line, frame, look_of, make_console, make_display
from coordinator.cli.sparkline import ASCII, BLOCKS, Recent
from coordinator.record import ExecutionState, FaultState, TimelineEntry
from tests.unit.cli import played


def drawn(state: ExecutionState, width: int = 100, fault: FaultState = FaultState.ACTIVE) -> str:
    """The block of an execution as text."""
    console = Console(file=io.StringIO(), width=width)
    recent = Recent()
    execution = played.execution(state, fault_state=fault)
    recent.take(played.report(execution).probes, -1.0)
    console.print(frame(execution, recent, look_of(console)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_event_is_one_line() -> None:
    """Time, phase, event, target and text, whatever line breaks they hold."""
    entry = TimelineEntry(
        at=played.BEGIN, offset_s=12.34, phase="outage", event="fault_effective", target="web-1", text="a\nb"
    )
    assert event_line(entry) == "  12.3s  outage  fault effective  web-1  a b"


def test_an_event_cannot_command_the_terminal() -> None:
    """What others wrote is shown without its control characters."""
    entry = TimelineEntry(at=played.BEGIN, offset_s=1.0, event="probe_bad", target="a\x1b]0;x\x07", text="\x1b[2Jb")
    assert "\x1b" not in event_line(entry)
    assert "\x07" not in event_line(entry)


def test_the_block_shows_phase_time_left_faults_and_probes() -> None:
    """While it runs: phase, countdown, faults with what they hit, and good, bad, late and rate of each probe."""
    text = drawn(ExecutionState.RUNNING)
    for part in (
        "kill-one-replica", "phase outage", "7.0 s left", "16 s since the start",
        "* fault  container_kill on web-1  active since 4.1s", "api", "160 ms", "90 good", "3 bad", "1 late", "9.8/s",
        "last error: connection refused",
    ):  # fmt: skip
        assert part in text


def test_failures_are_seen_without_colours() -> None:
    """In the line of the newest samples bad ones are crosses, here without any colour."""
    (line,) = [line for line in drawn(ExecutionState.RUNNING).splitlines() if "90 good" in line]
    assert "\x1b" not in line
    assert 3 * BLOCKS.bad in line


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_block_fits_its_terminal(width: int) -> None:
    """No line is longer than the terminal is wide, so that none is broken, and there are as many lines as parts."""
    lines = drawn(ExecutionState.RUNNING, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 4


def test_faults_say_where_they_are() -> None:
    """Armed, in force and stuck are told apart by mark and word; what owes nothing is not shown."""
    assert "o fault  container_kill on web-1  armed" in drawn(ExecutionState.RUNNING, fault=FaultState.ARMED)
    assert "! fault  container_kill on web-1  stuck" in drawn(ExecutionState.RUNNING, fault=FaultState.STUCK)
    assert "fault" not in drawn(ExecutionState.RUNNING, fault=FaultState.UNDONE)


@pytest.mark.parametrize(
    ("left", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (59.4, "59 s"), (60, "1:00 min"), (242, "4:02 min"),
     (3842, "1:04:02 h")],
)  # fmt: skip
def test_the_countdown(left: float, text: str) -> None:
    """Tenths when it is soon, then seconds, minutes, hours."""
    assert countdown(left) == text


def test_the_block_says_what_it_waits_for() -> None:
    """Queued and undoing are told in words."""
    assert "waiting for its turn" in drawn(ExecutionState.QUEUED)
    assert "undoing" in drawn(ExecutionState.UNDOING)


def test_no_terminal_means_plain_lines() -> None:
    """Where standard error is no terminal the display is lines, which need no samples."""
    display = make_display()
    assert isinstance(display, Lines)
    assert display.recent is None


@pytest.mark.parametrize(
    ("variables", "live"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_what_a_terminal_must_be_able_to(
    variables: dict[str, str], live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that can move its cursor, and on which nobody asked for plain text."""
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert (make_console() is not None) is live


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """The levels are characters that its encoding has."""
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), width=100)
    assert look_of(console).marks == ASCII
    assert look_of(Console(file=io.StringIO(), width=100)).marks == BLOCKS


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


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


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
