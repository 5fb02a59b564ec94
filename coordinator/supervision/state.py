"""What a supervisor knows: its children, what it is in the middle of, its timers. Plain data, no decisions.

The state is changed in place: a supervisor of thousands of children cannot copy itself at every crash.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from coordinator.supervision.budget import Budget
from coordinator.supervision.commands import Command
from coordinator.supervision.outcome import Outcome
from coordinator.supervision.reports import Offender
from coordinator.supervision.spec import ChildSpec, Restart, Strategy, SupervisorSpec
from coordinator.supervision.view import ALIVE, ChildState

HISTORY_LENGTH = 16


class Phase(Enum):
    """Where the supervisor is in its life."""

    BOOTING = "booting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"


class Origin(Enum):
    """Why the latest life of a child was begun: decides what its failing to start means."""

    BOOT = "boot"
    DYNAMIC = "dynamic"
    MANUAL = "manual"
    RESTART = "restart"


class Goal(Enum):
    """Why a child is being ended."""

    DOWN = "down"  # by an operator, or with its supervisor
    REGROUP = "regroup"  # with a sibling, to be started again in its turn
    NOT_READY = "not_ready"  # its start took too long
    KILLED = "killed"  # from outside, as a crash


class TimerKind(Enum):
    """What a timer ends."""

    START = "start"
    GRACE = "grace"
    CANCEL = "cancel"
    RETRY = "retry"
    RESUME = "resume"


@dataclass(slots=True, eq=False)
class Record:
    """All that is known about one child."""

    spec: ChildSpec
    path: str
    static: bool
    incarnation: int = 0
    restarts: int = 0
    state: ChildState = ChildState.STOPPED
    since: float = 0.0
    last_error: str | None = None
    degraded: str | None = None
    finished: bool = False
    origin: Origin = Origin.BOOT
    goal: Goal | None = None
    why: str = ""  # the reason that belongs to the goal
    about: Offender | None = None  # this life as its reports name it
    was_ready: bool = False
    ready_at: float = 0.0
    pending: bool = False  # waits for its turn in a procedure, or is to be stopped and started again by it
    held: bool = False  # an operator stopped it: strategies leave it alone
    short_lives: int = 0
    budget: Budget | None = None  # its own, when it is not critical
    timer: int = 0  # number of the timer that counts; older ones are void
    timer_kind: TimerKind | None = None
    timer_due: float = math.inf
    starters: list[int] = field(default_factory=list)  # who waits for it to be ready
    enders: list[int] = field(default_factory=list)  # who waits for it to end

    @property
    def alive(self) -> bool:
        """Whether its body exists."""
        return self.state in ALIVE


@dataclass(slots=True, eq=False)
class Procedure:
    """Stops in reverse order, then starts in order: a boot, a restart of several children, or a shutdown."""

    stops: list[str]  # the last one is next
    starts: deque[str]
    culprit: str = ""
    resume_at: float = -math.inf
    waiting: set[str] = field(default_factory=set)  # being stopped or started right now


@dataclass(slots=True, eq=False)
class State:
    """One supervisor. `lives` counts incarnations by path and outlives this state."""

    spec: SupervisorSpec
    path: str
    lives: dict[str, int]
    phase: Phase = Phase.BOOTING
    since: float = 0.0
    children: dict[str, Record] = field(default_factory=dict)
    procedure: Procedure | None = None
    outcome: Outcome | None = None
    grace_cap_s: float = math.inf
    budget: Budget = field(init=False)
    timers: list[tuple[float, int, str]] = field(default_factory=list)
    timer_count: int = 0
    resume_timer: int = 0
    history: deque[str] = field(default_factory=lambda: deque(maxlen=HISTORY_LENGTH))
    commands: list[Command] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)  # children whose view is out of date, in order
    removed: list[str] = field(default_factory=list)  # children that are gone

    def __post_init__(self) -> None:
        """Open the budget."""
        self.budget = Budget(self.spec.intensity, self.spec.period_s)

    @property
    def pool(self) -> bool:
        """Whether children come and go without leaving a spec behind."""
        return self.spec.strategy is Strategy.POOL

    @property
    def draining(self) -> bool:
        """Whether a stop has begun."""
        return self.phase in (Phase.STOPPING, Phase.DONE)

    def forgets(self, record: Record) -> bool:
        """Whether nothing of a child is kept once it has ended."""
        return self.pool or record.spec.restart is Restart.TEMPORARY

    def next_due(self) -> float:
        """When the next timer is due; infinite when there is none."""
        while self.timers:
            due, number, name = self.timers[0]
            record = self.children.get(name)
            if number == (record.timer if record is not None else self.resume_timer if name == "" else 0):
                return due
            heapq.heappop(self.timers)
        return math.inf
