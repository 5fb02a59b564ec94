"""The machine's own time."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio


class SystemClock:
    """Satisfies `ports.Clock` with the machine's own time."""

    def monotonic(self) -> float:
        """Seconds on the event loop's clock."""
        return anyio.current_time()

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)
