"""A clock for tests: the event loop's own time, which trio's MockClock makes virtual, from a fixed date on."""

from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """Wall time that passes exactly as the event loop's does, so many seconds ahead of others."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def monotonic(self) -> float:
        """Seconds on the event loop's clock."""
        return anyio.current_time()

    def now(self) -> datetime:
        """The fixed date plus the loop's time."""
        return BEGINNING + self._ahead + timedelta(seconds=anyio.current_time())
