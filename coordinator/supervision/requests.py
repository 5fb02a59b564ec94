"""What operators may ask of a supervisor, and each exact refusal."""

from __future__ import annotations

import math
from collections.abc import Callable

from coordinator.supervision.commands import Answer, Refuse
from coordinator.supervision.errors import Refusal
from coordinator.supervision.events import CrashChild, DeleteChild, ResetChild, RestartChild, StartChild, TerminateChild
from coordinator.supervision.moves import begin_stop, come_to_rest, disarm, kill, refuse, remove, spawn
from coordinator.supervision.order import advance, hold_until
from coordinator.supervision.state import Goal, Origin, Record, State
from coordinator.supervision.view import ChildState

ByName = TerminateChild | RestartChild | DeleteChild | ResetChild | CrashChild


def start_child(state: State, event: StartChild, now: float) -> None:
    """Add a child at the end and start it; answered when it is ready. A child that does not start is not kept."""
    path = f"{state.path}/{event.spec.id}"
    present = state.children.get(event.spec.id)
    if state.draining:
        state.commands.append(Refuse(event.ref, path, Refusal.DRAINING))
    elif present is not None:
        state.commands.append(Refuse(event.ref, path, _in_the_way(present)))
    else:
        record = Record(spec=event.spec, path=path, static=False, starters=[event.ref])
        state.children[event.spec.id] = record
        spawn(state, record, Origin.DYNAMIC, now)


def by_name(state: State, event: ByName, now: float) -> None:
    """Serve a request about a child that must be known."""
    record = state.children.get(event.child)
    if record is None:
        state.commands.append(Refuse(event.ref, f"{state.path}/{event.child}", Refusal.UNKNOWN))
        return
    refusal = _SERVE[type(event)](state, record, event.ref, now)
    if refusal is not None:
        state.commands.append(Refuse(event.ref, record.path, refusal))


def _in_the_way(record: Record) -> Refusal:
    """Why a child cannot be started or removed as it is; PRESENT when it is just stopped."""
    if record.state is ChildState.BACKOFF or (record.pending and not record.alive):
        return Refusal.RESTARTING
    return {
        ChildState.STARTING: Refusal.RESTARTING if record.origin is Origin.RESTART else Refusal.RUNNING,
        ChildState.RUNNING: Refusal.RUNNING,
        ChildState.STOPPING: Refusal.STOPPING,
        ChildState.QUARANTINED: Refusal.QUARANTINED,
        ChildState.ABANDONED: Refusal.ABANDONED,
    }.get(record.state, Refusal.PRESENT)


def _terminate(state: State, record: Record, ref: int, now: float) -> Refusal | None:
    """Stop a child; answered when it is gone. One that is down stays down: its restart is cancelled."""
    if record.state is ChildState.ABANDONED:
        record.pending = False
        record.goal = Goal.DOWN  # once it does end, that is that
        return Refusal.ABANDONED
    if record.alive:
        record.enders.append(ref)
        if not state.draining:
            record.pending = False
            begin_stop(state, record, Goal.DOWN, "stopped by an operator", now)
        return None
    state.commands.append(Answer(ref))
    if not state.draining:
        _release_siblings(state, record, now)
        record.pending = False
        record.held = True
        refuse(state, record, record.starters, Refusal.STOPPING)
        if record.state is not ChildState.STOPPED:
            come_to_rest(state, record, now)
        advance(state, now)
    return None


def _release_siblings(state: State, record: Record, now: float) -> None:
    """Siblings that wait out a child's backoff need not when it is not coming back, or comes at once."""
    procedure = state.procedure
    if procedure is not None and procedure.culprit == record.spec.id and now < procedure.resume_at:
        hold_until(state, procedure, -math.inf)


def _restart(state: State, record: Record, ref: int, now: float) -> Refusal | None:
    """Start a stopped child; answered when it is ready."""
    if state.draining:
        return Refusal.DRAINING
    if state.pool:
        return Refusal.POOL_MEMBER
    refusal = _in_the_way(record)
    if refusal is not Refusal.PRESENT:
        return refusal
    record.short_lives = 0
    record.starters.append(ref)
    spawn(state, record, Origin.MANUAL, now)
    return None


def _delete(state: State, record: Record, ref: int, _now: float) -> Refusal | None:
    """Forget a child that is down."""
    if state.draining:
        return Refusal.DRAINING
    if state.pool:
        return Refusal.POOL_MEMBER
    refusal = _in_the_way(record)
    if refusal not in (Refusal.PRESENT, Refusal.QUARANTINED):
        return refusal
    remove(state, record)
    state.commands.append(Answer(ref))
    return None


def _reset(state: State, record: Record, ref: int, now: float) -> Refusal | None:
    """Forgive a child its crashes and start it; answered when it is ready."""
    if state.draining:
        return Refusal.DRAINING
    if record.state not in (ChildState.QUARANTINED, ChildState.BACKOFF):
        return Refusal.NOT_QUARANTINED
    record.short_lives = 0
    if record.budget is not None:
        record.budget.reset()
    record.starters.append(ref)
    if record.pending:
        # It is the cause of a restart of several: its turn comes when they are all down.
        _release_siblings(state, record, now)
        advance(state, now)
    else:
        disarm(record)
        spawn(state, record, Origin.RESTART, now)
    return None


def _crash(state: State, record: Record, ref: int, now: float) -> Refusal | None:
    """End a child's body from outside; answered when it has ended."""
    if not record.alive:
        return Refusal.NOT_RUNNING
    if record.state is ChildState.ABANDONED:
        return Refusal.ABANDONED
    record.enders.append(ref)
    if record.state is not ChildState.STOPPING:
        kill(state, record, Goal.KILLED, "killed from outside", now)
    return None


_Serve = Callable[[State, Record, int, float], Refusal | None]
_SERVE: dict[type[ByName], _Serve] = {
    TerminateChild: _terminate,
    RestartChild: _restart,
    DeleteChild: _delete,
    ResetChild: _reset,
    CrashChild: _crash,
}
