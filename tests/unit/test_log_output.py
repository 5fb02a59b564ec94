from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from coordinator.log_output import MAX_TEXT, RotatedLines, console_line, json_line, plain, rotated
from tests.conftest import ROOT


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    token: SecretStr
    path: Path


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    secret: SecretStr


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SecretStr("hunter2"), "***"),
        (Model(token=SecretStr("hunter2"), path=Path("/x")), {"token": "***", "path": "/x"}),
        (Point(1, SecretStr("hunter2")), {"x": 1, "secret": "***"}),
        ({SecretStr("hunter2"): [SecretStr("hunter2")]}, {"***": ["***"]}),
        ({1: "a", None: "b", Colour.RED: "c"}, {"1": "a", "None": "b", "red": "c"}),
        (2**63, str(2**63)),
        (True, True),
        (float("nan"), "nan"),
        (b"a\xff", "a\\xff"),
        (b"", ""),
        ({3, 1}, [1, 3]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (ValueError("x"), "ValueError: x"),
        ("x" * (MAX_TEXT + 2), "x" * MAX_TEXT + "… (2 more)"),
    ],
)
def test_values_become_plain(value: object, expected: object) -> None:
    """Secrets are masked wherever they stand, and what JSON cannot hold becomes text."""
    assert plain(value) == expected


def test_value_within_itself_ends() -> None:
    """A value that contains itself is cut, not followed for ever."""
    knot: list[object] = []
    knot.append(knot)
    assert "…" in json.dumps(plain(knot), ensure_ascii=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.integers() | st.text(), inner) | st.tuples(inner),
        max_leaves=20,
    )
)
def test_any_value_is_one_line(value: object) -> None:
    """Whatever is logged is one line of JSON, and one line for a person."""
    line = json_line({"field": plain(value)})
    assert line.count(b"\n") == 1
    json.loads(line)
    assert console_line({"timestamp": 0.0, "message_type": "note", "field": plain(value)}).count("\n") == 1


def numbers(*files: Path) -> list[int]:
    """The numbers logged to these files."""
    return [json.loads(line)["n"] for file in files for line in file.read_bytes().splitlines()]


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    """Above its size the file becomes FILE.1, and only so many older ones are kept; lines are never cut."""
    lines = RotatedLines(tmp_path / "log", max_bytes=100, keep=3)
    for number in range(100):
        lines({"n": number})
    lines.close()
    files = rotated(tmp_path / "log")
    assert [file.name for file in files] == ["log.3", "log.2", "log.1", "log"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert numbers(*files) == list(range(100))[-len(numbers(*files)) :]


def test_torn_line_is_ended(tmp_path: Path) -> None:
    """A half line that a crash left behind costs only itself."""
    (tmp_path / "log").write_bytes(b'{"n": 1}\n{"n": 2')
    lines = RotatedLines(tmp_path / "log", max_bytes=1000, keep=1)
    lines({"n": 3})
    lines.close()
    assert (tmp_path / "log").read_bytes().splitlines() == [b'{"n": 1}', b'{"n": 2', b'{"n":3}']


def test_file_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    """Other tools may move the log away: the next line is in a new file."""
    lines = RotatedLines(tmp_path / "log", max_bytes=1000, keep=1)
    lines({"n": 1})
    (tmp_path / "log").rename(tmp_path / "elsewhere")
    lines({"n": 2})
    lines.close()
    assert numbers(tmp_path / "elsewhere", tmp_path / "log") == [1, 2]


WRITER = """
import sys
from pathlib import Path
from coordinator.log_output import RotatedLines
lines = RotatedLines(Path(sys.argv[1]), max_bytes=2000, keep=1000)
for number in range(400):
    lines({"n": int(sys.argv[2]) + number})
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Several processes that write and rotate the same file lose no line and mix none."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "log"), str(first)], cwd=ROOT)
        for first in (0, 1000, 2000)
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    found = numbers(*rotated(tmp_path / "log"))
    assert sorted(found) == [first + number for first in (0, 1000, 2000) for number in range(400)]
