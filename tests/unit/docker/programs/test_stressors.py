"""One stressor as a real process: it waits for the word, works, and ends with what it depends on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import stressors
from actors.docker.programs.crash import started
from actors.docker.programs.limits import USAGE

ID = uuid4().hex * 2
PROGRAM = Path(stressors.__file__)
LATER = "fault=f1 expires=9999999999"
MIB = 1 << 20


@contextmanager
def stressor(kind: str, value: str, mark: str = LATER) -> Iterator[subprocess.Popen[bytes]]:
    """One that is ready."""
    argv = [sys.executable, "-I", "-S", str(PROGRAM), "f1", kind, value, mark, ID]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert said(process) == "ready"
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[bytes]) -> str:
    """Its next line; empty at its end."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def begin(process: subprocess.Popen[bytes], main: int, *, stays: bool = False) -> None:
    """The word that it waits for."""
    assert process.stdin is not None
    process.stdin.write(f"{main} {started(main)} {int(stays)}\n".encode())
    process.stdin.flush()


def test_memory_that_the_kernel_does_not_give_is_told() -> None:
    """Not that the container has ended."""
    for size in (1 << 62, 1 << 80):
        with stressor("memory", str(size)) as process:
            begin(process, os.getpid())
            assert said(process).startswith(f"failed the kernel gives no {size} bytes at once: ")


def test_a_share_of_cpu_time_is_taken() -> None:
    """By the kernel's count, never more than asked for, for as long as it is told to; others may take some of it."""
    began, before = time.monotonic(), time.process_time()
    told: list[float] = []
    stressors.spin(0.3, lambda: time.monotonic() < began + 1.5, lambda: told.append(time.process_time()))
    share = (time.process_time() - before) / (time.monotonic() - began)
    assert 0.02 < share < 0.35
    assert len(told) == 1
    assert told[0] > before


def test_it_ends_with_who_started_it() -> None:
    """Soon after the end of its input, whether it was told to begin or not; it is the first to be killed."""
    for begun in (True, False):
        with stressor("memory", str(MIB)) as process:
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
            if begun:
                begin(process, os.getpid())
                assert said(process) == "on"
            assert process.poll() is None
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0


def test_one_that_stays_ends_with_the_container() -> None:
    """It does without its input, until the main process is gone."""
    with subprocess.Popen(["sleep", "600"]) as main, stressor("cpu", "0.01") as process:
        begin(process, main.pid, stays=True)
        assert said(process) == "on"
        assert process.stdin is not None
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3 * stressors.BEAT_S)
        main.kill()
        assert process.wait(20) == 0


def test_it_ends_at_its_deadline() -> None:
    """Which is in its mark."""
    until = int(time.time()) + 4
    with stressor("memory", str(MIB), f"expires={until}") as process:
        begin(process, os.getpid(), stays=True)
        assert said(process) == "on"
        assert process.wait(20) == 0
        assert time.time() > until - 0.5


def test_a_container_that_is_gone_is_not_loaded() -> None:
    """By a number that is somebody else's by now, as little."""
    with stressor("cpu", "1") as process:
        assert process.stdin is not None
        process.stdin.write(f"{os.getpid()} 1 1\n".encode())
        process.stdin.flush()
        assert process.wait(20) == 0
        assert said(process) == ""


def test_wrong_usage_is_told() -> None:
    """With how it is used."""
    done = subprocess.run([sys.executable, str(PROGRAM), "f1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (USAGE, "usage:")
