"""Whether a child is started again, and what happens instead."""

from __future__ import annotations

from coordinator.supervision import Backoff, Restart, Strategy, SupervisorSpec
from coordinator.supervision.commands import Emit
from coordinator.supervision.events import Boot
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.outcome import OutcomeKind
from coordinator.supervision.reports import ReportKind
from tests.unit.supervision.desk import Desk, child

SLOW = Backoff(minimum_s=10.0, maximum_s=10.0, factor=1.0)
NO_START = Exit(ExitKind.CRASH, "OSError: in use")


def test_one_crash_too_many_escalates() -> None:
    """A critical child over budget is reported, all others are stopped, and the outcome tells the latest ends."""
    desk = Desk(SupervisorSpec("root", (child("a"), child("b")), intensity=1))
    desk.boot()
    desk.crash("b")
    desk.all_ready()
    desk.crash("b")
    assert desk.reported == [ReportKind.CHILD_TERMINATED, ReportKind.SHUTDOWN]
    assert desk.asked == ["a"]
    desk.end("a")
    assert desk.outcome is not None
    assert desk.outcome.kind is OutcomeKind.ESCALATED
    assert desk.outcome.history == ("root/b#1: ValueError: boom", "root/b#2: ValueError: boom")


def test_children_that_are_not_critical_have_their_own_budget() -> None:
    """The crash loop of one that is not critical ends in its quarantine and leaves the supervisor's budget whole."""
    desk = Desk(SupervisorSpec("root", (child("a"), child("x", critical=False)), intensity=1))
    desk.boot()
    for _ in range(2):
        desk.crash("x")
        desk.all_ready()
    assert desk.states() == {"a": "running", "x": "quarantined"}
    desk.crash("a")
    desk.all_ready()
    assert desk.states()["a"] == "running"


def test_a_delay_is_drawn_and_waited_for() -> None:
    """The second crash in a row waits for the drawn share of the cap."""
    desk = Desk(SupervisorSpec("root", (child("a", backoff=SLOW),)), draw=0.25)
    desk.boot()
    desk.crash("a")
    assert desk.spawned == ["a"]
    desk.all_ready()
    desk.crash("a")
    assert desk.states() == {"a": "backoff"}
    desk.wait(2.4)
    assert desk.states() == {"a": "backoff"}
    desk.wait(0.2)
    assert desk.states() == {"a": "starting"}


def test_a_failed_boot_stops_what_was_started() -> None:
    """A critical child that does not start fails the boot: the ones before are stopped, the ones after not begun."""
    desk = Desk(SupervisorSpec("root", (child("a"), child("b"), child("c"))))
    desk.put(Boot())
    desk.ready("a")
    desk.end("b", NO_START)
    assert desk.reported == [ReportKind.START_ERROR]
    assert desk.asked == ["a"]
    desk.end("a")
    assert desk.outcome is not None
    assert (desk.outcome.kind, desk.outcome.child) == (OutcomeKind.START_FAILED, "root/b")
    assert desk.child("c").incarnation == 0


def test_boot_goes_on_without_what_is_not_critical() -> None:
    """One that is not critical and does not start is retried on its own while the rest starts."""
    desk = Desk(SupervisorSpec("root", (child("x", critical=False, backoff=SLOW), child("b"))))
    desk.put(Boot())
    desk.end("x", NO_START)
    assert desk.spawned == ["x", "b"]
    desk.ready("b")
    desk.end("x", NO_START)
    assert desk.states() == {"x": "backoff", "b": "running"}


def test_a_failed_start_of_what_is_not_critical_takes_nobody_along() -> None:
    """one_for_all: its crash restarts all, but if it then does not start, the others run on without it."""
    children = (child("a"), child("x", critical=False))
    desk = Desk(SupervisorSpec("root", children, Strategy.ONE_FOR_ALL))
    desk.boot()
    desk.crash("x")
    desk.end("a")
    desk.ready("a")
    desk.end("x", NO_START)
    assert desk.states() == {"a": "running", "x": "starting"}
    assert desk.child("a").incarnation == 2


def test_a_deliberate_stop_before_ready_is_a_failed_start() -> None:
    """Only Declined says no without an error."""
    desk = Desk(SupervisorSpec("root", (child("a"),)))
    desk.put(Boot())
    desk.end("a", Exit(ExitKind.SHUTDOWN, "DeliberateStop"))
    assert desk.reported == [ReportKind.START_ERROR]


def test_restarts_are_counted_and_reported_with_the_life() -> None:
    """A report names which life ended and how many restarts there were before."""
    desk = Desk(SupervisorSpec("root", (child("a", Restart.TRANSIENT),)))
    desk.boot()
    desk.crash("a")
    desk.all_ready()
    desk.crash("a")
    (report,) = (
        one.report for one in desk.latest if isinstance(one, Emit) and one.report.kind is ReportKind.CHILD_TERMINATED
    )
    assert (report.offender.incarnation, report.offender.restarts, report.detail) == (2, 1, "the stack")
