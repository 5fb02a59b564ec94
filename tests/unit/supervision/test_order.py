"""In which order children are stopped and started."""

from __future__ import annotations

import pytest

from coordinator.supervision import Backoff, Restart, Strategy, SupervisorSpec
from coordinator.supervision.commands import BecomeReady
from coordinator.supervision.events import Boot, StopRequested, TerminateChild
from coordinator.supervision.exits import Exit, ExitKind
from coordinator.supervision.outcome import OutcomeKind
from tests.unit.supervision.desk import Desk, child

SLOW = Backoff(minimum_s=10.0, maximum_s=10.0, factor=1.0)


def desk_of(strategy: Strategy, *names: str, backoff: Backoff | None = None) -> Desk:
    """A booted supervisor of permanent workers that stands fifty crashes."""
    children = tuple(child(name, backoff=backoff or Backoff(minimum_s=0.0)) for name in names)
    desk = Desk(SupervisorSpec("root", children, strategy, intensity=50))
    desk.boot()
    return desk


def test_boot_starts_one_after_the_other() -> None:
    """Each child starts when the one before it is ready; then the supervisor is."""
    desk = Desk(SupervisorSpec("root", (child("a"), child("b"))))
    desk.put(Boot())
    assert desk.spawned == ["a"]
    desk.ready("a")
    assert desk.spawned == ["b"]
    assert not any(isinstance(one, BecomeReady) for one in desk.commands)
    desk.ready("b")
    assert isinstance(desk.latest[-1], BecomeReady)


def test_shutdown_is_reverse_and_one_at_a_time() -> None:
    """Each child is asked when the one after it has ended."""
    desk = desk_of(Strategy.ONE_FOR_ONE, "a", "b", "c")
    desk.put(StopRequested("enough"))
    for name, before in (("c", "b"), ("b", "a")):
        assert desk.states()[name] == "stopping"
        desk.end(name)
        assert desk.asked == [before]
    desk.end("a")
    assert desk.outcome is not None
    assert desk.outcome.kind is OutcomeKind.STOPPED


def test_a_second_crash_joins_the_restart_under_way() -> None:
    """rest_for_one: an earlier sibling that crashes while later ones are on their way takes all along, once."""
    desk = desk_of(Strategy.REST_FOR_ONE, "a", "b", "c", "d")
    desk.crash("c")
    assert desk.asked == ["d"]
    desk.crash("b")
    desk.end("d")
    assert desk.spawned == ["b"]
    desk.ready("b")
    assert desk.spawned == ["c"]
    desk.ready("c")
    assert desk.spawned == ["d"]
    desk.ready("d")
    assert [desk.child(name).incarnation for name in "abcd"] == [1, 2, 2, 2]


def test_siblings_wait_out_the_delay_of_the_one_that_crashed() -> None:
    """one_for_all: all are down until the delay is over; then they start in order."""
    desk = desk_of(Strategy.ONE_FOR_ALL, "a", "b", backoff=SLOW)
    for name in ("a", "b", "b"):  # the first restart is immediate
        desk.crash(name)
        desk.all_ready()
        for other in ("a", "b"):
            if desk.states()[other] == "stopping":
                desk.end(other)
        desk.all_ready()
    desk.crash("b")
    desk.end("a")
    assert desk.states() == {"a": "stopped", "b": "backoff"}
    desk.wait(10.0)
    assert desk.states()["a"] == "starting"


def test_an_operator_may_end_the_wait() -> None:
    """Terminating the child whose delay its siblings wait out lets them start at once, without it."""
    desk = desk_of(Strategy.REST_FOR_ONE, "a", "b", backoff=SLOW)
    desk.crash("a")
    desk.end("b")
    desk.all_ready()
    desk.crash("a")
    desk.end("b")
    assert desk.states() == {"a": "backoff", "b": "stopped"}
    desk.put(TerminateChild(1, "a"))
    assert desk.spawned == ["b"]
    assert desk.states() == {"a": "stopped", "b": "starting"}


def test_strategies_leave_alone_what_an_operator_stopped() -> None:
    """A child that an operator stopped stays down when its siblings are restarted."""
    desk = desk_of(Strategy.ONE_FOR_ALL, "a", "b")
    desk.put(TerminateChild(1, "b"))
    desk.end("b")
    desk.crash("a")
    desk.all_ready()
    assert desk.states() == {"a": "running", "b": "stopped"}


def test_strategies_start_again_what_had_finished() -> None:
    """A transient child that had finished starts again with its siblings, as in OTP: they belong together."""
    children = (child("a"), child("t", Restart.TRANSIENT))
    desk = Desk(SupervisorSpec("root", children, Strategy.ONE_FOR_ALL))
    desk.boot()
    desk.end("t", Exit(ExitKind.NORMAL, "returned"))
    desk.crash("a")
    desk.all_ready()
    assert desk.states() == {"a": "running", "t": "running"}


@pytest.mark.parametrize("first", [OutcomeKind.STOPPED])
def test_the_first_reason_stands_but_a_wish_to_quit_is_kept(first: OutcomeKind) -> None:
    """A stop is not begun twice; a child that wants the process to end during it is heard."""
    desk = desk_of(Strategy.ONE_FOR_ONE, "a", "b")
    desk.put(StopRequested("first"))
    desk.put(StopRequested("second"))
    assert desk.state.outcome is not None
    assert (desk.state.outcome.kind, desk.state.outcome.reason) == (first, "first")
    desk.end("b", Exit(ExitKind.QUIT, "SystemExit: 3", code=3))
    desk.end("a")
    assert desk.outcome is not None
    assert (desk.outcome.kind, desk.outcome.code) == (OutcomeKind.QUIT, 3)


def test_the_next_try_waits_for_the_sibling_that_failed() -> None:
    """rest_for_one: after a failed start the siblings behind it wait until its next life is ready."""
    desk = desk_of(Strategy.REST_FOR_ONE, "a", "b", "c")
    desk.crash("a")
    desk.end("c")
    desk.end("b")
    desk.ready("a")
    assert desk.spawned == ["b"]
    desk.crash("b")
    assert desk.spawned == ["b"]
    assert desk.states() == {"a": "running", "b": "starting", "c": "stopped"}
    desk.ready("b")
    assert desk.spawned == ["c"]


def test_a_later_crash_does_not_overtake_a_start() -> None:
    """A child that was added during a restart and crashes waits until the sibling being started is ready."""
    desk = desk_of(Strategy.REST_FOR_ONE, "a", "b")
    desk.crash("a")
    desk.end("b")
    assert desk.states() == {"a": "starting", "b": "stopped"}
    desk.add(1, child("new"))
    desk.ready("new")
    desk.crash("new")
    assert desk.spawned == []
    desk.ready("a")
    assert desk.spawned == ["b"]
    desk.ready("b")
    assert desk.spawned == ["new"]
