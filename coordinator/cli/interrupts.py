"""What Ctrl-C, TERM and HUP mean to a run: the first stops and undoes, the second says that it is undoing, the third
leaves at once. Before there is an execution there is nothing to undo: then the first one ends the run.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterable, Callable
from typing import Final

import anyio

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENOUGH: Final = 3


def heeded() -> tuple[signal.Signals, ...]:
    """Those of SIGNALS that this process was not started to ignore, as by `nohup` or as a script's background job."""
    return tuple(number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)


class Interrupts:
    """The signals of one run. `scope` is around all of it, and cancelled only while no execution was asked for."""

    def __init__(self, say: Callable[[str], None], leave: Callable[[], None]) -> None:
        """`say` tells a person; `leave` ends the process and does not return, but in a test."""
        self.scope = anyio.CancelScope()
        self.asked = anyio.Event()
        self.reason = ""
        self._say = say
        self._leave = leave
        self._count = 0
        self._submitting = False

    def submitting(self) -> None:
        """From here on an execution may exist: it is stopped as soon as it can be."""
        self._submitting = True

    async def listen(self, signals: AsyncIterable[signal.Signals]) -> None:
        """Take signals as they come, until cancelled."""
        async for number in signals:
            self.take(number.name)

    def take(self, name: str) -> None:
        """One signal."""
        self._count += 1
        if self._count == 1:
            self.reason = f"stopped by {name}"
            self.asked.set()
            if self._submitting:
                self._say(f"{name}: stopping, and undoing what was done")
            else:
                self._say(f"{name}: nothing was begun")
                self.scope.cancel(reason=name)
        elif self._count < ENOUGH:
            self._say(f"{name}: still undoing; once more leaves at once, with what is not undone left broken")
        else:
            self._leave()
