"""What a supervisor knows: timers and what is forgotten."""

from __future__ import annotations

import math

from coordinator.supervision import Restart, Strategy, SupervisorSpec
from coordinator.supervision.moves import arm, disarm
from coordinator.supervision.order import hold_until
from coordinator.supervision.state import Procedure, Record, State, TimerKind
from tests.unit.supervision.desk import child


def _state(strategy: Strategy = Strategy.ONE_FOR_ONE) -> State:
    state = State(SupervisorSpec("root", strategy=strategy), "root", lives={})
    for name in ("a", "b"):
        state.children[name] = Record(child(name), f"root/{name}", static=False)
    return state


def test_only_the_latest_timer_of_a_child_counts() -> None:
    """A timer that was replaced, voided, or whose child is gone is skipped."""
    state = _state()
    assert state.next_due() == math.inf
    arm(state, state.children["a"], TimerKind.RETRY, 5.0)
    arm(state, state.children["b"], TimerKind.RETRY, 7.0)
    arm(state, state.children["a"], TimerKind.RETRY, 9.0)
    assert state.next_due() == 7.0
    del state.children["b"]
    assert state.next_due() == 9.0
    disarm(state.children["a"])
    assert state.next_due() == math.inf
    assert state.timers == []


def test_an_infinite_timer_is_none() -> None:
    """A deadline that never comes takes no place."""
    state = _state()
    arm(state, state.children["a"], TimerKind.GRACE, math.inf)
    assert state.timers == []


def test_the_timer_of_a_procedure() -> None:
    """A procedure's delay is a timer that belongs to no child, and is void once the procedure may go on."""
    state = _state()
    procedure = Procedure([], state.timers)  # type: ignore[arg-type]  # what it starts does not matter here
    hold_until(state, procedure, 3.0)
    assert state.next_due() == 3.0
    hold_until(state, procedure, -math.inf)
    assert state.next_due() == math.inf


def test_what_leaves_no_spec_behind() -> None:
    """Temporary children are forgotten with their end, and so is every member of a pool."""
    plain, pool = _state(), _state(Strategy.POOL)
    temporary = Record(child("t", Restart.TEMPORARY), "root/t", static=False)
    assert plain.forgets(temporary)
    assert not plain.forgets(plain.children["a"])
    assert pool.forgets(pool.children["a"])
