"""The single moves of one child: begin a life, begin its end, forget it, tell those who wait. No policy, no order."""

from __future__ import annotations

import heapq
import math
from dataclasses import replace

from coordinator.supervision.commands import Answer, AskStop, Cancel, Emit, Refuse, Spawn
from coordinator.supervision.errors import Refusal
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.reports import Report, ReportKind, offender
from coordinator.supervision.spec import ChildContext, Restart, SupervisorSpec
from coordinator.supervision.state import Goal, Origin, Record, State, TimerKind
from coordinator.supervision.view import ChildState


def change(state: State, record: Record, to: ChildState, now: float) -> None:
    """Put a child into a state."""
    record.state = to
    record.since = now
    state.touched[record.spec.id] = None


def arm(state: State, record: Record, kind: TimerKind, due: float) -> None:
    """Give a child its one timer; an infinite one is none."""
    if math.isinf(due):
        disarm(record)
        return
    state.timer_count += 1
    record.timer = state.timer_count
    record.timer_kind = kind
    record.timer_due = due
    heapq.heappush(state.timers, (due, state.timer_count, record.spec.id))


def disarm(record: Record) -> None:
    """Void a child's timer."""
    record.timer = 0
    record.timer_kind = None
    record.timer_due = math.inf


def spawn(state: State, record: Record, origin: Origin, now: float) -> None:
    """Begin a life of a child whose former one has ended."""
    spec = record.spec
    record.origin = origin
    record.goal = None
    record.was_ready = record.pending = record.held = record.finished = False
    record.degraded = None
    if record.static:
        record.incarnation = state.lives.get(record.path, 0) + 1
        state.lives[record.path] = record.incarnation
    else:
        record.incarnation += 1
    record.restarts += origin is Origin.RESTART
    record.about = None
    change(state, record, ChildState.STARTING, now)
    arm(state, record, TimerKind.START, now + spec.start_timeout_s)
    state.commands.append(Spawn(spec.id, record.incarnation, record.path, spec))
    if spec.restart is Restart.TEMPORARY and not isinstance(spec.start, SupervisorSpec):
        # It is never started again: what it was started with belongs to its body alone, which may let go of it.
        record.spec = replace(spec, start=_spent)


async def _spent(context: ChildContext) -> None:
    """Stands where the start function of a running temporary child was."""


def begin_stop(state: State, record: Record, goal: Goal, why: str, now: float) -> None:
    """Ask a living child to stop, or cancel it when it has no grace; one being stopped already only gets a new goal."""
    record.goal = goal
    record.why = why
    if record.state is ChildState.STOPPING:
        return
    change(state, record, ChildState.STOPPING, now)
    nested = isinstance(record.spec.start, SupervisorSpec)
    grace = record.spec.stop_timeout_s if nested else min(record.spec.stop_timeout_s, state.grace_cap_s)
    if record.spec.stop_timeout_s == 0:
        cancel(state, record, now)
        return
    state.commands.append(AskStop(record.spec.id, why, state.grace_cap_s))
    arm(state, record, TimerKind.GRACE, now + grace)


def cancel(state: State, record: Record, now: float) -> None:
    """Cancel a child's body, and give it a deadline to end."""
    state.commands.append(Cancel(record.spec.id, record.why))
    arm(state, record, TimerKind.CANCEL, now + record.spec.cancel_timeout_s)


def kill(state: State, record: Record, goal: Goal, why: str, now: float) -> None:
    """Cancel a child without asking it first."""
    record.goal = goal
    record.why = why
    change(state, record, ChildState.STOPPING, now)
    cancel(state, record, now)


def come_to_rest(state: State, record: Record, now: float, to: ChildState = ChildState.STOPPED) -> None:
    """A child is down and stays so for now; what leaves no spec behind is forgotten."""
    disarm(record)
    if state.forgets(record) and to is ChildState.STOPPED:
        remove(state, record)
    else:
        change(state, record, to, now)


def remove(state: State, record: Record) -> None:
    """Forget a child and its spec."""
    disarm(record)
    name = record.spec.id
    del state.children[name]
    state.touched.pop(name, None)
    state.removed.append(name)


def answer(state: State, refs: list[int], value: object = None) -> None:
    """Serve all who wait, and empty the list."""
    state.commands.extend(Answer(ref, value) for ref in refs)
    refs.clear()


def refuse(state: State, record: Record, refs: list[int], reason: Refusal, cause: str = "") -> None:
    """Refuse all who wait, and empty the list."""
    state.commands.extend(Refuse(ref, record.path, reason, cause) for ref in refs)
    refs.clear()


def emit(state: State, kind: ReportKind, record: Record, reason: str, detail: str = "") -> None:
    """Report on a child."""
    if record.about is None:
        record.about = offender(record.spec, record.path, record.incarnation, record.restarts)
    state.commands.append(Emit(Report(kind, state.path, reason, detail, record.about)))


def note_failed_stop(state: State, record: Record, exit_: Exit) -> None:
    """Report the end of a child that was being stopped, if it failed in doing so."""
    if exit_.kind in (ExitKind.STOP_ERROR, ExitKind.CRASH):
        record.last_error = exit_.reason
        emit(state, ReportKind.SHUTDOWN_ERROR, record, exit_.reason, exit_.detail)
