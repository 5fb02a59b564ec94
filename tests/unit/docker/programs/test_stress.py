"""The program that loads a cgroup, with real processes and a folder that looks like one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.docker.programs import limits, stress
from actors.docker.programs.limits import Failed

ID = "0123456789ab" * 5
PROGRAM = Path(stress.__file__)
MEMINFO = "MemTotal:  1000000 kB\nMemAvailable:  500000 kB\n"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> stress.Target:
    """This very process as a container's main process, in a cgroup of version 2."""
    folder = tmp_path / "docker" / ID
    folder.mkdir(parents=True)
    for name, text in {
        "cgroup.procs": "",
        "memory.max": str(64 << 20),
        "memory.current": "4096",
        "cpu.stat": "usage_usec 5",
    }.items():
        (folder / name).write_text(text)
    lines = f"0::/docker/{ID}"
    monkeypatch.setattr(limits, "GROUPS", str(tmp_path))
    monkeypatch.setattr(limits, "cgroups", lambda: {os.getpid(): lines, 1: "0::/"})
    monkeypatch.setattr(stress, "meminfo", lambda: MEMINFO)
    return stress.Target(ID)


def size(target: stress.Target, value: str) -> int:
    """How much memory it comes to."""
    return stress.wanted("memory", value, target, bool)[0]


def test_memory_is_a_share_of_the_limit_of_which_there_is_one(target: stress.Target) -> None:
    """Of the host's where there is none; whole pages."""
    assert size(target, "50%") == 32 << 20
    assert size(target, "5000") == limits.PAGE
    Path(f"{target.groups[0].folder}/memory.max").write_text("max")
    assert size(target, "10%") == 100_000 * 1024 // limits.PAGE * limits.PAGE


def test_more_than_the_host_can_spare_is_refused(target: stress.Target) -> None:
    """Unless the container's limit is what stops it."""
    assert size(target, str(1 << 30)) == 1 << 30
    Path(f"{target.groups[0].folder}/memory.max").write_text("max")
    with pytest.raises(Failed, match="1073741824 bytes are more than this host can spare: 460800000"):
        size(target, str(1 << 30))


def test_a_container_without_processes_is_refused(target: stress.Target) -> None:
    """And a deadline that is past, before anything is started."""
    with pytest.raises(Failed, match="no process of this container"):
        stress.Target("f" * 64)
    with pytest.raises(Failed, match="deadline is past"):
        stress.put("f1", "cpu", "1x50", "fault=f1 expires=1", ID)
    assert Path(f"{target.groups[0].folder}/cgroup.procs").read_text() == ""


def test_what_cannot_join_is_ended_before_it_works(target: stress.Target) -> None:
    """This folder takes a process only in name: what waits is ended and reaped, and the error says why."""
    with pytest.raises(Failed, match="not in its cgroup"):
        stress.put("f1", "cpu", "1x50", f"fault=f1 expires={time.time() + 60:.0f}", ID)
    pid = int(Path(f"{target.groups[0].folder}/cgroup.procs").read_text())
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_share_of_cpu_time_is_taken() -> None:
    """By the kernel's count, never more than asked for, for as long as it is told to; others may take some of it."""
    began, before = time.monotonic(), time.process_time()
    stress.spin(0.3, lambda: time.monotonic() < began + 1.5)
    share = (time.process_time() - before) / (time.monotonic() - began)
    assert 0.02 < share < 0.35


def test_it_is_found_by_its_command_line_and_killed() -> None:
    """The fault and the container must both be its own; twice is as good as once."""
    other = "f" * 60
    wait = f"import signal, sys; sys.argv[0] = {str(PROGRAM)!r}; print(flush=True); signal.pause()"
    words = ["put", "f1", "cpu", "1x50", "expires=1"]
    # Its words stand where the program's would: after the interpreter's own.
    argv = ["-c", wait, str(PROGRAM), *words]
    with subprocess.Popen([sys.executable, *argv, ID], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert stress.stressors("f1", ID) == [process.pid]
        stress.remove("f2", ID)
        stress.remove("f1", other)
        assert process.poll() is None
        stress.remove("f1", ID)
        assert process.wait() == -signal.SIGKILL
    stress.remove("f1", ID)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["put"],
        ["remove", "f1", "x"],
        ["put", "f1", "disk", "1", "expires=9", ID],
        ["put", "f1", "cpu", "1x5", "m", ID],
    ],
)
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (limits.USAGE, "usage:")
