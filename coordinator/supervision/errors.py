"""What supervision raises, and what a child may raise to be understood. Knows no event loop."""

from __future__ import annotations

from enum import Enum


class SupervisionError(Exception):
    """Anything the supervision library itself raises."""


class SpecError(SupervisionError, ValueError):
    """A specification is refused before anything starts; `field` names the part that is wrong."""

    def __init__(self, where: str, field: str, reason: str) -> None:
        """Say where, which field and why."""
        super().__init__(f"{where}: {field}: {reason}")
        self.where = where
        self.field = field
        self.reason = reason


class Refusal(Enum):
    """Why an operator's request was refused; the value reads as the end of the sentence "child x …"."""

    RUNNING = "is already running"
    PRESENT = "is present but stopped: restart or delete it"
    RESTARTING = "is being restarted"
    STOPPING = "is being stopped"
    UNKNOWN = "is not known"
    QUARANTINED = "is quarantined: reset it"
    NOT_QUARANTINED = "is neither quarantined nor waiting to be restarted"
    ABANDONED = "was cancelled and has not ended"
    NOT_RUNNING = "is not running"
    POOL_MEMBER = "belongs to a pool, which keeps no stopped children"
    DRAINING = "cannot be served: its supervisor is stopping"
    DECLINED = "declined to run"
    START_FAILED = "did not start"


class ChildRefused(SupervisionError):
    """An operator's request was refused; nothing changed unless the reason is START_FAILED or ABANDONED.

    `cause` is the error and its stack as text for START_FAILED, the place it hangs for ABANDONED, else empty.
    """

    def __init__(self, path: str, reason: Refusal, cause: str = "") -> None:
        """Say which child, why, and the cause where there is one."""
        super().__init__(f"child {path} {reason.value}" + (f": {cause}" if cause else ""))
        self.path = path
        self.reason = reason
        self.cause = cause


class StartFailed(SupervisionError):
    """A supervisor could not start: a child that it needs did not become ready. All others were stopped again."""

    def __init__(self, path: str, child: str, cause: str, detail: str = "") -> None:
        """Name the supervisor, the child, the cause in one line, and the cause's stack as text."""
        super().__init__(f"supervisor {path} did not start: child {child}: {cause}\n{detail}".rstrip())
        self.path = path
        self.child = child
        self.cause = cause
        self.detail = detail

    @property
    def brief(self) -> str:
        """One line for the supervisor above: the root cause, however many supervisors it has passed."""
        mark = type(self).__name__
        return self.cause if self.cause.startswith(f"{mark}: ") else f"{mark}: child {self.child}: {self.cause}"


class Escalated(SupervisionError):
    """A supervisor gave up: a critical child crashed more often than its budget allows. All children were stopped.

    A type of its own, so that a parent never takes it for a clean exit, whatever the restart class.
    """

    def __init__(self, path: str, child: str, reason: str, history: tuple[str, ...] = ()) -> None:
        """Name the supervisor, the child, why the budget is spent, and the latest ends as text, oldest first."""
        told = "".join(f"\n  {line}" for line in history)
        super().__init__(f"supervisor {path} gave up on child {child}: {reason}{told}")
        self.path = path
        self.child = child
        self.reason = reason
        self.history = history
        self.detail = "\n".join(history)

    @property
    def brief(self) -> str:
        """One line for the supervisor above."""
        return f"{type(self).__name__}: child {self.child}: {self.reason}"


class Declined(Exception):
    """Raise before `ready` to decline to run: no error, no retry. A lasting spec is kept, its child not active."""


class DeliberateStop(Exception):
    """Raise to end on purpose, with a reason: not a crash. A permanent child is restarted all the same."""
