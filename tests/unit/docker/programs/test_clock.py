"""The program that skews clocks, with real processes that are taken for a container's."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.docker.programs import clock, limits, signals
from actors.docker.programs.limits import Failed
from actors.docker.programs.tracing import held

ID = "0123456789ab" * 5
LINES = f"0::/docker/{ID}"
PROGRAM = Path(clock.__file__)
MARK = "fault=f1 expires=9999999999"
HOUR_NS = 3600 * 10**9
CLOSE_NS = 10_000_000

ASKED = """
import signal, sys, threading, time
def busy():
    while True:
        time.time()
threading.Thread(target=busy, daemon=True).start()
# A signal that comes again and again finds threads where they are in the way.
signal.signal(signal.SIGALRM, lambda *_: time.time())
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for _ in sys.stdin:
    before, now, after = time.clock_gettime_ns(1), time.time_ns(), time.clock_gettime_ns(1)
    print(now, before, after, int(time.time()), flush=True)
"""

DEBUGGED = """
import sys
from actors.docker.programs import clock, limits, signals
pid, container = int(sys.argv[1]), sys.argv[2]
signals.cgroups = limits.cgroups = lambda: {pid: f"0::/docker/{container}"}
try:
    clock.put("f1", 1000, "m", container)
except limits.Failed as error:
    print(error)
clock.remove("f1", container)
"""

pytestmark = pytest.mark.skipif(os.uname().machine != clock.MACHINE, reason="only there a clock can be skewed")


@dataclass
class Inside:
    """A container: processes of this test that are taken to be in it, the first of which tells the time."""

    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *argv: str) -> subprocess.Popen[str]:
        """One more process."""
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def off(self) -> tuple[int, int]:
        """How far its clock is from this one, in ns by one way of asking, in s by another. Asked again where either
        process was interrupted between two looks.
        """
        process = self.processes[0]
        assert process.stdin is not None
        assert process.stdout is not None
        while True:
            process.stdin.write("\n")
            process.stdin.flush()
            real, before, after, seconds = map(int, process.stdout.readline().split())
            began, here, ended = time.clock_gettime_ns(1), time.time_ns(), time.clock_gettime_ns(1)
            if after - before < CLOSE_NS / 10 and ended - began < CLOSE_NS / 10:
                return real - before - (here - began), seconds - real // 10**9

    def own(self) -> bool:
        """Whether every byte is as the kernel made it."""
        return all(code(process.pid) == clock.pristine() for process in self.processes)


def code(pid: int) -> bytes:
    """What the kernel gave it, as it is now."""
    there = clock.place(pid)
    assert there is not None
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        memory.seek(there.start)
        return memory.read(len(there))


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    """A container with one process."""
    made = Inside()

    def cgroups() -> dict[int, str]:
        return {each.pid: LINES for each in made.processes}

    monkeypatch.setattr(signals, "cgroups", cgroups)
    monkeypatch.setattr(limits, "cgroups", cgroups)
    made.run(sys.executable, "-c", ASKED)
    made.off()
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("offset_ns", [HOUR_NS, -HOUR_NS - 250_000_000, 999_000_000])
def test_a_clock_is_off_by_what_is_asked_and_right_again(inside: Inside, offset_ns: int) -> None:
    """To 10 ms, and in both ways of asking alike, while threads ask without end; afterwards byte for byte."""
    for _ in range(3):
        clock.put("f1", offset_ns, MARK, ID)
        clock.put("f1", offset_ns, MARK, ID)
        off, between = inside.off()
        assert abs(off - offset_ns) < CLOSE_NS
        assert between in {0, 1}
        clock.remove("f2", ID)
        assert abs(inside.off()[0] - offset_ns) < CLOSE_NS
        clock.remove("f1", ID)
        clock.remove("f1", ID)
        assert abs(inside.off()[0]) < CLOSE_NS
        assert inside.own()


def test_whoever_knows_no_fault_puts_it_right(inside: Inside) -> None:
    """Of whichever fault."""
    clock.put("f1", HOUR_NS, MARK, ID)
    clock.remove("all", ID)
    assert inside.own()


def test_a_second_fault_is_refused_and_the_first_stays(inside: Inside) -> None:
    """A clock is skewed once at a time."""
    clock.put("f1", HOUR_NS, MARK, ID)
    with pytest.raises(Failed, match="is skewed by another fault already"):
        clock.put("f2", 2 * HOUR_NS, MARK, ID)
    assert abs(inside.off()[0] - HOUR_NS) < CLOSE_NS
    clock.remove("f1", ID)
    assert inside.own()


def appearing(monkeypatch: pytest.MonkeyPatch, skewed: Callable[[int], bool]) -> list[int]:
    """A container whose processes live for a moment, a new one at each look; those that were looked at."""
    met: list[int] = []

    def restore(pid: int, own: bytes, tag: bytes, *, frozen: bool) -> bool:
        assert (len(own) > 0, len(tag) > 0, frozen) == (True, True, False)
        met.append(pid)
        return skewed(len(met))

    numbers = itertools.count(1)
    monkeypatch.setattr(clock, "numbers", lambda _: [next(numbers)])
    monkeypatch.setattr(clock, "restore", restore)
    return met


def test_what_makes_skewed_processes_faster_than_they_are_put_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is left: it is no success."""
    met = appearing(monkeypatch, lambda _: True)
    with pytest.raises(Failed, match="faster than their clocks can be put back"):
        clock.remove("f1", ID)
    assert len(met) == clock.PASSES


def test_what_only_makes_processes_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """New ones whose clock is the kernel's own are nobody's leftover, however many there are."""
    met = appearing(monkeypatch, lambda looks: looks in {1, 3})
    clock.remove("f1", ID)
    assert len(met) == 3 + clock.CALM


def test_where_one_process_cannot_be_changed_none_is(inside: Inside) -> None:
    """What somebody else has written there is left as it is, and the others are put back."""
    other = inside.run("sleep", "600")
    while (found := signals.look(other.pid)) is None or found.words != ("sleep", "600"):
        time.sleep(0.001)
    there = clock.place(other.pid)
    assert there is not None
    with Path(f"/proc/{other.pid}/mem").open("r+b", 0) as memory:
        memory.seek(there.stop - 8)
        memory.write(b"somebody")
    with pytest.raises(Failed, match="somebody else uses the room"):
        clock.put("f1", HOUR_NS, MARK, ID)
    assert abs(inside.off()[0]) < CLOSE_NS
    assert code(inside.processes[0].pid) == clock.pristine()
    assert code(other.pid)[-8:] == b"somebody"


def test_a_stopped_process_stays_stopped_and_a_signal_is_delivered(inside: Inside) -> None:
    """Holding a process still changes nothing of it."""
    process = inside.processes[0]
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    clock.put("f1", HOUR_NS, MARK, ID)
    clock.remove("f1", ID)
    found = signals.look(process.pid)
    assert found is not None
    assert found.state == "T"
    process.send_signal(signal.SIGCONT)
    assert abs(inside.off()[0]) < CLOSE_NS


def test_what_a_debugger_holds_is_refused_and_owes_nothing(inside: Inside) -> None:
    """The fault says which process it is; the undo passes it by, as it was never changed."""
    with held(inside.processes[0].pid):
        done = subprocess.run(
            [sys.executable, "-c", DEBUGGED, str(inside.processes[0].pid), ID],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "another program traces it" in done.stdout
    assert done.returncode == 0
    assert inside.own()


def test_other_machines_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is looked at."""
    here = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*here[:4], "aarch64")))
    with pytest.raises(Failed, match="on x86_64 alone; this machine is aarch64"):
        clock.put("f1", HOUR_NS, MARK, ID)
    clock.remove("f1", ID)


def test_a_kernel_that_has_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """And owes nothing afterwards."""
    monkeypatch.setattr(clock, "pristine", lambda: bytes(4096))
    with pytest.raises(Failed, match="of another kind"):
        clock.put("f1", HOUR_NS, MARK, ID)
    clock.remove("f1", ID)


def test_a_container_that_is_not_here_is_named() -> None:
    """There is nothing to undo in it."""
    with pytest.raises(Failed, match="no process of this container is seen"):
        clock.put("f1", HOUR_NS, MARK, "f" * 64)
    clock.remove("f1", "f" * 64)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["put", "f1", "realtime", "1.5", "m", ID],
        ["put", "f1", "monotonic", "1", "m", ID],
        ["remove", "f1", "docker"],
    ],
)
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    done = subprocess.run([sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (limits.USAGE, "usage:")
