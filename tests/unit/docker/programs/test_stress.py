"""The program that loads a cgroup, with real stressors and a folder that looks like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import limits, stress
from actors.docker.programs.killings import SOMEBODY
from actors.docker.programs.running import stressors

ID = uuid4().hex * 2
PROGRAM = Path(stress.__file__)
LATER = "fault=f1 expires=9999999999"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cgroup of a container of which this very process is the main process; a process is in it once it is named."""
    folder = tmp_path / "docker" / ID
    folder.mkdir(parents=True)
    for name, text in {"cgroup.procs": "", "memory.current": "4096", "memory.max": "max", "cpu.stat": "u 5"}.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(limits, "GROUPS", str(tmp_path))
    monkeypatch.setattr(limits, "cgroups", lambda: {os.getpid(): f"0::/docker/{ID}", 1: "0::/"})
    return folder


class Asked:
    """A Stress that is asked, and what it answers and tells."""

    def __init__(self, *, held: bool = True) -> None:
        self.answers: dict[int, str] = {}
        self.told: list[tuple[str, str, str]] = []
        self.stress = stress.Stress(
            self.answers.__setitem__, lambda event, whose, text: self.told.append((event, whose, text)), held=held
        )

    def ask(self, *argv: str) -> str:
        """The answer."""
        number = len(self.answers)
        self.stress.ask(number, list(argv))
        while number not in self.answers:
            stress.wait(self.stress, [])
        return self.answers[number]

    def until_over(self) -> None:
        """Until nothing is left that runs."""
        while self.stress.puts:
            stress.wait(self.stress, [])


def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What joins is taken for one of the container's, whose CPU time grows at every look."""
    monkeypatch.setattr("actors.docker.programs.load_target.cgroup_of", lambda pid: ID)
    monkeypatch.setattr("actors.docker.programs.load_target.Target.used", lambda self, kind: time.monotonic_ns())


def test_what_is_put_runs_until_it_is_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker is in the cgroup; put anew it takes the place of what was there; what was asked for is no news."""
    grown(monkeypatch)
    asked = Asked()
    assert asked.ask("put", "f1", "cpu", "2x5", LATER, ID) == ""
    first = stressors("f1", ID)
    assert len(first) == 2
    assert (folder / "cgroup.procs").read_text() in {str(pid) for pid in first}
    assert asked.ask("put", "f1", "cpu", "1x5", LATER, ID) == ""
    assert len(stressors("f1", ID)) == 1
    assert asked.ask("remove", "f1", ID) == ""
    assert stressors("f1", ID) == []
    asked.until_over()
    assert asked.told == []


def test_memory_that_the_kernel_does_not_give_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that the container has ended, which goes on."""
    grown(monkeypatch)
    (folder / "memory.max").write_text("4096")
    why = Asked().ask("put", "f1", "memory", str(1 << 62), LATER, ID)
    assert why.startswith(f"{ID[:12]}: the kernel gives no {1 << 62} bytes at once: ")


def test_what_is_killed_by_somebody_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not put again by itself, and watched until it is removed."""
    grown(monkeypatch)
    asked = Asked()
    assert asked.ask("put", "f1", "cpu", "1x5", LATER, ID) == ""
    os.kill(stressors("f1", ID)[0], 9)
    while not asked.told:
        stress.wait(asked.stress, [])
    assert asked.told == [("ended", ID, SOMEBODY)]
    assert asked.stress.puts != []
    assert asked.ask("remove", "f1", ID) == ""
    asked.until_over()
    assert len(asked.told) == 1


def test_a_run_that_is_over_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fault that has nothing left to load."""
    grown(monkeypatch)
    asked = Asked()
    assert asked.ask("put", "f1", "cpu", "1x5", f"fault=f1 expires={int(time.time()) + 4}", ID) == ""
    asked.until_over()
    assert asked.told == [("over", ID, "f1")]


def test_what_cannot_join_is_ended_before_it_works(folder: Path) -> None:
    """This folder takes a process only in name: what waits is ended, and the error says why."""
    asked = Asked(held=False)
    assert "not in its cgroup" in asked.ask("put", "f1", "cpu", "1x50", LATER, ID)
    assert stressors("f1", ID) == []
    asked.until_over()


def test_a_deadline_that_is_past_starts_nothing(folder: Path) -> None:
    """And a container that is not there."""
    asked = Asked()
    assert asked.ask("put", "f1", "cpu", "1x50", "fault=f1 expires=1", ID).endswith("its deadline is past")
    assert "no process of this container" in asked.ask("put", "f1", "cpu", "1x50", LATER, "f" * 64)
    assert (folder / "cgroup.procs").read_text() == ""


WRONG = [
    [],
    ["put"],
    ["remove", "f1", "x"],
    ["put", "f1", "disc", "1", "expires=9", ID],
    ["put", "f1", "cpu", "1x5", "m", ID],
    ["put", "f1", "cpu", "ax5", "expires=9", ID],
    ["put", "f1", "memory", "-1", "expires=9", ID],
]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (limits.USAGE, "usage:")
    assert "is due" in Asked().ask(*words)


def test_it_holds_until_its_input_ends() -> None:
    """What it cannot do is an answer under the number of what was asked; signs of life are not answered."""
    lines = [{}, {"id": 7, "ask": ["remove", "f1", "e" * 64]}, {}, {"id": 8, "ask": ["put", "x"]}]
    given = "".join(f"{json.dumps(line)}\n" for line in lines)
    argv = [sys.executable, str(PROGRAM), "hold"]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, check=True, timeout=60)
    ready, *answers = (json.loads(line) for line in done.stdout.splitlines())
    assert ready == {"ready": True}
    assert [(each["id"], each["exit"]) for each in answers] == [(7, limits.OK), (8, limits.FAILED)]
