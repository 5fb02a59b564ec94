"""The supervisor's decisions: what an event changes, and what is to be done. No await, no clock, no dice, no I/O."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coordinator.supervision.commands import Answer, Command, Hurry, Inspect
from coordinator.supervision.errors import Refusal
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
    StartChild,
    StopRequested,
    Stuck,
    TerminateChild,
    Tick,
)
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.moves import (
    answer,
    arm,
    cancel,
    change,
    come_to_rest,
    disarm,
    emit,
    kill,
    note_failed_stop,
    refuse,
    spawn,
)
from coordinator.supervision.order import advance, boot, settle, shutdown
from coordinator.supervision.outcome import Outcome, OutcomeKind
from coordinator.supervision.reports import ReportKind
from coordinator.supervision.requests import by_name, start_child
from coordinator.supervision.restart import ended_by_itself, fail_boot, needed_at_boot, start_failed
from coordinator.supervision.spec import SupervisorSpec
from coordinator.supervision.state import Goal, Origin, Record, State, TimerKind
from coordinator.supervision.view import ChildState

Draw = Callable[[], float]
"""A number in [0, 1), each call another."""


def decide(state: State, event: Event, now: float, draw: Draw) -> list[Command]:
    """Apply one event to the state, in place, and return what is to be done, in order.

    `now` is in seconds and never goes back. The same state, event, time and draws give the same commands.
    """
    _HANDLERS[type(event)](state, event, now, draw)
    commands, state.commands = state.commands, []
    return commands


def _boot(state: State, _event: Boot, now: float, _draw: Draw) -> None:
    boot(state, now)


def _ready(state: State, event: Ready, now: float, _draw: Draw) -> None:
    record = _living(state, event.child, event.incarnation)
    if record is None or record.state is not ChildState.STARTING:
        return
    disarm(record)
    record.was_ready = True
    record.ready_at = now
    change(state, record, ChildState.RUNNING, now)
    emit(state, ReportKind.PROGRESS, record, "ready")
    answer(state, record.starters, event.value)
    settle(state, record.spec.id, now)


def _impaired(state: State, event: Impaired, _now: float, _draw: Draw) -> None:
    record = _living(state, event.child, event.incarnation)
    if record is not None:
        record.degraded = event.reason
        state.touched[record.spec.id] = None


def _ended(state: State, event: Ended, now: float, draw: Draw) -> None:
    record = _living(state, event.child, event.incarnation)
    if record is None:
        return
    disarm(record)
    record.degraded = None
    enders, record.enders = record.enders, []
    abandoned = record.state is ChildState.ABANDONED
    change(state, record, ChildState.STOPPED, now)
    if state.procedure is not None:
        # Before the decision: it may begin another procedure, which then waits for the child's next life.
        state.procedure.waiting.discard(event.child)
    _after(state, record, event.exit, now, draw, abandoned=abandoned)
    answer(state, enders)
    advance(state, now)


def _after(state: State, record: Record, exit_: Exit, now: float, draw: Draw, *, abandoned: bool) -> None:
    """Decide what the end of a life means. The child is down, and its former state no longer matters but once."""
    goal, record.goal = record.goal, None
    if exit_.kind is ExitKind.QUIT:
        record.last_error = exit_.reason
        reason = f"{record.path}: {exit_.reason}"
        shutdown(
            state,
            Outcome(OutcomeKind.QUIT, reason, record.path, interrupted=exit_.interrupted, code=exit_.code),
            now,
        )
    if state.draining:
        _down(state, record, exit_, now, Refusal.DRAINING)
    elif goal is Goal.DOWN:
        record.held = True
        _down(state, record, exit_, now, Refusal.STOPPING)
    elif goal is Goal.REGROUP or record.pending:
        _out_of_the_way(state, record, exit_, now, abandoned=abandoned)
    else:
        if goal in (Goal.KILLED, Goal.NOT_READY):
            told = record.why if exit_.kind is ExitKind.STOPPED else f"{record.why}; then {exit_.reason}"
            exit_ = replace(exit_, kind=ExitKind.CRASH, reason=told)
        after = ended_by_itself if record.was_ready else start_failed
        after(state, record, exit_, now, draw())


def _down(state: State, record: Record, exit_: Exit, now: float, told: Refusal) -> None:
    """A child that was to stop has stopped."""
    note_failed_stop(state, record, exit_)
    refuse(state, record, record.starters, told)
    record.pending = False
    come_to_rest(state, record, now)


def _out_of_the_way(state: State, record: Record, exit_: Exit, now: float, *, abandoned: bool) -> None:
    """A child that is restarted with a sibling has stopped; or crashed just before, which changes nothing."""
    note_failed_stop(state, record, exit_)
    if not record.pending:
        refuse(state, record, record.starters, Refusal.STOPPING)
        come_to_rest(state, record, now)
    elif abandoned and not (state.procedure is not None and record.spec.id in state.procedure.starts):
        # Its siblings went on without it.
        spawn(state, record, Origin.RESTART, now)


def _stuck(state: State, event: Stuck, now: float, _draw: Draw) -> None:
    record = _living(state, event.child, event.incarnation)
    if record is None or record.state is ChildState.ABANDONED:
        return
    disarm(record)
    change(state, record, ChildState.ABANDONED, now)
    record.last_error = f"abandoned: still alive after it was cancelled, {event.where}"
    emit(state, ReportKind.SHUTDOWN_ERROR, record, record.last_error)
    refuse(state, record, record.enders, Refusal.ABANDONED, event.where)
    refuse(state, record, record.starters, Refusal.ABANDONED, event.where)
    booting = record.origin is Origin.BOOT and not record.was_ready and not state.draining
    if booting and needed_at_boot(state, record):
        fail_boot(state, record, f"{record.why}; {record.last_error}", "", now)
    settle(state, record.spec.id, now)


def _stop_requested(state: State, event: StopRequested, now: float, _draw: Draw) -> None:
    state.grace_cap_s = min(state.grace_cap_s, event.grace_s)
    for record in state.children.values():
        if record.state is not ChildState.STOPPING or record.timer_kind is TimerKind.CANCEL:
            continue
        if isinstance(record.spec.start, SupervisorSpec):
            state.commands.append(Hurry(record.spec.id, event.reason, state.grace_cap_s))
        else:
            arm(state, record, TimerKind.GRACE, min(record.timer_due, now + state.grace_cap_s))
    shutdown(state, Outcome(OutcomeKind.STOPPED, event.reason), now)


def _start_child(state: State, event: StartChild, now: float, _draw: Draw) -> None:
    start_child(state, event, now)


def _by_name(
    state: State, event: TerminateChild | RestartChild | DeleteChild | ResetChild | CrashChild, now: float, _draw: Draw
) -> None:
    by_name(state, event, now)


def _ping(state: State, event: Ping, _now: float, _draw: Draw) -> None:
    state.commands.append(Answer(event.ref))


def _tick(state: State, _event: Tick, now: float, _draw: Draw) -> None:
    while state.next_due() <= now:
        _, _, name = heapq.heappop(state.timers)
        if name:
            _timer(state, state.children[name], now)
        else:
            state.resume_timer = 0
            advance(state, now)


def _timer(state: State, record: Record, now: float) -> None:
    kind = record.timer_kind
    disarm(record)
    if kind is TimerKind.RETRY:
        spawn(state, record, Origin.RESTART, now)
    elif kind is TimerKind.START:
        kill(state, record, Goal.NOT_READY, f"not ready within {record.spec.start_timeout_s:g} s", now)
    elif kind is TimerKind.GRACE:
        cancel(state, record, now)
    elif kind is TimerKind.CANCEL:
        state.commands.append(Inspect(record.spec.id, record.incarnation))


def _living(state: State, name: str, incarnation: int) -> Record | None:
    """The child an event is about, if that life of it still goes on."""
    record = state.children.get(name)
    return record if record is not None and record.incarnation == incarnation and record.alive else None


_HANDLERS: dict[type[Event], Callable[[State, Any, float, Draw], None]] = {
    Boot: _boot,
    Tick: _tick,
    Ready: _ready,
    Impaired: _impaired,
    Ended: _ended,
    Stuck: _stuck,
    StopRequested: _stop_requested,
    StartChild: _start_child,
    TerminateChild: _by_name,
    RestartChild: _by_name,
    DeleteChild: _by_name,
    ResetChild: _by_name,
    CrashChild: _by_name,
    Ping: _ping,
}
