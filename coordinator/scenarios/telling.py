"""Who is told what happens to a fault: the execution's timeline, and the metrics."""

from __future__ import annotations

from typing import Protocol


class Tell(Protocol):
    """Puts something that happened on the execution's timeline."""

    def __call__(self, event: str, text: str = "", *, fault: str | None = None, target: str | None = None) -> None:
        """Record it now, without waiting."""
        ...


class Meter(Protocol):
    """Counts and times; never waits and never fails. All times are seconds."""

    def fault_injected(self, fault_type: str, outcome: str, inject_s: float | None = None) -> None:
        """Count a fault by the state its injection ended in; `inject_s` is from its due time to its first effect."""
        ...

    def fault_undone(self, fault_type: str, undo_s: float) -> None:
        """Time an undo."""
        ...

    def probe_sample(self, probe_type: str, result: str) -> None:
        """Count a sample; `result` is good, bad or late."""
        ...
