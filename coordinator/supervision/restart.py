"""Whether a child that ended is started again, when, and what happens instead: removal, quarantine or escalation."""

from __future__ import annotations

from coordinator.supervision.budget import Budget
from coordinator.supervision.errors import Refusal
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.moves import arm, change, come_to_rest, emit, refuse, remove, spawn
from coordinator.supervision.order import regroup, shutdown
from coordinator.supervision.outcome import Outcome, OutcomeKind
from coordinator.supervision.reports import ReportKind
from coordinator.supervision.spec import AutoShutdown, Restart, Strategy
from coordinator.supervision.state import Origin, Phase, Record, State, TimerKind
from coordinator.supervision.view import ChildState

GROUPED = (Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)  # a tuple: an enum's hash costs more than two comparisons


def ended_by_itself(state: State, record: Record, exit_: Exit, now: float, draw: float) -> None:
    """A child that was ready has ended, and nobody asked it to."""
    restart = record.spec.restart
    crashed = exit_.kind not in (ExitKind.NORMAL, ExitKind.SHUTDOWN, ExitKind.DECLINED)
    if crashed:
        record.last_error = exit_.reason
    if crashed or restart is Restart.PERMANENT:
        emit(state, ReportKind.CHILD_TERMINATED, record, exit_.reason, exit_.detail)
    if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and crashed):
        again(state, record, exit_, now, draw)
        return
    record.finished = True
    come_to_rest(state, record, now)
    _auto_shutdown(state, record, now)


def _auto_shutdown(state: State, record: Record, now: float) -> None:
    mode = state.spec.auto_shutdown
    if mode is AutoShutdown.NEVER or not record.spec.significant:
        return
    others = (other for other in state.children.values() if other.spec.significant and other is not record)
    if mode is AutoShutdown.ALL_SIGNIFICANT and any(
        other.alive or other.pending or other.state is ChildState.BACKOFF for other in others
    ):
        return
    shutdown(state, Outcome(OutcomeKind.AUTO_SHUTDOWN, f"{record.path} has ended", record.path), now)


def start_failed(state: State, record: Record, exit_: Exit, now: float, draw: float) -> None:
    """A child has ended before it was ready; what that means depends on why it was started."""
    if exit_.kind is ExitKind.DECLINED:
        record.finished = True
        refuse(state, record, record.starters, Refusal.DECLINED, exit_.reason)
        come_to_rest(state, record, now)
        return
    cause = exit_.reason if exit_.kind is not ExitKind.NORMAL else "returned without saying that it was ready"
    record.last_error = cause
    emit(state, ReportKind.START_ERROR, record, cause, exit_.detail)
    refuse(state, record, record.starters, Refusal.START_FAILED, f"{cause}\n{exit_.detail}".rstrip())
    if record.origin is Origin.DYNAMIC:
        remove(state, record)
    elif record.origin is Origin.MANUAL:
        record.held = True
        come_to_rest(state, record, now)
    elif record.origin is Origin.BOOT and needed_at_boot(state, record):
        fail_boot(state, record, cause, exit_.detail, now)
    elif record.spec.restart is Restart.TEMPORARY:
        remove(state, record)
    else:
        again(state, record, exit_, now, draw)


def needed_at_boot(state: State, record: Record) -> bool:
    """Whether the supervisor cannot start without this child."""
    return record.spec.critical or state.spec.strict_start


def fail_boot(state: State, record: Record, cause: str, detail: str, now: float) -> None:
    """Stop what was started, and fail."""
    if not record.alive:
        come_to_rest(state, record, now)
    shutdown(state, Outcome(OutcomeKind.START_FAILED, cause, record.path, detail), now)


def again(state: State, record: Record, exit_: Exit, now: float, draw: float) -> None:
    """Start a child again now or later, unless that would be once too often. Every attempt counts."""
    spec = record.spec
    lived_s = now - record.ready_at if record.was_ready else 0.0
    record.short_lives = 1 if lived_s >= spec.backoff.reset_after_s else record.short_lives + 1
    state.history.append(f"{record.path}#{record.incarnation}: {exit_.reason}")
    excess = _excess(state, record, exit_, now)
    if excess:
        _too_often(state, record, excess, exit_.detail, now)
        return
    delay_s = spec.backoff.delay_s(record.short_lives, draw)
    # A child that is not needed and does not start holds nobody up: its siblings run on without it.
    alone = not record.was_ready and not spec.critical
    if state.spec.strategy in GROUPED and not alone:
        regroup(state, record, delay_s, now)
    elif delay_s > 0:
        change(state, record, ChildState.BACKOFF, now)
        arm(state, record, TimerKind.RETRY, now + delay_s)
    else:
        spawn(state, record, Origin.RESTART, now)


def _excess(state: State, record: Record, exit_: Exit, now: float) -> str:
    """Why this child may not be restarted; empty when it may."""
    if exit_.hopeless:
        return f"no restart can mend it: {exit_.reason}"
    backoff = record.spec.backoff
    if record.short_lives > backoff.max_short_lives:
        return f"{record.short_lives} lives in a row shorter than {backoff.reset_after_s:g} s: {exit_.reason}"
    if not _budget(state, record).spend(now):
        return f"more than {state.spec.intensity} restarts in {state.spec.period_s:g} s: {exit_.reason}"
    return ""


def _budget(state: State, record: Record) -> Budget:
    """Critical children share the supervisor's; any other has its own, so that its crash loop costs only itself."""
    if record.spec.critical:
        return state.budget
    if record.budget is None:
        record.budget = Budget(state.spec.intensity, state.spec.period_s)
    return record.budget


def _too_often(state: State, record: Record, excess: str, detail: str, now: float) -> None:
    record.last_error = excess
    if record.spec.critical:
        emit(state, ReportKind.SHUTDOWN, record, f"giving up: {excess}")
        change(state, record, ChildState.STOPPED, now)
        kind = OutcomeKind.START_FAILED if state.phase is Phase.BOOTING else OutcomeKind.ESCALATED
        shutdown(state, Outcome(kind, excess, record.path, detail, tuple(state.history)), now)
    else:
        emit(state, ReportKind.SHUTDOWN, record, f"quarantined: {excess}")
        come_to_rest(state, record, now, ChildState.QUARANTINED)
