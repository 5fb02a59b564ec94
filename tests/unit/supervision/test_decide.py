"""The decisions as a whole: whatever happens in whatever order, what must hold holds."""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.supervision import IMMEDIATE, AutoShutdown, Backoff, ChildSpec, ChildState, Restart, Strategy
from coordinator.supervision.commands import Answer, Cancel, Command, Finish, Inspect, Refuse, Spawn
from coordinator.supervision.decide import decide
from coordinator.supervision.events import (
    Boot,
    CrashChild,
    DeleteChild,
    Ended,
    Event,
    Impaired,
    Ping,
    Ready,
    ResetChild,
    RestartChild,
    StopRequested,
    Stuck,
    TerminateChild,
    Tick,
)
from coordinator.supervision.exits import RETURNED, STOPPED, Exit, ExitKind
from coordinator.supervision.spec import SupervisorSpec
from coordinator.supervision.state import Origin, Phase
from tests.unit.supervision.desk import CRASH, Desk, child, never


def test_the_same_gives_the_same() -> None:
    """A decision depends on the state, the event, the time and the draw, and on nothing else."""
    desk = Desk(SupervisorSpec("root", (child("a", backoff=Backoff()), child("b")), Strategy.REST_FOR_ONE))
    desk.boot()
    twin = copy.deepcopy(desk.state)
    event = Ended("a", 1, CRASH)
    assert decide(desk.state, event, 3.0, lambda: 0.5) == decide(twin, event, 3.0, lambda: 0.5)


def test_events_of_another_life_are_ignored() -> None:
    """What a former life said, or an unknown child, changes nothing."""
    desk = Desk(SupervisorSpec("root", (child("a"),)))
    desk.boot()
    desk.crash("a")
    for event in (Ready("a", 1), Ended("a", 1, CRASH), Impaired("a", 1, "x"), Stuck("a", 1, "x"), Ready("z", 1)):
        assert desk.put(event) == []
    assert desk.states() == {"a": "starting"}
    assert desk.child("a").degraded is None


def test_being_impaired_ends_with_the_life() -> None:
    """What a child says is wrong with it is shown while it lives."""
    desk = Desk(SupervisorSpec("root", (child("a"),)))
    desk.boot()
    desk.put(Impaired("a", 1, "no database"))
    assert desk.child("a").degraded == "no database"
    desk.crash("a")
    assert desk.child("a").degraded is None


def test_a_start_has_its_deadline() -> None:
    """A child that is not ready in time is cancelled without being asked; ready too late does not help it."""
    desk = Desk(SupervisorSpec("root"))
    desk.add(1, ChildSpec("a", never, start_timeout_s=3.0))
    assert [type(one) for one in desk.wait(3.0)] == [Cancel]
    assert desk.ready("a") == []
    desk.end("a")
    assert [one.cause for one in desk.latest if isinstance(one, Refuse)] == ["not ready within 3 s"]


def test_a_second_request_shortens_the_grace() -> None:
    """The child that is being stopped is cancelled when the shorter grace is over."""
    desk = Desk(SupervisorSpec("root", (child("a", stop_timeout_s=100.0),)))
    desk.boot()
    desk.put(StopRequested("first"))
    desk.wait(10.0)
    desk.put(StopRequested("second", grace_s=1.0))
    assert [type(one) for one in desk.wait(1.0)] == [Cancel]


def test_a_ping_is_answered() -> None:
    """At any time, also while it starts or stops."""
    desk = Desk(SupervisorSpec("root", (child("a"),)))
    assert desk.put(Ping(5)) == [Answer(5)]


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
BACKOFFS = st.sampled_from([IMMEDIATE, Backoff(minimum_s=1.0, max_short_lives=3)])


class Supervision(RuleBasedStateMachine):
    """Anything may happen to a supervisor, in any order that children and operators can bring about."""

    @initialize(
        strategy=st.sampled_from(Strategy),
        intensity=st.integers(0, 4),
        auto=st.sampled_from(AutoShutdown),
        strict=st.booleans(),
        children=st.lists(st.tuples(st.sampled_from(Restart), st.booleans(), st.booleans(), BACKOFFS), max_size=4),
    )
    def begin(
        self,
        strategy: Strategy,
        intensity: int,
        auto: AutoShutdown,
        strict: bool,
        children: list[tuple[Restart, bool, bool, Backoff]],
    ) -> None:
        """Boot some tree."""
        specs = tuple(
            ChildSpec(
                name,
                never,
                restart,
                significant=significant and auto is not AutoShutdown.NEVER and restart is not Restart.PERMANENT,
                critical=critical,
                backoff=backoff,
                quarantine_on=(KeyError,),
            )
            for name, (restart, significant, critical, backoff) in zip("abcd", children, strict=False)
        )
        spec = SupervisorSpec(
            "root",
            () if strategy is Strategy.POOL else specs,
            strategy,
            intensity,
            10.0,
            auto,
            strict_start=strict,
        )
        self.desk = Desk(spec)
        self.refs = 0
        self.waiting: set[int] = set()
        self.spawned = self.ended = 0
        self.look(self.desk.put(Boot()))

    def look(self, commands: list[Command]) -> None:
        """Check each command against what may be."""
        for one in commands:
            if isinstance(one, Spawn):
                self.spawned += 1
                assert not self.desk.state.draining, "started while stopping"
            elif isinstance(one, Answer | Refuse):
                assert one.ref in self.waiting, "answered twice, or nobody asked"
                self.waiting.discard(one.ref)
            elif isinstance(one, Inspect):
                self.look(self.desk.put(Stuck(one.child, one.incarnation, "waiting at x")))
            elif isinstance(one, Finish):
                left = [record.path for record in self.desk.state.children.values() if record.alive]
                assert tuple(left) == one.abandoned, "finished before all had ended"

    def put(self, event: Event) -> None:
        """Let something happen."""
        if self.desk.state.phase is not Phase.DONE:
            self.look(self.desk.put(event))

    def ask(self, kind: type[TerminateChild | RestartChild | DeleteChild | ResetChild | CrashChild], name: str) -> None:
        """Ask for something."""
        if self.desk.state.phase is not Phase.DONE:
            self.refs += 1
            self.waiting.add(self.refs)
            self.put(kind(self.refs, name))

    def alive(self, name: str) -> bool:
        """Whether a child has a body."""
        return name in self.desk.state.children and self.desk.child(name).alive

    @rule(name=NAMES)
    def becomes_ready(self, name: str) -> None:
        """A child that starts becomes ready."""
        if self.alive(name):
            self.put(Ready(name, self.desk.child(name).incarnation))

    @rule(name=NAMES, way=st.sampled_from(["crash", "return", "stop", "decline", "hopeless", "stop error"]))
    def ends(self, name: str, way: str) -> None:
        """A child ends, by itself or as it was told."""
        if not self.alive(name) or self.desk.state.phase is Phase.DONE:
            return
        told = self.desk.child(name).state in (ChildState.STOPPING, ChildState.ABANDONED)
        exits = {
            "crash": CRASH,
            "return": STOPPED if told else RETURNED,
            "stop": STOPPED if told else Exit(ExitKind.SHUTDOWN, "DeliberateStop"),
            "decline": STOPPED if told else Exit(ExitKind.DECLINED, "Declined"),
            "hopeless": Exit(ExitKind.CRASH, "KeyError: 'x'", hopeless=True),
            "stop error": Exit(ExitKind.STOP_ERROR, "OSError: x") if told else CRASH,
        }
        self.ended += 1
        self.put(Ended(name, self.desk.child(name).incarnation, exits[way]))

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """Time passes, timer by timer."""
        desk = self.desk
        until = desk.now + seconds
        while desk.state.phase is not Phase.DONE and desk.state.next_due() <= until:
            desk.now = max(desk.now, desk.state.next_due())
            self.put(Tick())
        desk.now = until

    @rule(name=NAMES, restart=st.sampled_from(Restart), critical=st.booleans())
    def operator_adds(self, name: str, restart: Restart, critical: bool) -> None:
        """An operator adds a child."""
        if self.desk.state.phase is not Phase.DONE:
            self.refs += 1
            self.waiting.add(self.refs)
            self.look(self.desk.add(self.refs, child(name, restart, critical=critical)))

    @rule(name=NAMES, kind=st.sampled_from([TerminateChild, RestartChild, DeleteChild, ResetChild, CrashChild]))
    def operator_asks(
        self, name: str, kind: type[TerminateChild | RestartChild | DeleteChild | ResetChild | CrashChild]
    ) -> None:
        """An operator asks about a child."""
        self.ask(kind, name)

    @precondition(lambda self: self.desk.now > 20)
    @rule(grace_s=st.sampled_from([0.0, 1.0, 100.0]))
    def stop(self, grace_s: float) -> None:
        """Somebody stops the supervisor."""
        self.put(StopRequested("enough", grace_s))

    @invariant()
    def bodies_add_up(self) -> None:
        """Starts less ends is how many live."""
        alive = sum(record.alive for record in self.desk.state.children.values())
        assert self.spawned - self.ended == alive

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Whoever waits for an answer waits at a child that still starts or ends, each at one place."""
        places = [ref for one in self.desk.state.children.values() for ref in (*one.starters, *one.enders)]
        assert sorted(places) == sorted(self.waiting)

    @invariant()
    def turns_come(self) -> None:
        """A child waits for its turn only in a procedure that goes on, which waits for living children or for time."""
        state = self.desk.state
        procedure = state.procedure
        for record in state.children.values():
            if record.pending and not record.alive:
                assert procedure is not None, "waits for ever"
        if procedure is not None:
            assert procedure.waiting or state.next_due() < float("inf"), "a procedure that nothing moves"
            assert all(self.alive(name) for name in procedure.waiting)

    @invariant()
    def one_turn_at_a_time(self) -> None:
        """Siblings that belong together start one after the other."""
        turns = [
            name
            for name, one in self.desk.state.children.items()
            if one.state is ChildState.STARTING and one.spec.critical and one.origin in (Origin.BOOT, Origin.RESTART)
        ]
        if self.desk.state.spec.strategy in (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE):
            assert len(turns) <= 1

    @invariant()
    def states_fit(self) -> None:
        """Who waits for time has a timer; who is down has none; nothing starts again once it is done."""
        for record in self.desk.state.children.values():
            if record.state is ChildState.BACKOFF:
                assert record.pending or record.timer
            if record.state in (ChildState.STOPPED, ChildState.QUARANTINED, ChildState.RUNNING):
                assert not record.timer
            assert record.short_lives <= record.spec.backoff.max_short_lives + 1


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(max_examples=150, stateful_step_count=40)
