"""Health is a fold of the snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.supervision import ChildState, ChildView, Health, Snapshot, health

UP = ChildView("root", "root", "supervisor", ChildState.RUNNING, critical=True, incarnation=1, restarts=0, since=0.0)


def view(path: str, state: ChildState = ChildState.RUNNING, *children: ChildView, critical: bool = True) -> ChildView:
    """A child as it looks."""
    name = path.rpartition("/")[2]
    kind = "supervisor" if children else "worker"
    return replace(UP, id=name, path=path, kind=kind, state=state, critical=critical, children=children)


def of(*children: ChildView, state: ChildState = ChildState.RUNNING) -> Health:
    """The health of a tree."""
    return health(Snapshot(replace(UP, state=state, children=children)))


def test_all_up() -> None:
    """When everything runs the process is healthy; an empty tree is, too."""
    assert of() == of(view("root/a")) == Health(live=True, ready=True, degraded=(), status="healthy")


@pytest.mark.parametrize("state", [ChildState.STARTING, ChildState.STOPPING])
def test_not_ready_while_it_starts_or_stops(state: ChildState) -> None:
    """Ready is false before every child has had its turn and as soon as a stop has begun."""
    told = of(view("root/a"), state=state)
    assert (told.live, told.ready, told.status) == (True, False, "unhealthy")


@pytest.mark.parametrize("state", [state for state in ChildState if state is not ChildState.RUNNING])
def test_a_critical_child_that_is_down(state: ChildState) -> None:
    """A critical child in any state but running makes the process not ready; only an abandoned one not live."""
    told = of(view("root/a", state))
    assert not told.ready
    assert told.live is (state is not ChildState.ABANDONED)
    assert told.degraded == (f"root/a: {state.value}",)


def test_a_child_that_is_not_critical() -> None:
    """One that is not critical only degrades, and says why."""
    down = replace(view("root/a", ChildState.QUARANTINED, critical=False), last_error="ValueError: boom")
    assert of(down) == Health(True, True, ("root/a: quarantined: ValueError: boom",), "degraded")


def test_criticality_ends_at_a_supervisor_that_is_not_critical() -> None:
    """A critical child of a supervisor that is not critical does not make the process unready."""
    inner = view("root/s", ChildState.RUNNING, view("root/s/a", ChildState.BACKOFF), critical=False)
    assert of(inner).ready
    assert of(inner).degraded == ("root/s/a: backoff",)


def test_impaired_children() -> None:
    """A running child that says it is impaired degrades; a dead database never makes the process not live."""
    told = of(replace(view("root/data"), degraded="postgres does not answer"))
    assert told == Health(True, True, ("root/data: postgres does not answer",), "degraded")


def test_finished_children_are_no_defect() -> None:
    """A child that ended by itself as it may is down, and nothing is wrong."""
    assert of(replace(view("root/once", ChildState.STOPPED), finished=True)).status == "healthy"
