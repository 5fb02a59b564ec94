"""The program that signals processes, with real ones that are taken for a container's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.docker.programs import limits, signals
from actors.docker.programs.limits import Failed

ID = "0123456789ab" * 5
LINES = f"0::/docker/{ID}"
PROGRAM = Path(signals.__file__)
GOES_ON = {"R", "S"}


@dataclass
class Inside:
    """A container: its cgroup's folder, and processes of this test that are taken to be in it."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, seconds: int, *, stopped: bool = False) -> int:
        """A `sleep`, from then on one of it."""
        process = subprocess.Popen(["sleep", str(seconds)])
        self.processes.append(process)
        # Until it has become `sleep` it is a copy of this test.
        while (found := signals.look(process.pid)) is None or found.words != ("sleep", str(seconds)):
            time.sleep(0.001)
        if stopped:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        return process.pid

    def state(self, pid: int) -> str:
        """As /proc has it; S also for the moment in which it runs."""
        found = signals.look(pid)
        return found.state.replace("R", "S") if found is not None else ""

    @property
    def kept(self) -> list[str]:
        """What is kept on its cgroup."""
        return os.listxattr(self.folder)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """A container whose main process is the first that is run."""
    made = Inside(tmp_path / "docker" / ID)
    made.folder.mkdir(parents=True)

    def cgroups() -> dict[int, str]:
        return {each.pid: LINES for each in made.processes}

    monkeypatch.setattr(limits, "GROUPS", str(tmp_path))
    monkeypatch.setattr(limits, "cgroups", cgroups)
    monkeypatch.setattr(signals, "cgroups", cgroups)
    monkeypatch.setattr(signals, "cgroup_of", lambda pid: cgroups().get(pid, ""))
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_those_that_it_stopped_go_on_and_no_other(inside: Inside) -> None:
    """What was stopped before is not kept, and not let go on; a second removal finds nothing to do."""
    theirs, own = inside.run(901, stopped=True), inside.run(902)
    signals.put("f1", "name", "sleep", "m", ID)
    assert inside.state(own) == "T"
    assert json.loads(os.getxattr(inside.folder, inside.kept[0])) == {
        "mark": "m",
        "processes": [[own, signals.look(own).since]],  # type: ignore[union-attr]  # it is there
    }
    signals.remove("f2", ID)
    assert inside.state(own) == "T"
    signals.remove("f1", ID)
    signals.remove("f1", ID)
    assert inside.state(theirs) == "T"
    assert inside.state(own) in GOES_ON
    assert inside.kept == []


def test_whoever_knows_no_fault_lets_all_go_on(inside: Inside) -> None:
    """Of whichever fault; what anybody else has stopped stays."""
    theirs, one, other = inside.run(911, stopped=True), inside.run(912), inside.run(913)
    signals.put("f1", "pattern", "912", "m", ID)
    signals.put("f2", "pattern", "913", "m", ID)
    assert (inside.state(one), inside.state(other)) == ("T", "T")
    signals.remove("all", ID)
    assert (inside.state(theirs), inside.state(one), inside.state(other)) == ("T", "S", "S")
    assert inside.kept == []


def test_a_number_that_another_process_has_by_now_is_left_alone(inside: Inside) -> None:
    """What is kept names a process by its start time as well."""
    stopped = inside.run(903, stopped=True)
    where = limits.group(ID, signals.HIERARCHY)
    assert where is not None
    where.keep("frozen.f1", {"mark": "m", "processes": [[stopped, 1], [2**22 + 1, 1]]})
    signals.remove("f1", ID)
    assert inside.state(stopped) == "T"
    assert inside.kept == []


def test_put_twice_keeps_what_the_first_stopped(inside: Inside) -> None:
    """So that one removal lets all go on."""
    first = inside.run(904)
    signals.put("f1", "pattern", "sleep 90[45]", "m", ID)
    second = inside.run(905)
    signals.put("f1", "pattern", "sleep 90[45]", "m", ID)
    signals.put("f1", "pattern", "sleep 90[45]", "m", ID)
    assert (inside.state(first), inside.state(second)) == ("T", "T")
    signals.remove("f1", ID)
    assert {inside.state(first), inside.state(second)} <= GOES_ON


def test_where_nothing_is_to_be_stopped_nothing_is_kept(inside: Inside) -> None:
    """The error says what runs there."""
    inside.run(906, stopped=True)
    with pytest.raises(Failed, match="is stopped as it is, or has ended"):
        signals.put("f1", "name", "sleep", "m", ID)
    with pytest.raises(Failed, match="no process of name 'nginx' runs in it; there are: sleep"):
        signals.put("f1", "name", "nginx", "m", ID)
    with pytest.raises(Failed, match="no process of this container is seen"):
        signals.put("f1", "name", "nginx", "m", "f" * 64)
    assert inside.kept == []


def test_the_main_process_is_not_killed(inside: Inside) -> None:
    """All others that match are, and are seen gone."""
    main, other = inside.run(907), inside.run(908)
    with pytest.raises(Failed, match="only its main process is of pattern '907'"):
        signals.kill("pattern", "907", signal.SIGKILL, ID)
    signals.kill("name", "sleep", signal.SIGKILL, ID)
    assert inside.state(main) in GOES_ON
    assert inside.state(other) in {"", "Z"}


WITHOUT_END = r"(\w+\s?)+--queue"
"""There are as many ways to read a word as there are to part it."""


def test_a_pattern_that_takes_too_long_is_refused(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command line that it takes too long on, and before anything is kept or signalled. It is over then."""
    monkeypatch.setattr(signals, "MATCH_S", 0.2)
    pid = inside.run(909)
    worker = signals.Process(pid, 1, "S", "worker", ("worker", "a" * 40, "x"))
    monkeypatch.setattr(signals, "look", lambda _: worker)
    why = r"takes too long on: 'worker a{40} x'$"
    with pytest.raises(Failed, match=why):
        signals.put("f1", "pattern", WITHOUT_END, "m", ID)
    with pytest.raises(Failed, match=why):
        signals.kill("pattern", WITHOUT_END, signal.SIGKILL, ID)
    monkeypatch.undo()
    assert inside.kept == []
    assert inside.state(pid) in GOES_ON
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL


@pytest.mark.parametrize(
    "words",
    [[], ["kill", "name", "sh", "TERM", ID], ["put", "f1", "size", "sh", "m", ID], ["remove", "f1", "docker"]],
)
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (limits.USAGE, "usage:")
