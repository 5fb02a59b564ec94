"""Work that a client may ask for and walk away from: once begun it is finished, whoever still listens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from coordinator.logging import log

T = TypeVar("T")


class Detached:
    """Tasks that outlive their request, and even the server's incarnation. They end with the event loop.

    Servers cancel a request whose client hangs up; a red button that stops half way would be worse than none.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work; if the caller is cancelled, the work goes on and a failure of it is logged."""
        task = self._begun(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell_failure)
            raise

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin the work; a failure of it is logged."""
        self._begun(work).add_done_callback(_tell_failure)

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the event loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return task


def _tell_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log("detached:failed", "ERROR", reason=f"{type(error).__name__}: {error}")
