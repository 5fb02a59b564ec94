"""Clients that are gone are no errors: keeps the event loop from complaining of connections that the kernel ended,
which Hypercorn does not expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from coordinator.errors import leaves

_MESSAGE: Final = "Unhandled exception in client_connected_cb"


@contextmanager
def departures_ignored() -> Iterator[None]:
    """Within the block, on this event loop; what else it complains of goes where it went before."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if is_departure(context):
            return
        if before is None:
            loop.default_exception_handler(context)
        else:
            before(loop, context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        if loop.get_exception_handler() is handle:
            loop.set_exception_handler(before)


def is_departure(context: dict[str, Any]) -> bool:
    """Whether a connection's task ended with nothing but errors of the connection."""
    error = context.get("exception")
    if not isinstance(error, BaseException) or not str(context.get("message", "")).startswith(_MESSAGE):
        return False
    return all(isinstance(leaf, OSError) for leaf in leaves(error))
