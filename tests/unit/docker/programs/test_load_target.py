"""What a container is to whoever loads it, with a folder that looks like a cgroup."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import limits, load_target
from actors.docker.programs.crash import started
from actors.docker.programs.limits import Failed

ID = uuid4().hex * 2
MEMINFO = "MemTotal:  1000000 kB\nMemAvailable:  500000 kB\n"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> load_target.Target:
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
    monkeypatch.setattr(load_target, "meminfo", lambda: MEMINFO)
    return load_target.Target(ID)


def size(target: load_target.Target, value: str) -> int:
    """How much memory it comes to."""
    return target.memory(value)


def test_memory_is_a_share_of_the_limit_of_which_there_is_one(target: load_target.Target) -> None:
    """Of the host's where there is none; whole pages."""
    assert size(target, "50%") == 32 << 20
    assert size(target, "5000") == limits.PAGE
    Path(f"{target.groups[0].folder}/memory.max").write_text("max")
    assert size(target, "10%") == 100_000 * 1024 // limits.PAGE * limits.PAGE


def test_more_than_the_host_can_spare_is_refused(target: load_target.Target) -> None:
    """Unless the container's limit is what stops it."""
    assert size(target, str(1 << 30)) == 1 << 30
    Path(f"{target.groups[0].folder}/memory.max").write_text("max")
    with pytest.raises(Failed, match="1073741824 bytes are more than this host can spare: 460800000"):
        size(target, str(1 << 30))


def test_a_container_without_processes_is_refused(target: load_target.Target) -> None:
    """It says so; the one that has some runs."""
    with pytest.raises(Failed, match="no process of this container"):
        load_target.Target("f" * 64)
    assert target.runs()


def test_what_the_kernel_killed_is_counted(target: load_target.Target) -> None:
    """In either version's file; nothing where it is gone."""
    folder = Path(target.groups[0].folder)
    assert target.oom_kills() is None
    (folder / "memory.events").write_text("low 0\nmax 7\noom 2\noom_kill 1\n")
    assert target.oom_kills() == 1


def test_a_process_is_known_by_its_folder() -> None:
    """It runs until it has ended, reaped or not; one of another start is another."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        process = load_target.Process(sleeper.pid, started(sleeper.pid))
        other = load_target.Process(sleeper.pid, started(sleeper.pid) + 1)
        assert process.runs()
        assert not other.runs()
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        assert not process.runs()
    assert not process.runs()
