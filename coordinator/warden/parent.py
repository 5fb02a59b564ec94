"""The warden as the parent of its coordinator: forwards signals, exits with its status, and before that puts back what
it left. In a container, where the end of the first process ends all others, there is no other place.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from coordinator.warden.aftermath import Aftermath, recovery_launcher
from coordinator.warden.passes import HURRIED_S, Alarm
from coordinator.warden.ward import LINK, NOTHING_LEFT, READY, Line, Ward

PATIENCE_S: Final = 30.0
"""How long it goes on before it leaves the rest to the next start, which a restart policy may be waiting to make."""

EXIT_DEAF: Final = 75
"""The coordinator's word that only a new container reaches the engine: nothing can be put back from in here."""

_SIGNALLED: Final = 128
_FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Parent:
    """One coordinator, from its start to its exit status."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` starts it."""
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._alarm = Alarm()
        self._asked = False

    def run(self) -> int:
        """Start it and wait; the exit status, 128 and the signal's number for one that was killed."""
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        for number in _FORWARDED:
            # Of one that was started to outlive its terminal (`nohup`) the coordinator knows too.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._forward)
        ours, theirs = socket.socketpair()
        with theirs:
            # In a group of its own: Ctrl-C at a terminal would reach it twice.
            child = subprocess.Popen(
                self._command, env=os.environ | {LINK: str(theirs.fileno())}, pass_fds=[theirs.fileno()],
                process_group=0,
            )  # fmt: skip
        self._child = child
        for early in self._early:
            child.send_signal(early)
        ward, word = _listened(Line(ours, woken))
        status = child.wait()
        status = _SIGNALLED - status if status < 0 else status
        if ward is not None and word != NOTHING_LEFT and status != EXIT_DEAF:
            Aftermath(ward, recovery_launcher(), self._alarm, HURRIED_S if self._asked else PATIENCE_S).work()
        return status

    def _forward(self, number: int, _: object) -> None:
        self._asked = True
        if self._child is None:
            self._early.append(number)
        elif self._child.returncode is None:
            self._child.send_signal(number)
        else:
            self._alarm.ring()


def _listened(line: Line) -> tuple[Ward | None, str | None]:
    """Who it said it was, None where it never did (another command than one that breaks things), and its last word."""
    said = line.hear()
    if said is None:
        return None, None
    line.say(f"{READY} {os.getpid()}")
    return Ward.parse(said), line.last_word()


def main(arguments: Sequence[str]) -> int:
    """`test-coordinator warden -- COMMAND…`: started exactly as this process was, with COMMAND in its place."""
    own = len(sys.argv) - 1
    head = sys.orig_argv[1 : len(sys.orig_argv) - own]
    return Parent([sys.executable, *head, *arguments]).run()
