import asyncio
from typing import Any

import pytest

from actors.http_api.departures import departures_ignored

pytestmark = pytest.mark.anyio
TEXT = "Unhandled exception in client_connected_cb"


@pytest.mark.parametrize(
    ("text", "error", "kept"),
    [
        (TEXT, TimeoutError(110, "timed out"), False),
        (TEXT, ExceptionGroup("g", [ConnectionResetError(), TimeoutError()]), False),
        (TEXT, ExceptionGroup("g", [TimeoutError(), ValueError("ours")]), True),
        (TEXT, ValueError("ours"), True),
        ("Task exception was never retrieved", TimeoutError(), True),
        (TEXT, None, True),
    ],
)
async def test_only_departures_are_ignored(text: str, error: Exception | None, kept: bool) -> None:
    """A connection that the kernel ended is not told; every other complaint goes where it went, and later all do."""
    loop, told = asyncio.get_running_loop(), list[dict[str, Any]]()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    context = {"message": text} | ({} if error is None else {"exception": error})
    try:
        with departures_ignored():
            loop.call_exception_handler(context)
            assert told == ([context] if kept else [])
        loop.call_exception_handler(context)
        assert told[-1] == context
    finally:
        loop.set_exception_handler(before)
