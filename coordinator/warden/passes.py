"""A recovery pass as a process that a warden waits for, and the alarm that cuts all waiting short."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

HURRIED_S: Final = 1.0
"""How long one that was asked to end may go on: Docker's grace of 10 s, less the coordinator's own deadline, is soon
over.
"""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CHUNK: Final = 65536


class Alarm:
    """A sleep that signals cut short: once asked to end, nothing sleeps any more."""

    def __init__(self) -> None:
        """Not asked yet."""
        self.asked = False
        self._reader, self._writer = os.pipe()

    def ring(self, *_: object) -> None:
        """Ask; fit to be a signal's handler."""
        self.asked = True
        os.write(self._writer, b".")

    def heed(self) -> None:
        """Ring at the signals that ask a process to end."""
        for number in _ENDING:
            signal.signal(number, self.ring)

    def fileno(self) -> int:
        """To wait for it with others."""
        return self._reader

    def sleep(self, seconds: float) -> None:
        """Wait, or return at once when asked to end."""
        select.select([self._reader], [], [], max(0.0, seconds))


def run_pass(
    argv: Sequence[str], environ: Mapping[str, str], alarm: Alarm, until: float
) -> subprocess.CompletedProcess[bytes]:
    """Start it and wait for its end, until `until` (monotonic, seconds) and HURRIED_S from when the alarm rings.

    Raises OSError; TimeoutExpired for one that was killed then: its undos are in the ledger, as they were before.
    """
    with subprocess.Popen(
        argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        try:
            said = _heard(child, alarm, until)
        finally:
            if child.returncode is None:
                child.kill()
    return subprocess.CompletedProcess(argv, child.returncode, stderr=said)


def _heard(child: subprocess.Popen[bytes], alarm: Alarm, until: float) -> bytes:
    """What it says on standard error until it ends. Raises TimeoutExpired."""
    begun, said, hurried = time.monotonic(), b"", False
    spoken = -1 if child.stderr is None else child.stderr.fileno()
    while True:
        if alarm.asked and not hurried:
            hurried, until = True, min(until, time.monotonic() + HURRIED_S)
        waits_for = [spoken] if hurried else [spoken, alarm.fileno()]
        ready, _, _ = select.select(waits_for, [], [], max(0.0, until - time.monotonic()))
        if spoken in ready:
            chunk = os.read(spoken, _CHUNK)
            if not chunk:
                child.wait(max(0.0, until - time.monotonic()))
                return said
            said += chunk
        elif not ready:
            raise subprocess.TimeoutExpired(child.args, time.monotonic() - begun)
