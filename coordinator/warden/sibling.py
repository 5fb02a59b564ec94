"""The warden beside its coordinator, in a session of its own: waits on its standard input for the coordinator's end."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Final

from coordinator.warden.aftermath import Aftermath, recovery_launcher
from coordinator.warden.passes import Alarm
from coordinator.warden.story import Story
from coordinator.warden.ward import NOTHING_LEFT, READY, Line, Ward

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
EXIT_NO_WARD: Final = 2


def watch() -> int:
    """Watch until the coordinator says that nothing is left, or is gone and what it left is put back."""
    # Nobody's child: the coordinator need not reap it, and may end without it.
    if os.fork():
        os._exit(0)
    os.chdir("/")
    # Whoever ends every process of a service asks this one too: it goes when its coordinator has.
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    line = Line(socket.socket(fileno=0))
    said = line.hear()
    if said is None:
        return EXIT_NO_WARD
    ward = Ward.parse(said)
    sys.excepthook = Story(ward).crashed
    line.say(f"{READY} {os.getpid()}")
    if line.last_word() == NOTHING_LEFT:
        return 0
    alarm = Alarm()
    alarm.heed()
    return 0 if Aftermath(ward, recovery_launcher(), alarm).work() else 1
