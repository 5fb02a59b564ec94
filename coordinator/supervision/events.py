"""What can happen to a supervisor: the input of its decisions. Plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coordinator.supervision.exits import Exit
from coordinator.supervision.spec import ChildSpec


@dataclass(frozen=True, slots=True)
class Boot:
    """The supervisor begins."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer may be due."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A child said that its start is over."""

    child: str
    incarnation: int
    value: object = None


@dataclass(frozen=True, slots=True)
class Impaired:
    """A child said what is wrong with it, or that nothing is."""

    child: str
    incarnation: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A child's body has ended, clean-up included. Always the last event of a life."""

    child: str
    incarnation: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class Stuck:
    """A cancelled child has not ended; `where` says where it hangs."""

    child: str
    incarnation: int
    where: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The supervisor is to stop. `grace_s` shortens every child's grace, also of the ones being stopped already."""

    reason: str
    grace_s: float = math.inf


@dataclass(frozen=True, slots=True)
class StartChild:
    """An operator adds a child. In all requests `ref` is who waits for the answer."""

    ref: int
    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class TerminateChild:
    """An operator stops a child and keeps its spec."""

    ref: int
    child: str


@dataclass(frozen=True, slots=True)
class RestartChild:
    """An operator starts a stopped child."""

    ref: int
    child: str


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """An operator removes a stopped child's spec."""

    ref: int
    child: str


@dataclass(frozen=True, slots=True)
class ResetChild:
    """An operator forgives a quarantined child, or one that waits for its restart, and starts it."""

    ref: int
    child: str


@dataclass(frozen=True, slots=True)
class CrashChild:
    """Somebody ends a child's body from outside; it counts as a crash."""

    ref: int
    child: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Somebody asks whether the supervisor still answers."""

    ref: int


Event = (
    Boot
    | Tick
    | Ready
    | Impaired
    | Ended
    | Stuck
    | StopRequested
    | StartChild
    | TerminateChild
    | RestartChild
    | DeleteChild
    | ResetChild
    | CrashChild
    | Ping
)
