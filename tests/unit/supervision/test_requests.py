"""What operators may ask; the whole life cycle is in tests/conformance."""

from __future__ import annotations

import pytest

from coordinator.supervision import Backoff, Refusal, Strategy, SupervisorSpec
from coordinator.supervision.events import (
    CrashChild,
    DeleteChild,
    ResetChild,
    RestartChild,
    StopRequested,
    Stuck,
    TerminateChild,
)
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.reports import ReportKind
from tests.unit.supervision.desk import Desk, child

SLOW = Backoff(minimum_s=10.0, maximum_s=10.0, factor=1.0)


def booted(strategy: Strategy = Strategy.ONE_FOR_ONE) -> Desk:
    """Two children up."""
    desk = Desk(SupervisorSpec("root", (child("a", backoff=SLOW), child("b")), strategy))
    desk.boot()
    return desk


def abandoned() -> Desk:
    """One child that was cancelled and did not end."""
    desk = booted()
    desk.put(TerminateChild(1, "a"))
    desk.wait(10.0)
    desk.put(Stuck("a", 1, "waiting at x"))
    return desk


def test_an_abandoned_child_is_left_alone() -> None:
    """Who waited for its end is refused, and so is everyone who asks for anything, until it has ended."""
    desk = abandoned()
    assert desk.refused == [Refusal.ABANDONED]
    for ask in (TerminateChild, RestartChild, DeleteChild, CrashChild):
        desk.put(ask(2, "a"))
        assert desk.refused == [Refusal.ABANDONED]
    desk.end("a")
    assert desk.states()["a"] == "stopped"
    desk.put(RestartChild(3, "a"))
    assert desk.spawned == ["a"]


def test_all_who_wait_for_an_end_are_answered() -> None:
    """Two operators who stop the same child are both answered when it has ended, and asked it once."""
    desk = booted()
    desk.put(TerminateChild(1, "a"))
    desk.put(TerminateChild(2, "a"))
    assert desk.asked == []
    desk.end("a")
    assert desk.answered == [1, 2]


def test_whoever_waits_for_a_start_is_told_when_it_is_stopped() -> None:
    """A child that is terminated while it starts refuses the operator who started it."""
    desk = Desk(SupervisorSpec("root"))
    desk.add(1, child("a"))
    desk.put(TerminateChild(2, "a"))
    desk.end("a")
    assert (desk.refused, desk.answered) == ([Refusal.STOPPING], [2])


def test_a_killed_child_counts_as_crashed() -> None:
    """Ending a body from outside is a crash, whatever the body makes of it, and its asker is told at the end."""
    desk = booted()
    desk.put(CrashChild(1, "b"))
    assert (desk.asked, desk.cancelled) == ([], ["b"])
    desk.end("b", Exit(ExitKind.STOP_ERROR, "OSError: cannot flush"))
    assert desk.reported == [ReportKind.CHILD_TERMINATED]
    assert desk.child("b").last_error == "killed from outside; then OSError: cannot flush"
    assert (desk.spawned, desk.answered) == (["b"], [1])


def test_reset_cuts_a_delay_short() -> None:
    """A child that waits for its restart starts at once, and its asker is told when it is ready."""
    desk = booted()
    desk.crash("a")
    desk.all_ready()
    desk.crash("a")
    assert desk.states()["a"] == "backoff"
    desk.put(ResetChild(7, "a"))
    assert desk.spawned == ["a"]
    assert desk.ready("a")
    assert desk.answered == [7]
    desk.crash("a")  # forgiven: the next restart is the first again
    assert desk.spawned == ["a"]


def test_reset_of_the_cause_of_a_restart_of_several() -> None:
    """Its siblings and itself start at once, in order."""
    desk = booted(Strategy.ONE_FOR_ALL)
    for _ in range(2):
        desk.crash("a")
        desk.end("b")
        desk.all_ready()
    assert desk.states() == {"a": "backoff", "b": "stopped"}
    desk.put(ResetChild(7, "a"))
    assert desk.spawned == ["a"]
    desk.ready("a")
    assert (desk.answered, desk.spawned) == ([7], ["b"])


@pytest.mark.parametrize("ask", [RestartChild, DeleteChild, ResetChild])
def test_a_stopping_supervisor_refuses(ask: type[RestartChild | DeleteChild | ResetChild]) -> None:
    """While it stops it changes nothing for anyone, but answers who waits for an end."""
    desk = booted()
    desk.put(StopRequested("enough"))
    desk.put(ask(1, "a"))
    assert desk.refused == [Refusal.DRAINING]
    desk.add(2, child("new"))
    assert desk.refused == [Refusal.DRAINING]
    desk.put(TerminateChild(3, "b"))
    desk.end("b")
    assert desk.answered == [3]
