"""Health as a pure fold of a snapshot: no probing, no waiting, so that it is true to the tree at every moment."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.supervision.view import ChildState, ChildView, Snapshot

_MENDED_BY_US = frozenset({ChildState.STARTING, ChildState.BACKOFF, ChildState.STOPPING})
"""Down, and coming back without anybody's help."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a process says about itself.

    `live`: nothing is abandoned; only ending the process helps when this is false.
    `ready`: every critical child runs and is ready, and no stop has begun.
    `degraded`: one line per child that is down or impaired, in tree order.
    `status`: `unhealthy` when only a person or a new process helps (not live, the tree is starting or stopping, or a
    critical child is down for good); `degraded` when there are reasons, a critical child that is being restarted among
    them (see docs/decisions/0001); else `healthy`.
    """

    live: bool
    ready: bool
    degraded: tuple[str, ...]
    status: str


def health(snapshot: Snapshot) -> Health:
    """Fold a snapshot. A child is critical when it and all supervisors above it are."""
    live = True
    mending = True
    ready = snapshot.root.state is ChildState.RUNNING
    reasons: list[str] = []
    pending = [(child, True) for child in reversed(snapshot.root.children)]
    while pending:
        view, critical_above = pending.pop()
        critical = critical_above and view.critical
        live = live and view.state is not ChildState.ABANDONED
        if view.state is not ChildState.RUNNING and not view.finished:
            ready = ready and not critical
            mending = mending and not (critical and view.state not in _MENDED_BY_US)
            reasons.append(_down(view))
        elif view.state is ChildState.RUNNING and view.degraded is not None:
            reasons.append(f"{view.path}: {view.degraded}")
        pending.extend((child, critical) for child in reversed(view.children))
    impaired = "degraded" if reasons else "healthy"
    status = impaired if live and mending and snapshot.root.state is ChildState.RUNNING else "unhealthy"
    return Health(live=live, ready=ready, degraded=tuple(reasons), status=status)


def _down(view: ChildView) -> str:
    return f"{view.path}: {view.state.value}" + (f": {view.last_error}" if view.last_error else "")
