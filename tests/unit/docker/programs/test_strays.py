"""The program that looks into containers, as far as it goes without entering one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import strays, stressors
from actors.docker.programs.crash import started
from actors.docker.programs.limits import USAGE
from actors.docker.programs.load_target import Process

ID = uuid4().hex * 2
MARK = "fault=f1 execution=e instance=i expires=4000000000"
NAME = ".tc-0123-4567.fill"


def filled(folder: Path, name: str = NAME, mark: str = MARK) -> Path:
    """A file that takes room."""
    path = folder / name
    path.write_bytes(mark.encode() + b"\n" + bytes(2000))
    return path


def test_files_of_ours_are_found_by_name_and_told_by_mark(tmp_path: Path) -> None:
    """Once each, however they are reached; not what only looks like one, and no link."""
    path = filled(tmp_path)
    filled(tmp_path, ".tc-0123.filled")
    (tmp_path / ".tc-99.fill").symlink_to(path)
    (tmp_path / "link").symlink_to(tmp_path)
    (found,) = strays.files([str(tmp_path), str(tmp_path / "link"), str(tmp_path / "nowhere")])
    assert (found["name"], found["mark"], found["folder"]) == (NAME, MARK, str(tmp_path))
    assert found["number"] == path.stat().st_ino


def test_a_file_that_is_another_by_now_stays(tmp_path: Path) -> None:
    """By its inode and mark; twice is as good as once."""
    path = filled(tmp_path)
    (found,) = strays.files([str(tmp_path)])
    strays.unlinked({**found, "number": 1})
    strays.unlinked({**found, "mark": "?"})
    assert path.exists()
    strays.unlinked(found)
    assert not path.exists()
    strays.unlinked(found)


def test_a_stressor_is_found_and_killed_if_it_is_still_the_same() -> None:
    """By its start."""
    argv = [sys.executable, "-I", "-S", stressors.__file__, "f1", "cpu", "0.1", MARK, ID]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = [each for each in strays.stressors() if each["container"] == ID]
        assert found == {
            "kind": "stressor", "container": ID, "mark": MARK, "folder": "", "name": str(process.pid),
            "number": started(process.pid),
        }  # fmt: skip
        (told,) = strays.remove([{**found, "number": 1}])
        assert (told["error"], process.poll()) == ("", None)
        (told,) = strays.remove([found])
        assert told == {**found, "error": ""}
        assert process.wait(20) == -9
    assert strays.remove([found])[0]["error"] == ""


def test_a_container_that_is_down_is_said_to_be() -> None:
    """Its files cannot be reached."""
    asked = {"kind": "file", "container": ID, "mark": MARK, "folder": "/", "name": NAME, "number": 1}
    assert strays.remove([asked])[0]["error"] == "its container does not run any more"


def test_mounts_that_can_hold_files_are_known() -> None:
    """The kernel's own are none."""
    found = strays.mounts(Process(os.getpid(), started(os.getpid())))
    assert "/" in found
    assert "/proc" not in found


@pytest.mark.parametrize("words", [[], ["look"], ["remove"], ["x", "{}"]])
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    argv = [sys.executable, "-I", "-S", strays.__file__, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (USAGE, "usage:")


def test_removing_nothing_is_no_error() -> None:
    """It tells nothing."""
    argv = [sys.executable, "-I", "-S", strays.__file__, "remove", "[]"]
    assert json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout) == []
