"""What a supervisor is told: children, strategy and limits, checked before anything starts. Runs nothing."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from coordinator.supervision.backoff import Backoff
from coordinator.supervision.errors import SpecError


class Restart(Enum):
    """When a child that ended by itself is started again."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # after a crash only
    TEMPORARY = "temporary"  # never; its spec is forgotten with it


class Strategy(Enum):
    """Who is restarted with a child that crashed."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"
    POOL = "pool"  # children come and go, each on its own; they are stopped all at once


class AutoShutdown(Enum):
    """Whether significant children that end by themselves end their supervisor, cleanly."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class StopSignal(Protocol):
    """Set once the child is asked to stop; an `anyio.Event` at run time."""

    def is_set(self) -> bool:
        """Whether the child has been asked to stop."""
        ...

    async def wait(self) -> None:
        """Return once the child has been asked to stop."""
        ...


class ChildContext(Protocol):
    """What a running child is given: who it is, and how it speaks to its supervisor."""

    @property
    def path(self) -> str:
        """The place in the tree, for example `root/chaos`."""
        ...

    @property
    def incarnation(self) -> int:
        """1 for the first life of this path, one more for each later one."""
        ...

    @property
    def stopping(self) -> StopSignal:
        """Phase one of a stop. A cancel follows `stop_timeout_s` later."""
        ...

    def ready(self, value: object = None) -> None:
        """Say that the start is over; `value` is what `start_child` and `restart_child` return."""
        ...

    def degraded(self, reason: str | None) -> None:
        """Say that the child runs but is impaired; None says that it no longer is."""
        ...


Body = Callable[[ChildContext], Awaitable[object]]


class _ByKind(float):
    """Marks a timeout that was not given: workers and supervisors have different defaults."""


BY_KIND: Final[float] = _ByKind(math.nan)
WORKER_START_TIMEOUT_S: Final = 30.0
WORKER_STOP_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. All times are seconds.

    `start` is the child's whole life, an async function of its context that calls `ready` and returns when it is done,
    or the spec of a nested supervisor.
    `significant` counts for the supervisor's `auto_shutdown`.
    `start_timeout_s` is the time to become ready: 30 for a worker, infinite for a supervisor.
    `stop_timeout_s` lies between asking and cancelling: 5 for a worker, infinite for a supervisor; 0 cancels at once.
    `cancel_timeout_s` lies between cancelling and calling a child that has not ended *abandoned*.
    `critical` children that spend the supervisor's budget end the supervisor; others have a budget of their own of the
    same size and are quarantined.
    `backoff` spaces restarts. `quarantine_on` are errors that no restart can mend: the first is one too many.
    """

    id: str
    start: Body | SupervisorSpec
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    start_timeout_s: float = BY_KIND
    stop_timeout_s: float = BY_KIND
    cancel_timeout_s: float = 5.0
    critical: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    quarantine_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the kind, and refuse what cannot work.

        Raises:
            SpecError: names the field and the reason.
        """
        where = f"child {self.id!r}"
        _check_id(where, self.id)
        nested = isinstance(self.start, SupervisorSpec)
        if not nested and not callable(self.start):
            raise SpecError(where, "start", "must be an async function of the child's context, or a SupervisorSpec")
        _check_type(where, "restart", self.restart, Restart)
        _check_type(where, "significant", self.significant, bool)
        _check_type(where, "critical", self.critical, bool)
        _check_type(where, "backoff", self.backoff, Backoff)
        if self.significant and self.restart is Restart.PERMANENT:
            raise SpecError(where, "significant", "a permanent child never ends, so it cannot be significant")
        if self.start_timeout_s is BY_KIND:
            object.__setattr__(self, "start_timeout_s", math.inf if nested else WORKER_START_TIMEOUT_S)
        if self.stop_timeout_s is BY_KIND:
            object.__setattr__(self, "stop_timeout_s", math.inf if nested else WORKER_STOP_TIMEOUT_S)
        _check_seconds(where, "start_timeout_s", self.start_timeout_s)
        if self.start_timeout_s == 0:
            raise SpecError(where, "start_timeout_s", "must be more than 0 seconds")
        _check_seconds(where, "stop_timeout_s", self.stop_timeout_s)
        _check_seconds(where, "cancel_timeout_s", self.cancel_timeout_s)
        _check_errors(where, self.quarantine_on)

    @property
    def kind(self) -> str:
        """`worker` or `supervisor`."""
        return "supervisor" if isinstance(self.start, SupervisorSpec) else "worker"


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """One supervisor: its children in start order, and how many restarts it stands.

    More than `intensity` restarts within `period_s` seconds are over budget; 0 means that nothing is ever restarted.
    `strict_start`: a child that does not start fails the supervisor's start even when it is not critical, as in OTP.
    Otherwise only a critical one does, and another is retried while the rest run.
    """

    id: str
    children: tuple[ChildSpec, ...] = ()
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int = 5
    period_s: float = 30.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    strict_start: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SpecError: names the field and the reason.
        """
        where = f"supervisor {self.id!r}"
        _check_id(where, self.id)
        _check_type(where, "strategy", self.strategy, Strategy)
        _check_type(where, "auto_shutdown", self.auto_shutdown, AutoShutdown)
        _check_type(where, "strict_start", self.strict_start, bool)
        if type(self.intensity) is not int or self.intensity < 0:
            raise SpecError(where, "intensity", "must be a whole number of restarts, 0 or more")
        _check_seconds(where, "period_s", self.period_s)
        if self.period_s == 0:
            raise SpecError(where, "period_s", "must be more than 0 seconds")
        if not isinstance(self.children, tuple):
            raise SpecError(where, "children", "must be a tuple of ChildSpec")
        if self.strategy is Strategy.POOL and self.children:
            raise SpecError(where, "children", "a pool starts empty: add its children with start_child")
        seen: set[str] = set()
        for child in self.children:
            _check_type(where, "children", child, ChildSpec)
            if child.id in seen:
                raise SpecError(where, "children", f"two children are called {child.id!r}")
            seen.add(child.id)
            self.check_child(child)

    def check_child(self, child: ChildSpec) -> None:
        """Refuse a child that this supervisor cannot have.

        Raises:
            SpecError: a significant child under a supervisor whose `auto_shutdown` is never.
        """
        if child.significant and self.auto_shutdown is AutoShutdown.NEVER:
            where = f"supervisor {self.id!r}: child {child.id!r}"
            raise SpecError(where, "significant", "means nothing here: auto_shutdown is never")


def _check_id(where: str, name: object) -> None:
    if not isinstance(name, str) or not name or "/" in name:
        raise SpecError(where, "id", "must be a name of one or more characters without '/'")


def _check_type(where: str, name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise SpecError(where, name, f"must be a {wanted.__name__}, is {value!r}")


def _check_seconds(where: str, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
        raise SpecError(where, name, f"must be 0 or more seconds, or infinite, is {value!r}")


def _check_errors(where: str, errors: object) -> None:
    legal = isinstance(errors, tuple) and all(isinstance(one, type) and issubclass(one, Exception) for one in errors)
    if not legal:
        raise SpecError(where, "quarantine_on", "must be a tuple of exception classes")
