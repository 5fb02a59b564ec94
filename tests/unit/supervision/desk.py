"""A supervisor's decisions without a supervisor: events go in, commands come out, time is a number."""

from __future__ import annotations

from coordinator.supervision import IMMEDIATE, Backoff, ChildContext, ChildSpec, ChildState, Restart, SupervisorSpec
from coordinator.supervision.commands import Answer, AskStop, Cancel, Command, Emit, Finish, Refuse, Spawn
from coordinator.supervision.decide import decide
from coordinator.supervision.errors import Refusal
from coordinator.supervision.events import Boot, Ended, Event, Ready, StartChild, Tick
from coordinator.supervision.exits import STOPPED, Exit, ExitKind
from coordinator.supervision.outcome import Outcome
from coordinator.supervision.reports import ReportKind
from coordinator.supervision.state import Record, State

CRASH = Exit(ExitKind.CRASH, "ValueError: boom", "the stack")


async def never(context: ChildContext) -> None:
    """Stand where a start function must be; nothing runs here."""


def child(
    name: str,
    restart: Restart = Restart.PERMANENT,
    *,
    backoff: Backoff = IMMEDIATE,
    critical: bool = True,
    stop_timeout_s: float = 5.0,
) -> ChildSpec:
    """Specify a worker."""
    return ChildSpec(name, never, restart, backoff=backoff, critical=critical, stop_timeout_s=stop_timeout_s)


class Desk:
    """One state, and all commands it has given."""

    def __init__(self, spec: SupervisorSpec, draw: float = 0.5) -> None:
        """Begin at 0 s, not yet booted."""
        self.state = State(spec, spec.id, lives={})
        self.now = 0.0
        self.draw = draw
        self.commands: list[Command] = []
        self.latest: list[Command] = []

    def put(self, event: Event) -> list[Command]:
        """Decide on an event."""
        self.latest = decide(self.state, event, self.now, lambda: self.draw)
        self.commands += self.latest
        return self.latest

    def boot(self) -> None:
        """Boot, each child becoming ready at once."""
        self.put(Boot())
        self.all_ready()

    def all_ready(self) -> None:
        """Whatever starts becomes ready, until nothing starts any more."""
        while starting := [name for name, one in self.state.children.items() if one.state is ChildState.STARTING]:
            self.ready(starting[0])

    def ready(self, name: str, value: object = None) -> list[Command]:
        """A child says that it is ready."""
        return self.put(Ready(name, self.child(name).incarnation, value))

    def end(self, name: str, exit_: Exit = STOPPED) -> list[Command]:
        """A child's body ends."""
        return self.put(Ended(name, self.child(name).incarnation, exit_))

    def crash(self, name: str) -> list[Command]:
        """A child crashes."""
        return self.end(name, CRASH)

    def add(self, ref: int, spec: ChildSpec) -> list[Command]:
        """An operator adds a child."""
        return self.put(StartChild(ref, spec))

    def wait(self, seconds: float) -> list[Command]:
        """Time passes, timer by timer."""
        until = self.now + seconds
        told: list[Command] = []
        while (due := self.state.next_due()) <= until:
            self.now = max(self.now, due)
            told += self.put(Tick())
        self.now = until
        return told

    def child(self, name: str) -> Record:
        """What is known about a child."""
        return self.state.children[name]

    def states(self) -> dict[str, str]:
        """The state of each child."""
        return {name: one.state.value for name, one in self.state.children.items()}

    @property
    def outcome(self) -> Outcome | None:
        """How the supervisor has ended, if it has."""
        return next((one.outcome for one in self.commands if isinstance(one, Finish)), None)

    @property
    def spawned(self) -> list[str]:
        """What the latest event started."""
        return [one.child for one in self.latest if isinstance(one, Spawn)]

    @property
    def asked(self) -> list[str]:
        """What the latest event asked to stop."""
        return [one.child for one in self.latest if isinstance(one, AskStop)]

    @property
    def cancelled(self) -> list[str]:
        """What the latest event cancelled."""
        return [one.child for one in self.latest if isinstance(one, Cancel)]

    @property
    def answered(self) -> list[int]:
        """Whom the latest event served."""
        return [one.ref for one in self.latest if isinstance(one, Answer)]

    @property
    def refused(self) -> list[Refusal]:
        """Why the latest event refused."""
        return [one.reason for one in self.latest if isinstance(one, Refuse)]

    @property
    def reported(self) -> list[ReportKind]:
        """What the latest event reported, progress left out."""
        kinds = [one.report.kind for one in self.latest if isinstance(one, Emit)]
        return [kind for kind in kinds if kind is not ReportKind.PROGRESS]
