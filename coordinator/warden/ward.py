"""Whom a warden watches over, and the line between the two: what they say to each other. Starts nothing."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

LINK: Final = "TEST_COORDINATOR_WARDEN_LINK"
"""The variable that tells a coordinator the descriptor of its line to the warden that is its parent."""

READY: Final = "ready"
"""What the warden says, with its process id, once it watches."""

NOTHING_LEFT: Final = "nothing left"
"""What the coordinator says before an orderly end: the warden may go."""

ASKED: Final = "there?"
ANSWER: Final = "here"
"""What the coordinator asks now and then, and is answered by a warden that can act: one that is stopped cannot."""

LEDGER_FILE: Final = "ledger.db"
LOG_FILE: Final = Path("logs", "warden.jsonl")
"""Below DATA_DIR."""

PROGRAM: Final = str(Path(__file__).resolve().with_name("program.py"))
"""What is started; see there."""

_CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Ward:
    """A coordinator: where its ledger is, which engine it works on, how it is called in logs.

    `environ` are the settings of a recovery for it, as environment variables; no secret is among them.
    """

    data_dir: str
    endpoint: str
    service: str
    instance: str
    environment: str
    environ: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """How the coordinator introduces itself."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, line: str) -> Self:
        """The other way. Raises ValueError, TypeError for something else."""
        return cls(**json.loads(line))


class Line:
    """The warden's end of the line to its coordinator."""

    def __init__(self, link: socket.socket, woken: int | None = None) -> None:
        """Take a connected stream socket, and a descriptor that signals are written to (signal.set_wakeup_fd).

        Without the latter the handler of a signal that comes just before a wait runs only after it.
        """
        self._link = link
        self._woken = woken
        self._read = b""

    def say(self, text: str) -> None:
        """Send one line; a coordinator that is gone meanwhile is noticed when it is next listened to."""
        try:
            self._link.sendall(text.encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            return

    def hear(self) -> str | None:
        """Wait for one line; None once the other end is closed, whoever closed it."""
        while b"\n" not in self._read:
            if self._woken is not None:
                ready, _, _ = select.select([self._link.fileno(), self._woken], [], [])
                if self._woken in ready:
                    os.read(self._woken, _CHUNK)
                    continue
            try:
                chunk = self._link.recv(_CHUNK)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def last_word(self) -> str | None:
        """Watch: answer until something else is said, or the other end is closed; see `hear`."""
        while (said := self.hear()) == ASKED:
            self.say(ANSWER)
        return said
