"""How a supervisor ended, and which error tells its parent. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from coordinator.supervision.errors import Escalated, StartFailed


class OutcomeKind(Enum):
    """How a supervisor ended."""

    STOPPED = "stopped"
    AUTO_SHUTDOWN = "auto_shutdown"
    START_FAILED = "start_failed"
    ESCALATED = "escalated"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a supervisor ended, and because of which child."""

    kind: OutcomeKind
    reason: str
    child: str = ""
    detail: str = ""
    history: tuple[str, ...] = ()
    interrupted: bool = False
    code: int | str | None = None

    def error(self, path: str) -> BaseException | None:
        """What the supervisor at `path` raises; None after a clean end."""
        if self.kind is OutcomeKind.ESCALATED:
            return Escalated(path, self.child, self.reason, self.history)
        if self.kind is OutcomeKind.START_FAILED:
            return StartFailed(path, self.child, self.reason, self.detail)
        if self.kind is OutcomeKind.QUIT:
            return KeyboardInterrupt() if self.interrupted else SystemExit(self.code)
        return None
