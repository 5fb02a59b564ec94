"""From what a person names to a submission: a file, or a scenario of the library, with variables. Looks at the text
before any coordinator does, so that an error shows its file and line and costs nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coordinator.cli.output import note
from coordinator.errors import NotFound

if TYPE_CHECKING:
    from coordinator.library import Library
    from coordinator.record import Submission

MORE_THAN_ALLOWED: Final = 2 * 1024 * 1024
"""Bytes; a scenario may have half of it, and the parser says so."""


def assignments(_ctx: click.Context, _parameter: click.Parameter, values: Iterable[str]) -> dict[str, str]:
    """`k=v` options as a mapping; the later one wins. Raises BadParameter."""
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r}: allowed: K=V, like outage=10s")
        found[name] = value
    return found


def read_submission(
    scenario: str, variables: dict[str, str], seed: int | None, expect_plan: str | None, library: Callable[[], Library]
) -> Submission:
    """The scenario's text with what it is to be run with, already checked. Raises InvalidScenario, NotFound.

    `library` is asked for scenarios that are neither a file nor built in.
    """
    from coordinator.record import Submission
    from coordinator.scenarios.parse import parse

    file, content = find(scenario, library)
    for warning in parse(content, file=file, variables=variables).warnings:
        note(f"{file}: warning: {warning}")
    try:
        source = content.decode("utf-8-sig")
    except UnicodeDecodeError as other:
        raise click.UsageError(f"{file}: is not text in UTF-8") from other
    return Submission(source=source, file=file, variables=variables, seed=seed, expect_plan=expect_plan)


def find(scenario: str, library: Callable[[], Library]) -> tuple[str, bytes]:
    """Name and content of a file, or else of a built-in or kept scenario. Raises NotFound, UsageError."""
    from coordinator.scenarios.parse import builtin_names, builtin_text

    path = Path(scenario)
    if path.exists() and not path.is_dir():
        return scenario, read(path)
    if scenario in builtin_names():
        return scenario, builtin_text(scenario).encode()
    if path.is_dir():
        raise click.UsageError(f"scenario {scenario!r}: is a folder; give a file in it")
    kept = library()
    if scenario in kept.names():
        return scenario, kept.text(scenario).encode()
    raise not_found("scenario", scenario, kept.names(), "no such file, and no scenario of that name")


def read(path: Path) -> bytes:
    """A scenario file's content, cut where it is longer than any may be. Raises UsageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MORE_THAN_ALLOWED)
    except OSError as failed:
        raise click.UsageError(f"{path}: cannot be read: {failed.strerror}") from failed


def not_found(kind: str, name: str, known: Iterable[str], what: str) -> NotFound:
    """An error that names what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
    return NotFound(f"{kind} {name!r}: {what}{hint}")
