"""Exit codes, all in one place, and which of them an error or a finished execution ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import click

from coordinator.errors import (
    CoordinatorError,
    InvalidScenario,
    InvalidSettings,
    InvariantBroken,
    NotFound,
    leaves,
)

if TYPE_CHECKING:
    # Only names: `--help` must not wait for the models.
    from coordinator.record import Execution, Verdict

OK: Final = 0
FAILED: Final = 1
"""An assertion or the steady state failed; of `doctor`: something has to be mended."""
USAGE: Final = 2
"""Bad usage, scenario or settings, or a name that does not exist."""
ABORTED: Final = 3
NOT_DONE: Final = 4
"""Not injected, or an error: no engine, refused, in use."""
LEFT_BROKEN: Final = 5
UNEXPECTED: Final = 70
"""A fault of the program itself (EX_SOFTWARE of sysexits.h)."""
INTERRUPTED: Final = 130
"""Ctrl-C in a command that has nothing to undo."""

_OF_VERDICT: Final = {
    "passed": OK, "failed": FAILED, "aborted": ABORTED, "not_injected": NOT_DONE, "error": NOT_DONE,
}  # fmt: skip
_PUT_BACK: Final = ("none", "complete")
_PREFIX: Final = "test-coordinator: "


class MaybeBroken(CoordinatorError):
    """A coordinator went away while faults were active; the lines are the commands that undo them."""


class Told(NamedTuple):
    """What a person is told of an error, and the exit code."""

    lines: tuple[str, ...]
    code: int


def of_execution(execution: Execution, left_broken: tuple[str, ...] = ()) -> int:
    """The exit code of a finished execution. Something left broken always wins; no verdict is an error."""
    if left_broken or execution.undo not in _PUT_BACK:
        return LEFT_BROKEN
    return of_verdict(execution.verdict)


def of_verdict(verdict: Verdict | None) -> int:
    """The exit code of a verdict alone; none is an error."""
    return NOT_DONE if verdict is None else _OF_VERDICT[verdict.value]


def told(error: BaseException) -> Told:
    """Lines and code of any error; of a group: all its leaves and the highest code."""
    parts = [_told_one(leaf) for leaf in leaves(error)]
    lines = tuple(dict.fromkeys(line for part in parts for line in part.lines))
    return Told(lines, max(part.code for part in parts))


def one_line(error: BaseException) -> str:
    """An error on one line, with its class where the message alone says little."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _told_one(error: BaseException) -> Told:
    match error:
        case InvalidScenario():
            # `file:line: …` stays in front, where editors look for it.
            return Told(tuple(str(problem) for problem in error.problems), USAGE)
        case InvariantBroken():
            return Told((_PREFIX + one_line(error),), UNEXPECTED)
        case MaybeBroken():
            return Told(tuple(str(error).splitlines()), LEFT_BROKEN)
        case CoordinatorError():
            code = USAGE if isinstance(error, InvalidSettings | NotFound) else NOT_DONE
            return Told(tuple(_PREFIX + line for line in str(error).splitlines()), code)
        case click.UsageError():
            message = " ".join(error.format_message().split())
            if error.ctx is None:  # of a value, not of how commands are written: no help page tells more
                return Told((_PREFIX + message,), USAGE)
            return Told((f"{error.ctx.command_path}: {message} (see {error.ctx.command_path} --help)",), USAGE)
        case click.ClickException():
            return Told((_PREFIX + " ".join(error.format_message().split()),), USAGE)
        case KeyboardInterrupt() | click.Abort():
            return Told((), INTERRUPTED)
        case _:
            return Told((_PREFIX + "unexpected " + one_line(error),), UNEXPECTED)
