"""Keeps a warden process watching: starts it where none is there yet (in the image it is our parent), notices its
death, and one that does not answer, says at an orderly end that it may go. Knows nothing of what the warden does.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

import anyio

from coordinator.errors import CoordinatorError
from coordinator.logging import log
from coordinator.supervision import ChildContext
from coordinator.warden.ward import ASKED, LINK, NOTHING_LEFT, PROGRAM, READY, Ward

READY_WITHIN_S: Final = 20.0
"""How long a warden may take to say that it watches; 50 ms is usual."""

ASK_EVERY_S: Final = 5.0
ANSWERS_WITHIN_S: Final = 10.0
"""How long one that watches may be silent when it is asked; it answers within a millisecond."""

_CHUNK: Final = 4096


class WardenDied(CoordinatorError):
    """The warden is gone, or never began to watch: until there is another one, a SIGKILL leaves things broken."""


class WardenActor:
    """Satisfies `actors.contract.Actor`. The warden outlives every life of the actor, and the coordinator itself."""

    name = "warden"
    critical = False

    def __init__(self, ward: Ward, environ: MutableMapping[str, str] = os.environ) -> None:
        """Take the line to a warden that is our parent, where `environ` names one. Starts nothing yet."""
        self._ward = ward
        self._link = _inherited(environ)
        self._introduced = False
        self.pid: int | None = None
        """The process that watches."""

    async def run(self, life: ChildContext) -> None:
        """See that one watches, until asked to stop. Raises WardenDied."""
        if not self._introduced:
            await self._begin()
        log("warden:watches", pid=self.pid)
        life.ready()
        why = ""
        async with anyio.create_task_group() as group:
            group.start_soon(_end_with, life, group.cancel_scope)
            why = await self._trouble()
            group.cancel_scope.cancel()
        if not life.stopping.is_set():
            useless = self.pid
            self._forget()
            raise WardenDied(f"the warden (pid {useless}) {why}")

    async def _trouble(self) -> str:
        """Ask it now and then; return why it is of no use any more."""
        link = self._connected()
        while True:
            with anyio.move_on_after(ASK_EVERY_S):
                while await _answer(link):
                    pass
                return "has died"
            with suppress(OSError):
                link.send(ASKED.encode() + b"\n")
            with anyio.move_on_after(ANSWERS_WITHIN_S):
                if not await _answer(link):
                    return "has died"
                continue
            # Where this process itself stood still, the answer is there all the same.
            if not select.select([link], [], [], 0)[0]:
                return f"has not answered for {ANSWERS_WITHIN_S:g} s: is it stopped?"

    def dismiss(self, *, nothing_left: bool) -> None:
        """At the end of the coordinator: let the warden go, or leave it to what is outstanding."""
        if self._link is not None and nothing_left:
            try:
                self._link.sendall(NOTHING_LEFT.encode() + b"\n")
            except OSError as gone:
                log("warden:not_told", "WARNING", reason=str(gone))
        self._forget()

    # ------------------------------------------------------------ the line

    async def _begin(self) -> None:
        """Have a warden that has said that it watches. Raises WardenDied."""
        try:
            if self._link is None:
                await self._start()
            self._connected().sendall(self._ward.line().encode() + b"\n")
            with anyio.fail_after(READY_WITHIN_S):
                self.pid = await self._ready()
        except (OSError, TimeoutError, ValueError) as failed:
            self._forget()
            raise WardenDied(f"the warden does not watch: {failed}") from failed
        self._introduced = True

    async def _start(self) -> None:
        """A process of no packages, in a session of its own, that is nobody's child by the time this returns."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._link = ours
        with theirs:
            await anyio.run_process(
                [sys.executable, "-I", "-S", PROGRAM, "watch", self._ward.instance],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    async def _ready(self) -> int:
        """Its process id, once it says that it watches. Raises OSError, ValueError."""
        said = b""
        while not said.endswith(b"\n"):
            await anyio.wait_readable(self._connected())
            chunk = self._connected().recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError("it ended at once")
            said += chunk
        word, _, pid = said.decode().strip().partition(" ")
        if word != READY:
            raise ValueError(f"it said {word!r}")
        return int(pid)

    def _connected(self) -> socket.socket:
        if self._link is None:
            raise ConnectionResetError("the line is closed")
        return self._link

    def _forget(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link, self._introduced = None, False


async def _answer(link: socket.socket) -> bytes:
    """What it says next, nothing once it has ended. An answer that comes late is one, too."""
    await anyio.wait_readable(link)
    try:
        return link.recv(_CHUNK)
    except ConnectionResetError:
        return b""


async def _end_with(life: ChildContext, scope: anyio.CancelScope) -> None:
    await life.stopping.wait()
    scope.cancel()


def _inherited(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The line to the warden that started us; no process of ours shall inherit it from us."""
    number = environ.pop(LINK, "")
    if not number.isdigit():
        return None
    try:
        link = socket.socket(fileno=int(number))
    except OSError:
        return None
    link.set_inheritable(False)
    link.setblocking(False)
    return link
