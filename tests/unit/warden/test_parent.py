import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PARENT = """
import sys
from coordinator.warden.parent import Parent
sys.exit(Parent([sys.executable, '-c', sys.argv[1]]).run())
"""
WAITING = """
import os, signal, sys, time
def told(number, _):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, told)
print("waits", os.getpid(), os.getpgrp() == os.getpid(), flush=True)
while True:
    time.sleep(60)
"""


def parent_of(child: str) -> subprocess.Popen[str]:
    """A warden that is the parent of a Python program."""
    return subprocess.Popen([sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize(("ends", "status"), [("sys.exit(0)", 0), ("sys.exit(5)", 5), ("os.kill(os.getpid(), 9)", 137)])
def test_its_status_is_that_of_its_child(ends: str, status: int) -> None:
    """The same number, or 128 and the signal's; a child that never said who it is leaves nothing to put back."""
    with parent_of(f"import os, sys; {ends}") as parent:
        assert parent.wait(60) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_handed_on(number: signal.Signals) -> None:
    """Each reaches the child, which is in a group of its own so that a terminal's does not reach it twice."""
    with parent_of(WAITING) as parent:
        assert parent.stdout is not None
        waits, pid, alone = parent.stdout.readline().split()
        assert (waits, alone) == ("waits", "True")
        assert os.getpgid(int(pid)) != os.getpgid(parent.pid)
        parent.send_signal(number)
        assert parent.stdout.readline().strip() == number.name
        assert parent.wait(60) == 7


def test_a_terminal_that_is_outlived_stays_so() -> None:
    """Started with SIGHUP ignored (`nohup`), neither heeds it."""
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{PARENT}"
    child = "import signal, time; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", program, child], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "True\n"
        parent.send_signal(signal.SIGHUP)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(60) == 128 + signal.SIGTERM


def test_the_command_line_starts_it_with_little(tmp_path: os.PathLike[str]) -> None:
    """`test-coordinator warden -- COMMAND` loads nothing of the command line itself, and runs COMMAND as it was run."""
    child = [sys.executable, "-X", "importtime", "-m", "coordinator", "warden", "--", "--version"]
    done = subprocess.run(child, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.startswith("test-coordinator, version")
    # `-X importtime` was handed on: the second time `site` is imported is the child's.
    own = done.stderr[: done.stderr.rindex("| site")]
    assert "coordinator.warden.parent" in own
    assert "click" not in own
    assert "pydantic" not in own
