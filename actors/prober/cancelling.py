"""Whose cancellation a library's CancelledError is: some raise one that nobody asked for, or in place of the one that
somebody did. asyncio alone.
"""

from __future__ import annotations

import asyncio

import anyio.lowlevel


async def asked_for() -> bool:
    """To be asked where such an error was caught: whether to raise it again. Raises what a cancel scope asked for."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
