"""Each command is carried out by its own method of a shell."""

from __future__ import annotations

from coordinator.supervision.commands import (
    Answer,
    AskStop,
    BecomeReady,
    Cancel,
    Command,
    Emit,
    Finish,
    Hurry,
    Inspect,
    Refuse,
    Spawn,
)
from coordinator.supervision.errors import Refusal
from coordinator.supervision.outcome import Outcome, OutcomeKind
from coordinator.supervision.reports import Report, ReportKind, offender
from tests.unit.supervision.desk import child


class _Shell:
    """Notes which method was called with what."""

    def __init__(self) -> None:
        self.called: list[tuple[str, object]] = []

    def spawn(self, command: Spawn) -> None:
        self.called.append(("spawn", command))

    def ask_stop(self, command: AskStop) -> None:
        self.called.append(("ask_stop", command))

    def cancel(self, command: Cancel) -> None:
        self.called.append(("cancel", command))

    def hurry(self, command: Hurry) -> None:
        self.called.append(("hurry", command))

    def inspect(self, command: Inspect) -> None:
        self.called.append(("inspect", command))

    def answer(self, command: Answer) -> None:
        self.called.append(("answer", command))

    def refuse(self, command: Refuse) -> None:
        self.called.append(("refuse", command))

    def emit(self, command: Emit) -> None:
        self.called.append(("emit", command))

    def become_ready(self, command: BecomeReady, /) -> None:
        self.called.append(("become_ready", command))

    def finish(self, command: Finish) -> None:
        self.called.append(("finish", command))


def test_each_command_finds_its_method() -> None:
    """A command hands itself to the method that is named after it."""
    spec = child("a")
    report = Report(ReportKind.PROGRESS, "root", "ready", "", offender(spec, "root/a", 1, 0))
    commands: list[tuple[str, Command]] = [
        ("spawn", Spawn("a", 1, "root/a", spec)),
        ("ask_stop", AskStop("a", "enough", 1.0)),
        ("cancel", Cancel("a", "enough")),
        ("hurry", Hurry("a", "enough", 1.0)),
        ("inspect", Inspect("a", 1)),
        ("answer", Answer(1)),
        ("refuse", Refuse(1, "root/a", Refusal.RUNNING)),
        ("emit", Emit(report)),
        ("become_ready", BecomeReady()),
        ("finish", Finish(Outcome(OutcomeKind.STOPPED, "enough"), ())),
    ]
    shell = _Shell()
    for _, command in commands:
        command.perform(shell)
    assert shell.called == commands
