"""The errors a person may meet, one small family. Every message is one or more plain lines: what, where, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class CoordinatorError(Exception):
    """Anything that is told to a person in one line, without a traceback."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group without their wrapping, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


class InvalidSettings(CoordinatorError):
    """A setting has a value that is not allowed; raised before anything starts (exit code 2)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a scenario file."""

    file: str
    line: int | None
    field: str
    found: str
    allowed: str
    suggestion: str | None = None

    def __str__(self) -> str:
        """Render as `file:line: field: found …; allowed: …; did you mean …?`."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{where}: {self.field}: {self.found}" if self.field else f"{where}: {self.found}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.suggestion:
            text += f"; did you mean {self.suggestion!r}?"
        return text


class InvalidScenario(CoordinatorError):
    """A scenario has errors; holds all of them, not only the first (exit code 2, HTTP 422)."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep every problem, in file order."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NotFound(CoordinatorError):
    """The named scenario, execution, fault or actor does not exist."""


class Conflict(CoordinatorError):
    """The request cannot be met in the present state (built-in scenario, plan changed, already finished)."""


class Refused(CoordinatorError):
    """Policy forbids it: injection disabled, fault type disabled, the process is stopping, blast radius too large."""


class EngineUnreachable(CoordinatorError):
    """The Docker engine did not answer; the message says which endpoint and what to do."""


class AbilityMissing(CoordinatorError):
    """What a fault needs beside an engine is not here; the message says what and how to get it."""


class LedgerUnavailable(CoordinatorError):
    """The ledger cannot be written: nothing may be injected."""


class LedgerDamaged(LedgerUnavailable):
    """The ledger is damaged, or was and nobody has looked since for what it knew: something may be left broken."""


class HistoryUnavailable(CoordinatorError):
    """The history in Postgres cannot be asked now; the message says why."""


class LibraryUnavailable(CoordinatorError):
    """The scenarios in DATA_DIR cannot be read or written now; the message says why."""


class DataDirInUse(CoordinatorError):
    """Another coordinator holds this DATA_DIR; the message names its pid."""


class WardenAtWork(DataDirInUse):
    """The warden of a dead coordinator holds this DATA_DIR while it puts things back: wait for it."""


class MissingSecret(CoordinatorError):
    """A scenario names a secret that neither the environment nor DATA_DIR/secrets holds."""


class InvariantBroken(CoordinatorError):
    """Cannot happen: a bug of ours, worth a report with the log of the execution."""
