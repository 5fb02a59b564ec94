"""In which order children are stopped and started: at boot, when a crash takes siblings with it, and at the end."""

from __future__ import annotations

import heapq
import math
from collections import deque

from coordinator.supervision.commands import BecomeReady, Finish
from coordinator.supervision.errors import Refusal
from coordinator.supervision.moves import begin_stop, change, disarm, refuse, spawn
from coordinator.supervision.outcome import Outcome, OutcomeKind
from coordinator.supervision.spec import Restart, Strategy
from coordinator.supervision.state import Goal, Origin, Phase, Procedure, Record, State
from coordinator.supervision.view import ChildState


def boot(state: State, now: float) -> None:
    """Start the children of the specification, each when the one before it is ready."""
    state.since = now
    for spec in state.spec.children:
        record = Record(spec=spec, path=f"{state.path}/{spec.id}", static=True, pending=True)
        # Earlier lives under a supervisor that was itself restarted count.
        record.incarnation = state.lives.get(record.path, 0)
        state.children[spec.id] = record
        change(state, record, ChildState.STOPPED, now)
    state.procedure = Procedure(stops=[], starts=deque(state.children))
    advance(state, now)


def regroup(state: State, culprit: Record, delay_s: float, now: float) -> None:
    """Stop what the strategy says goes down with a child, in reverse order; then start all of it, in order."""
    names = list(state.children)
    first = 0 if state.spec.strategy is Strategy.ONE_FOR_ALL else names.index(culprit.spec.id)
    resume_at = now + delay_s if delay_s > 0 else -math.inf
    waiting: set[str] = set()
    if state.procedure is not None:
        # A second crash while siblings are on their way: one procedure for both, from the earliest that still waits. A
        # sibling that failed to start is the new beginning (rest_for_one): those before it are up and stay up.
        resume_at = max(resume_at, state.procedure.resume_at)
        first = min([first, *(place for place, name in enumerate(names) if state.children[name].pending)])
        # An earlier sibling that is being started right now comes first all the same.
        waiting = state.procedure.waiting.intersection(names[:first])
    culprit.pending = True
    change(state, culprit, ChildState.BACKOFF, now)
    members = [state.children[name] for name in names[first:]]
    for record in members:
        record.pending = _takes_part(record)
    state.procedure = Procedure(
        stops=[record.spec.id for record in members if record.alive and record.state is not ChildState.ABANDONED],
        starts=deque(record.spec.id for record in members if record.pending),
        culprit=culprit.spec.id,
        waiting=waiting,
    )
    hold_until(state, state.procedure, resume_at)
    advance(state, now)


def _takes_part(record: Record) -> bool:
    """Whether a member of a group is to be started again once all of it is down."""
    if record.alive:  # a temporary bystander goes, and does not come back
        return record.goal is not Goal.DOWN and record.spec.restart is not Restart.TEMPORARY
    return record.pending or (record.state is ChildState.STOPPED and not record.held)


def hold_until(state: State, procedure: Procedure, resume_at: float) -> None:
    """Let a procedure start nothing before a moment."""
    procedure.resume_at = resume_at
    if math.isfinite(resume_at):
        state.timer_count += 1
        state.resume_timer = state.timer_count
        heapq.heappush(state.timers, (resume_at, state.timer_count, ""))
    else:
        state.resume_timer = 0


def shutdown(state: State, outcome: Outcome, now: float) -> None:
    """Stop everything, in reverse order; a pool all at once. The first reason stands, but a wish to quit is kept."""
    if state.draining:
        if outcome.kind is OutcomeKind.QUIT:
            state.outcome = outcome
        return
    state.phase = Phase.STOPPING
    state.since = now
    state.outcome = outcome
    state.resume_timer = 0
    for record in state.children.values():
        record.pending = False
        if record.state is ChildState.BACKOFF:
            disarm(record)
            change(state, record, ChildState.STOPPED, now)
        if not record.alive:
            refuse(state, record, record.starters, Refusal.DRAINING)
    state.procedure = Procedure(stops=[name for name, record in state.children.items() if record.alive], starts=deque())
    advance(state, now)


def settle(state: State, name: str, now: float) -> None:
    """A child has got where a procedure wanted it, or will not get there: go on with the next."""
    if state.procedure is not None:
        state.procedure.waiting.discard(name)
        advance(state, now)


def advance(state: State, now: float) -> None:
    """Take the next step of the procedure, if it is not waiting for a child or a moment."""
    procedure = state.procedure
    while procedure is not None and procedure is state.procedure and not procedure.waiting:
        if procedure.stops:
            _stop_next(state, procedure, now)
        elif state.phase is Phase.STOPPING:
            _finish(state, now)
        elif now < procedure.resume_at:
            return
        elif procedure.starts:
            _start_next(state, procedure, now)
        else:
            state.procedure = None
            if state.phase is Phase.BOOTING:
                state.phase = Phase.RUNNING
                state.since = now
                state.commands.append(BecomeReady())


def _stop_next(state: State, procedure: Procedure, now: float) -> None:
    ending = state.phase is Phase.STOPPING
    while procedure.stops:
        record = state.children.get(procedure.stops.pop())
        if record is None or not record.alive or record.state is ChildState.ABANDONED:
            continue
        if ending and state.outcome is not None:
            begin_stop(state, record, Goal.DOWN, state.outcome.reason, now)
        elif record.goal is not Goal.DOWN:
            begin_stop(state, record, Goal.REGROUP, f"restarted with {procedure.culprit}", now)
        procedure.waiting.add(record.spec.id)
        if not (ending and state.pool):
            return


def _start_next(state: State, procedure: Procedure, now: float) -> None:
    record = state.children.get(procedure.starts.popleft())
    if record is None or not record.pending or record.alive:
        return  # removed, stopped by an operator, or abandoned: that one starts when it has ended
    procedure.waiting.add(record.spec.id)
    spawn(state, record, Origin.BOOT if state.phase is Phase.BOOTING and _first(record) else Origin.RESTART, now)


def _first(record: Record) -> bool:
    """Whether a child of the specification has never been up under this supervisor."""
    return record.origin is Origin.BOOT and not record.was_ready


def _finish(state: State, now: float) -> None:
    state.phase = Phase.DONE
    state.since = now
    state.procedure = None
    left = tuple(record.path for record in state.children.values() if record.state is ChildState.ABANDONED)
    outcome = state.outcome or Outcome(OutcomeKind.STOPPED, "stopped")
    state.commands.append(Finish(outcome, left))
