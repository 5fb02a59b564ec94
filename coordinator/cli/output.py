"""Text to the two streams: the result to standard output, all else to standard error. A reader who has gone away
changes neither what is done nor the exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from coordinator.plain_text import harmless, one_line

if TYPE_CHECKING:
    # Only a name: `--help` must not wait for pydantic.
    from pydantic import JsonValue


def result(text: str) -> None:
    """Write to standard output as it is, and flush; standard output goes nowhere once nobody reads it."""
    try:
        print(text, end="", flush=True)
    except OSError:
        _silence(sys.stdout)


def note(line: str) -> None:
    """A line to standard error; lost where the terminal has gone (a hang-up must not stop an undo). What others wrote
    cannot command the terminal.
    """
    try:
        click.echo(harmless(line), err=True)
    except OSError:
        _silence(sys.stderr)


def rows(names: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in columns, the names in upper case above; the last column is as long as it is."""
    table = [tuple(name.upper() for name in names), *(tuple(map(one_line, line)) for line in lines)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    widths[-1] = 0
    return "".join("  ".join(map(str.ljust, line, widths)).rstrip() + "\n" for line in table)


def pairs(lines: Sequence[tuple[str, str]]) -> str:
    """Names and values, one pair a line, values in one column."""
    width = max((len(name) for name, _ in lines), default=0)
    return "".join(f"{name.ljust(width)}  {harmless(value)}".rstrip() + "\n" for name, value in lines)


def as_json(value: JsonValue) -> str:
    """JSON as commands print it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def compact(value: JsonValue) -> str:
    """JSON on one line, for programs that read a line at a time."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def listing(items: Sequence[JsonValue]) -> str:
    """A list as the HTTP API answers it."""
    return as_json({"items": list(items), "next": None})


def _silence(stream: IO[str]) -> None:
    # At exit the interpreter flushes once more, and would complain.
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
