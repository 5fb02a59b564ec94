"""What a supervisor wants done: the output of its decisions. Plain data that knows which method of a shell does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from coordinator.supervision.errors import Refusal
from coordinator.supervision.outcome import Outcome
from coordinator.supervision.reports import Report
from coordinator.supervision.spec import ChildSpec


class Shell(Protocol):
    """What carries commands out."""

    def spawn(self, command: Spawn) -> None:
        """Begin a life."""

    def ask_stop(self, command: AskStop) -> None:
        """Phase one of a stop."""

    def cancel(self, command: Cancel) -> None:
        """Phase two of a stop."""

    def hurry(self, command: Hurry) -> None:
        """Shorten a nested supervisor's stop."""

    def inspect(self, command: Inspect) -> None:
        """Find out where a child hangs; answered by `Stuck`."""

    def answer(self, command: Answer) -> None:
        """Give a requester what he waits for."""

    def refuse(self, command: Refuse) -> None:
        """Tell a requester why not."""

    def emit(self, command: Emit) -> None:
        """Hand out a report."""

    def become_ready(self, _: BecomeReady, /) -> None:
        """Say that all children are up."""

    def finish(self, command: Finish) -> None:
        """End the supervisor."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Begin a life of a child. At most one life of an id exists at any time."""

    child: str
    incarnation: int
    path: str
    spec: ChildSpec

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.spawn(self)


@dataclass(frozen=True, slots=True)
class AskStop:
    """Ask a child to stop."""

    child: str
    reason: str
    grace_s: float

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.ask_stop(self)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a child's body."""

    child: str
    reason: str

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.cancel(self)


@dataclass(frozen=True, slots=True)
class Hurry:
    """Shorten the grace below a nested supervisor that is being stopped."""

    child: str
    reason: str
    grace_s: float

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.hurry(self)


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look where a child hangs."""

    child: str
    incarnation: int

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.inspect(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """Serve a request."""

    ref: int
    value: object = None

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.answer(self)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse a request."""

    ref: int
    path: str
    reason: Refusal
    cause: str = ""

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.refuse(self)


@dataclass(frozen=True, slots=True)
class Emit:
    """Report."""

    report: Report

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.emit(self)


@dataclass(frozen=True, slots=True)
class BecomeReady:
    """All children of the specification have had their turn to start."""

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.become_ready(self)


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything that can be stopped is; `abandoned` are the paths of what is left."""

    outcome: Outcome
    abandoned: tuple[str, ...]

    def perform(self, shell: Shell) -> None:
        """Carry it out."""
        shell.finish(self)


Command = Spawn | AskStop | Cancel | Hurry | Inspect | Answer | Refuse | Emit | BecomeReady | Finish
