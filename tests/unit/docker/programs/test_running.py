"""Stressors as processes: found by their command lines, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import running, stress
from actors.docker.programs.limits import Failed

ID = uuid4().hex * 2
PROGRAM = Path(stress.__file__)
MARK = "fault=f1 expires=1"


def test_it_is_found_by_its_command_line_and_killed() -> None:
    """The fault and the container must both be its own; twice is as good as once."""
    other = "f" * 60
    wait = f"import signal, sys; sys.argv[0] = {str(PROGRAM)!r}; print(flush=True); signal.pause()"
    words = ["put", "f1", "cpu", "1x50", MARK]
    # Its words stand where the program's would: after the interpreter's own.
    argv = ["-c", wait, str(PROGRAM), *words]
    with subprocess.Popen([sys.executable, *argv, ID], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert running.stressors("f1", ID) == [process.pid]
        assert running.asked(process.pid) == running.Asked("f1", MARK, ID)
        running.remove("f2", ID)
        running.remove("f1", other)
        assert process.poll() is None
        running.remove("f1", ID)
        assert process.wait() == -signal.SIGKILL
    running.remove("f1", ID)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["python3", "-I", "-S", "/x/programs/stressors.py", "f1", "cpu", "0.5", MARK, ID], True),
        (["python3", "-I", "-S", "/x/programs/stress.py", "put", "f1", "cpu", "1x50", MARK, ID], True),
        (["docker", "run", "--rm", "python3", "/x/programs/stress.py", "put", "f1", "cpu", "1x5", MARK, ID], True),
        (
            ["docker", "-H", "h", "run", "--rm", "i", "/x/programs/stress.py", "put", "f1", "cpu", "1x5", MARK, ID],
            False,
        ),
        (["python3", "-I", "-S", "/x/programs/stress.py", "remove", "f1", ID], False),
        (["python3", "-I", "-S", "/x/programs/stress.py", "hold"], False),
        (["python3", "-I", "-S", "/x/stressors.py", "f1", "cpu", "0.5", MARK, ID], False),
        (["vi", "/x/programs/stressors.py"], False),
    ],
)
def test_only_what_starts_one_or_is_one_is_found(words: list[str], found: bool) -> None:
    """Not a command of the engine that names one, nor an editor."""
    assert (running.asked_in(words) is not None) == (running.asked_in(tuple(words)) is not None) == found


@pytest.mark.parametrize(("mark", "seconds"), [(MARK, 1.0), ("expires=7.5", 7.5), ("expires=x", 0.0), ("m", 0.0)])
def test_the_deadline_is_in_the_mark(mark: str, seconds: float) -> None:
    """None where it does not read."""
    assert running.expires(mark) == seconds


def test_a_number_that_is_somebody_elses_by_now_is_not_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once more of whom the handle is, and the signal goes through that."""
    asked: list[int] = []
    monkeypatch.setattr(running, "ours", lambda pid, *_: asked.append(pid))
    with subprocess.Popen(["sleep", "60"]) as process:
        seen = iter([[process.pid], []])
        monkeypatch.setattr(running, "stressors", lambda *_: next(seen))
        running.remove("f1", ID)
        assert (asked, process.poll()) == ([process.pid], None)
        process.kill()


def test_a_program_is_started_with_both_ends_to_talk_to() -> None:
    """What it is told it says; a program that is not there is an error."""
    pid, given, told = running.start(["/bin/cat"])
    os.write(given, b"word\n")
    assert os.read(told, 100) == b"word\n"
    os.close(given)
    assert os.read(told, 100) == b""
    os.close(told)
    assert os.waitpid(pid, 0)[1] == 0
    with pytest.raises(Failed, match="could not be started: No such file"):
        running.start(["/nowhere/program"])
