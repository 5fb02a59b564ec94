"""What must hold in a supervision tree after every event, whatever happens in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from coordinator.supervision import ChildState, Restart, Snapshot, Strategy, Supervisor, health, runtime
from coordinator.supervision.commands import AskStop, Command, Spawn
from coordinator.supervision.decide import Draw, decide
from coordinator.supervision.events import Ended, Event, Ready
from coordinator.supervision.state import Goal, Origin, Phase, Record, State
from tests.simulation.world import World

MOST_EVENTS = 100_000
GROUPED = (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)


@dataclass(frozen=True, slots=True)
class _Before:
    """What an ended child was, before the end was decided upon."""

    name: str
    abandoned: bool
    goal: Goal | None
    pending: bool
    was_ready: bool
    origin: Origin


class Watch:
    """Looks over the shoulder of every supervisor in a tree."""

    def __init__(self, world: World) -> None:
        """Begin with nothing seen."""
        self._world = world
        self._granted: dict[int, list[float]] = {}
        self._spawned: dict[str, int] = {}
        self._states: dict[int, State] = {}
        self._latecomers: set[str] = set()
        self.events = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Decisions of all supervisors are checked while this is open."""
        with mock.patch.object(runtime, "decide", self._decide):
            yield

    def _decide(self, state: State, event: Event, now: float, draw: Draw) -> list[Command]:
        self.events += 1
        self._states[id(state)] = state
        before = _before(state, event)
        if before is not None and before.abandoned:
            self._latecomers.add(f"{state.path}/{before.name}")  # its siblings went on without it
        elif isinstance(event, Ready):
            self._latecomers.discard(f"{state.path}/{event.child}")
        commands = decide(state, event, now, draw)
        self._world.note(f"{state.path} {type(event).__name__} {getattr(event, 'child', '')}")
        if self.events > MOST_EVENTS:
            self._world.violated(f"more than {MOST_EVENTS} events: something runs away")
        if before is not None and isinstance(event, Ended):
            self._check_budget(state, event.child, before, now)
        for command in commands:
            if isinstance(command, Spawn):
                self._check_spawn(state, command)
            elif isinstance(command, AskStop):
                self._check_stop(state, command)
        return commands

    def _check_budget(self, state: State, name: str, before: _Before, now: float) -> None:
        """No more restarts are granted within the period than the budget allows."""
        record = state.children.get(name)
        asked = before.goal in {Goal.DOWN, Goal.REGROUP} or before.pending
        by_hand = not before.was_ready and before.origin in {Origin.DYNAMIC, Origin.MANUAL}
        if record is None or state.draining or asked or by_hand or not record.spec.critical:
            return
        if not (record.state in {ChildState.STARTING, ChildState.BACKOFF} or record.pending or record.alive):
            return
        granted = self._granted.setdefault(id(state), [])
        granted.append(now)
        recent = sum(now - moment <= state.spec.period_s for moment in granted)
        if recent > state.spec.intensity:
            self._world.violated(
                f"{state.path} grants {recent} restarts in {state.spec.period_s} s, may {state.spec.intensity}"
            )

    def _check_spawn(self, state: State, command: Spawn) -> None:
        """Nothing starts in a supervisor that is stopping; numbers rise by one; earlier siblings come first."""
        if state.draining:
            self._world.violated(f"{command.path} is started while its supervisor stops")
        record = state.children[command.child]
        last = self._spawned.get(command.path, 0)
        if record.static and command.incarnation != last + 1:
            self._world.violated(f"{command.path} has life {command.incarnation} after life {last}")
        self._spawned[command.path] = command.incarnation if record.static else 0
        procedure = state.procedure
        if procedure is None or command.child not in procedure.waiting:
            return
        if procedure.stops:
            self._world.violated(f"{command.path} is started before its siblings are stopped")
        for name, sibling in state.children.items():
            if name == command.child:
                break
            if sibling.pending and not sibling.alive:
                self._world.violated(f"{command.path} is started before {name}")
            if state.spec.strategy in GROUPED and _in_turn(sibling) and sibling.path not in self._latecomers:
                self._world.violated(f"{command.path} is started before {name} is ready")

    def _check_stop(self, state: State, command: AskStop) -> None:
        """A shutdown asks a child to stop only when all after it are gone, or abandoned."""
        if state.phase is not Phase.STOPPING or state.spec.strategy is Strategy.POOL:
            return
        later = False
        for name, sibling in state.children.items():
            if later and sibling.alive and sibling.state is not ChildState.ABANDONED:
                self._world.violated(f"{state.path}/{command.child} is stopped before {name}")
            later = later or name == command.child

    # --- at rest ------------------------------------------------------------------------------------------------------
    def check_at_rest(self, supervisor: Supervisor) -> None:
        """When nothing can run: who is said to live lives, and the snapshot shows what is."""
        pending = [supervisor]
        while pending:
            one = pending.pop()
            state = one._state
            if state.phase is not Phase.DONE:
                for record in state.children.values():
                    self._check_lives(one, record)
                self._check_snapshot(one)
                pending.extend(one._nested.values())

    def _check_lives(self, supervisor: Supervisor, record: Record) -> None:
        if record.spec.kind == "worker":
            lives = self._world.live.get(record.path, 0)
            if lives != int(record.alive):
                self._world.violated(f"{record.path} is {record.state.value} and has {lives} bodies")
        elif record.alive != (record.spec.id in supervisor._nested):
            self._world.violated(f"{record.path} is {record.state.value} without a supervisor, or down with one")

    def _check_snapshot(self, supervisor: Supervisor) -> None:
        shown = [(view.id, view.state, view.incarnation) for view in supervisor.snapshot.children]
        known = [(name, record.state, record.incarnation) for name, record in supervisor._state.children.items()]
        if shown != known:
            self._world.violated(f"{supervisor.path} shows {shown} and has {known}")

    def check_health(self, snapshot: Snapshot) -> None:
        """Health says what the snapshot shows, told here in another way."""
        told = health(snapshot)
        views = list(snapshot.root.walk())[1:]
        by_path = {view.path: view for view in views}
        live = all(view.state is not ChildState.ABANDONED for view in views)
        ready = snapshot.root.state is ChildState.RUNNING
        for view in views:
            parts = view.path.split("/")
            line = [by_path["/".join(parts[:length])] for length in range(2, len(parts) + 1)]
            vital = all(above.critical for above in line)
            if vital and view.state is not ChildState.RUNNING and not view.finished:
                ready = False
        if (told.live, told.ready) != (live, ready):
            self._world.violated(f"health says live={told.live} ready={told.ready}, the tree {live} {ready}")
        if (told.status == "healthy") != (live and ready and not told.degraded):
            self._world.violated(f"health says {told.status} of {told}")

    def check_end(self, supervisor: Supervisor) -> None:
        """After a run nobody lives, nobody waits, and no temporary child has come back."""
        left = [path for path, lives in self._world.live.items() if lives]
        if left:
            self._world.violated(f"still alive after the end: {left}")
        if self._world.open_requests:
            self._world.violated(f"{self._world.open_requests} requests were never answered")
        for view in supervisor.snapshot.root.walk():
            if view.state not in {ChildState.STOPPED, ChildState.QUARANTINED}:
                self._world.violated(f"{view.path} is {view.state.value} after the end")
        for state in self._states.values():
            for record in state.children.values():
                if record.spec.restart is Restart.TEMPORARY and record.restarts:
                    self._world.violated(f"{record.path} is temporary and was restarted")


def _in_turn(record: Record) -> bool:
    """Whether a child is being started in its turn; one that is not critical may be retried on its own meanwhile."""
    mine = record.origin in (Origin.BOOT, Origin.RESTART)
    return record.state is ChildState.STARTING and mine and record.spec.critical


def _before(state: State, event: Event) -> _Before | None:
    if not isinstance(event, Ended) or event.child not in state.children:
        return None
    record = state.children[event.child]
    abandoned = record.state is ChildState.ABANDONED
    return _Before(event.child, abandoned, record.goal, record.pending, record.was_ready, record.origin)
