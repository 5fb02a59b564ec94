"""The single moves of one child."""

from __future__ import annotations

import math

from coordinator.supervision import Restart, SupervisorSpec
from coordinator.supervision.commands import Cancel, Spawn
from coordinator.supervision.events import StopRequested, TerminateChild
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.reports import ReportKind
from tests.unit.supervision.desk import Desk, child, never


def test_a_polite_stop_has_two_phases() -> None:
    """A child is asked, then cancelled when its grace is over, then looked for when it still has not ended."""
    desk = Desk(SupervisorSpec("root", (child("a", stop_timeout_s=2.0),)))
    desk.boot()
    desk.put(TerminateChild(1, "a"))
    assert (desk.asked, desk.cancelled) == (["a"], [])
    assert [type(one) for one in desk.wait(2.0)] == [Cancel]
    assert [type(one).__name__ for one in desk.wait(5.0)] == ["Inspect"]


def test_no_grace_cancels_at_once() -> None:
    """A child without grace is never asked."""
    desk = Desk(SupervisorSpec("root", (child("a", stop_timeout_s=0),)))
    desk.boot()
    desk.put(TerminateChild(1, "a"))
    assert (desk.asked, desk.cancelled) == ([], ["a"])


def test_infinite_grace_never_cancels() -> None:
    """A child with all the time in the world is asked, and waited for."""
    desk = Desk(SupervisorSpec("root", (child("a", stop_timeout_s=math.inf),)))
    desk.boot()
    desk.put(TerminateChild(1, "a"))
    assert desk.state.next_due() == math.inf


def test_a_running_temporary_child_is_not_kept_startable() -> None:
    """The record of a temporary child lets go of its start function, which its body alone still needs."""
    desk = Desk(SupervisorSpec("root"))
    desk.add(1, child("t", Restart.TEMPORARY))
    (spawn,) = (one for one in desk.latest if isinstance(one, Spawn))
    assert spawn.spec.start is never
    assert desk.child("t").spec.start is not never
    assert desk.child("t").spec.id == "t"


def test_a_failed_stop_is_reported() -> None:
    """A child that raises while it is stopped is a shutdown error, and down all the same."""
    desk = Desk(SupervisorSpec("root", (child("a"),)))
    desk.boot()
    desk.put(StopRequested("enough"))
    desk.end("a", Exit(ExitKind.STOP_ERROR, "OSError: cannot flush"))
    assert desk.reported == [ReportKind.SHUTDOWN_ERROR]
    assert desk.states() == {"a": "stopped"}
