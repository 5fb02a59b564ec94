"""A process held still, as a debugger holds one: every thread of it stopped, so that its memory can be changed.

Whatever becomes of this program, the kernel lets all threads go on with it. A process that is stopped by a signal stays
so; a signal that comes meanwhile is delivered afterwards. x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# From linux/ptrace.h and sys/wait.h.
GETREGS, DETACH, SEIZE, INTERRUPT = 12, 17, 0x4206, 0x4207
EVENT_STOP = 128
WAIT_ALL = 0x40000000
REGISTERS, RIP, RSP = 27, 16, 19

STOP_S = 2.0
"""How long a thread may take to stop: one that waits in the kernel for a disk may take longer, and is refused."""

LOOK_S = 0.0005
STACK = 64 * 1024
"""How much of a stack is looked through."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Unstoppable(Exception):
    """It cannot be held; says why."""


class Gone(Exception):
    """It has ended, or become another program, meanwhile."""


def ptrace(request: int, tid: int, data: object = None) -> None:
    """Raises Gone, Unstoppable."""
    if _libc.ptrace(request, tid, None, data) == -1:
        number = ctypes.get_errno()
        # What has just ended is refused in the same way as what is somebody else's.
        if number == errno.ESRCH or state(tid, tid) in "ZX":
            raise Gone
        why = os.strerror(number)
        if number == errno.EPERM:
            why = "another program traces it, or the kernel lets no program trace another (kernel.yama.ptrace_scope)"
        raise Unstoppable(f"thread {tid} cannot be stopped: {why}")


class Held:
    """The threads of a process that are stopped, with the signals that they are owed."""

    def __init__(self, pid: int) -> None:
        """Nothing is stopped yet."""
        self.pid = pid
        self._owed: dict[int, int] = {}

    def stop(self) -> None:
        """Stop every thread, those too that are made meanwhile. Raises Unstoppable, Gone."""
        while fresh := [tid for tid in threads(self.pid) if tid not in self._owed]:
            seized = []
            for tid in fresh:
                try:
                    ptrace(SEIZE, tid)
                    self._owed[tid] = 0
                    ptrace(INTERRUPT, tid)
                    seized.append(tid)
                except Gone:
                    self._owed[tid] = 0
            for tid in seized:
                self._await(tid)
        if not self.running():
            raise Gone

    def running(self) -> list[int]:
        """Its threads that have not ended."""
        return [tid for tid in threads(self.pid) if state(self.pid, tid) not in "ZX"]

    def _await(self, tid: int) -> None:
        """Until it has stopped, or ended. Raises Unstoppable."""
        end = time.monotonic() + STOP_S
        while True:
            try:
                seen, status = os.waitpid(tid, WAIT_ALL | os.WNOHANG)
            except ChildProcessError:
                return
            if seen and os.WIFSTOPPED(status):
                # A stop of the kernel's own says so in its upper half; any other is a signal on its way.
                self._owed[tid] = 0 if status >> 16 == EVENT_STOP else os.WSTOPSIG(status)
                return
            if seen:
                return
            if time.monotonic() > end:
                raise Unstoppable(f"thread {tid} waits in the kernel, and does not stop within {STOP_S:g} s")
            time.sleep(LOOK_S)

    def registers(self, tid: int) -> tuple[int, int]:
        """Where it is in its code, and on its stack. Raises Gone, Unstoppable."""
        values = (ctypes.c_ulonglong * REGISTERS)()
        ptrace(GETREGS, tid, ctypes.addressof(values))
        return values[RIP], values[RSP]

    def any_in(self, places: Callable[[int], bool]) -> bool:
        """Whether a thread is in one of these places. Raises Unstoppable, Gone."""
        return any(places(self.registers(tid)[0]) for tid in self.running())

    def mentions(self, places: range) -> bool:
        """Whether a stack holds an address in there: what a signal interrupted may go on there. Raises Gone."""
        for tid in self.running():
            stack = self.some(self.registers(tid)[1], STACK)
            words = struct.unpack_from(f"<{len(stack) // 8}Q", stack)
            if any(word in places for word in words):
                return True
        return False

    def some(self, where: int, size: int) -> bytes:
        """What is there, as far as there is something. Raises Gone."""
        while size:
            try:
                return self.read(where, size)
            except Gone:
                size //= 2
        return b""

    def read(self, where: int, size: int) -> bytes:
        """What is there. Raises Gone."""
        try:
            with open(f"/proc/{self.pid}/mem", "rb", 0) as file:  # noqa: PTH123  # pathlib takes long to import
                file.seek(where)
                return file.read(size)
        except OSError:
            raise Gone from None

    def write(self, where: int, data: bytes) -> None:
        """Write it, also where the process itself may only read. Raises Gone, Unstoppable."""
        try:
            with open(f"/proc/{self.pid}/mem", "r+b", 0) as file:  # noqa: PTH123  # as above
                file.seek(where)
                file.write(data)
        except OSError as error:
            if not os.path.exists(f"/proc/{self.pid}"):  # noqa: PTH110  # as above
                raise Gone from None
            raise Unstoppable(f"its memory cannot be written: {error.strerror}") from None

    def release(self) -> None:
        """Let all go on, each with the signal that it is owed."""
        for tid, number in self._owed.items():
            _libc.ptrace(DETACH, tid, None, number)
        self._owed.clear()


class Frozen(Held):
    """The same of a process whose cgroup is frozen: it is still as it is, and goes nowhere."""

    def stop(self) -> None:
        """Nothing is to be done. Raises Gone."""
        if not self.running():
            raise Gone

    def registers(self, tid: int) -> tuple[int, int]:
        """As the kernel shows them of what waits in it. Raises Gone, Unstoppable."""
        try:
            with open(f"/proc/{self.pid}/task/{tid}/syscall", encoding="ascii") as file:  # noqa: PTH123  # as above
                *_, stack, code = file.read().split()
            return int(code, 16), int(stack, 16)
        except OSError:
            raise Gone from None
        except ValueError:
            raise Unstoppable(f"thread {tid} runs though its container is paused") from None


@contextmanager
def held(pid: int, *, frozen: bool = False) -> Iterator[Held]:
    """A process that is still, as long as this lasts. Raises Unstoppable, Gone."""
    made = Frozen(pid) if frozen else Held(pid)
    try:
        made.stop()
        yield made
    finally:
        made.release()


def threads(pid: int) -> list[int]:
    """Raises Gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208  # as above
    except OSError:
        raise Gone from None


def state(pid: int, tid: int) -> str:
    """As /proc has it; X where it is gone."""
    try:
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
