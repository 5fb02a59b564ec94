"""Programs that still put a fault when its undo comes: found by their command lines, and ended before anything else."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import clock, fill, limits, pending, signals
from actors.docker.programs.limits import Failed

ID, OTHER = uuid4().hex * 2, uuid4().hex * 2
FOLDER = Path(pending.__file__).parent
LATE = "fault=f1 execution=e instance=i expires=1"
MORE = {
    "signals.py": ["name", "sleep", "m"],
    "clock.py": ["realtime", "1", "m"],
    "fill.py": ["5%", "9", "/", "m"],
    "limits.py": ["pids", "2", "end", "m"],
}
REMOVE: dict[str, Callable[[str, str], None]] = {
    "signals.py": signals.remove,
    "clock.py": clock.remove,
    "fill.py": lambda fault, container: fill.remove(fault, "?", "/", container),
    "limits.py": limits.remove_once,
}
PUT: dict[str, Callable[[str], None]] = {
    "signals.py": lambda mark: signals.put("f1", "name", "sleep", mark, ID),
    "clock.py": lambda mark: clock.put("f1", 1000, mark, ID),
    "fill.py": lambda mark: fill.put("f1", "5%", 9, "/", mark, ID),
    "limits.py": lambda mark: limits.put_once("f1", "pids", "2", "end", mark, ID),
}


def starting(program: str, fault: str, container: str) -> subprocess.Popen[bytes]:
    """What looks like a program that has not come to what it was asked for."""
    wait = "print(flush=True); import signal; signal.pause()"
    # Its words stand where the program's would: after the interpreter's own.
    argv = [sys.executable, "-c", wait, str(FOLDER / program), "put", fault, *MORE[program], container]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("program", sorted(REMOVE))
def test_an_undo_ends_what_is_still_putting(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same fault into the same container by the same program, and nothing else; twice is as good as once."""
    monkeypatch.setattr(fill, "from_outside", lambda *_: None)
    another = next(name for name in MORE if name != program)
    mine = starting(program, "f1", ID)
    others = [starting(program, "f2", ID), starting(program, "f1", OTHER), starting(another, "f1", ID)]
    try:
        for _ in range(2):
            REMOVE[program]("f1", ID)
            assert mine.wait(20) == -signal.SIGKILL
        assert [each.poll() for each in others] == [None] * 3
    finally:
        for each in (mine, *others):
            each.kill()
            each.communicate()


def test_whoever_knows_no_fault_ends_all_of_a_container() -> None:
    """Of whichever fault."""
    one, other = starting("signals.py", "f1", ID), starting("signals.py", "f1", OTHER)
    try:
        signals.remove("all", ID)
        assert one.wait(20) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for each in (one, other):
            each.kill()
            each.communicate()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["python3", "-I", "-S", "/x/programs/fill.py", "put", "f1", "1", "1", "/", "m", ID], True),
        (["python3", "-I", "-S", "/x/programs/fill.py", "remove", "f1", "?", "/", ID], False),
        (["python3", "-I", "-S", "/x/programs/fill.py", "put"], False),
        (["docker", "-H", "h", "run", "--rm", "/x/programs/fill.py", "put", "f1", "1", "1", "/", "m", ID], False),
        (["vi", "/x/programs/fill.py"], False),
        ([], False),
    ],
)
def test_only_what_puts_is_meant(words: list[str], meant: bool) -> None:
    """Not what removes, a command of the engine that names it, nor an editor."""
    assert pending.puts(words, "fill.py", "f1", ID) == meant


@pytest.mark.parametrize("program", sorted(PUT))
def test_what_comes_after_its_deadline_puts_nothing(program: str) -> None:
    """Its undo may be over by then. Without a deadline it goes on, here to that there is no such container."""
    with pytest.raises(Failed, match=r"^its deadline is past$"):
        PUT[program](LATE)
    with pytest.raises(Failed, match=r"no process of this container is seen|can be skewed on x86_64 alone"):
        PUT[program]("m")


def test_a_limit_that_comes_by_itself_is_refused_in_one_line() -> None:
    """As a program, without a helper that is held open: its deadline is told as everything else that is in its way."""
    argv = [sys.executable, "-I", "-S", limits.__file__, "put", "f1", *MORE["limits.py"][:-1], LATE, ID]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"{ID[:12]}: its deadline is past\n")
