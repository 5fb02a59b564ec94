"""The suite is itself tested: four bugs that a supervisor may well have are planted, and each must be caught."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import pytest

from coordinator.supervision import Strategy, Supervisor, commands, events, order, restart
from coordinator.supervision.exits import STOPPED, Exit
from coordinator.supervision.state import Procedure, Record, State
from tests.conformance import test_python, test_stop, test_strategies
from tests.conformance.stage import Stage
from tests.conformance.virtual_time import Backend
from tests.simulation.supervision import simulate

SEEDS = 60  # among so many worlds at least one must show a planted bug


@contextmanager
def restart_before_the_clean_up_ended() -> Iterator[None]:
    """A cancelled child counts as ended at once, not when its `finally` has ended."""
    cancel = Supervisor.cancel

    def hasty(self: Supervisor, command: commands.Cancel) -> None:
        cancel(self, command)
        life = self._lives.get(command.child)
        if life is not None:
            self._post(events.Ended(life.name, life.incarnation, STOPPED))

    with mock.patch.object(Supervisor, "cancel", hasty):
        yield


@contextmanager
def failed_starts_cost_nothing() -> Iterator[None]:
    """A restart that follows a failed start is not counted."""
    excess = restart._excess

    def generous(state: State, record: Record, exit_: Exit, now: float) -> str:
        return excess(state, record, exit_, now) if record.was_ready else ""

    with mock.patch.object(restart, "_excess", generous):
        yield


@contextmanager
def stops_in_start_order() -> Iterator[None]:
    """Children are stopped first to last."""

    def forwards(
        stops: list[str], starts: deque[str], culprit: str = "", waiting: frozenset[str] = frozenset()
    ) -> Procedure:
        return Procedure(stops=stops[::-1], starts=starts, culprit=culprit, waiting=set(waiting))

    with mock.patch.object(order, "Procedure", forwards):
        yield


@contextmanager
def foreign_cancellation_is_ignored() -> Iterator[None]:
    """A child that a library's CancelledError killed is never reported dead."""
    post = Supervisor._post

    def deaf(self: Supervisor, event: events.Event) -> None:
        if not (isinstance(event, events.Ended) and "cancelled by something other" in event.exit.reason):
            post(self, event)

    with mock.patch.object(Supervisor, "_post", deaf):
        yield


Bug = Callable[[], AbstractContextManager[None]]
BUGS: dict[Bug, Callable[[Backend], Awaitable[None]]] = {
    restart_before_the_clean_up_ended: lambda backend: test_python.test_restart_after_clean_up(Stage()),
    failed_starts_cost_nothing: lambda backend: test_strategies.test_one_for_one_escalation(
        Stage(), Strategy.ONE_FOR_ONE
    ),
    stops_in_start_order: lambda backend: test_stop.test_order_of_children(Stage()),
    foreign_cancellation_is_ignored: lambda backend: test_python.test_foreign_cancellation(
        Stage(), test_python._stale, backend
    ),
}


def _name(bug: Bug) -> str:
    return getattr(bug, "__name__", str(bug))


async def caught(test: Awaitable[None]) -> bool:
    """Whether a test fails."""
    failed = False
    try:
        await test
    except* (AssertionError, pytest.fail.Exception):
        failed = True
    return failed


@pytest.mark.anyio
@pytest.mark.parametrize("bug", BUGS, ids=_name)
async def test_the_conformance_list_catches(bug: Bug, anyio_backend: Backend) -> None:
    """A conformance test that passes as things are fails once the bug is planted."""
    assert not await caught(BUGS[bug](anyio_backend))
    with bug():
        assert await caught(BUGS[bug](anyio_backend))


@pytest.mark.parametrize("bug", BUGS, ids=_name)
def test_the_simulation_catches(bug: Bug) -> None:
    """Some seed of the simulation shows the bug, and the same seed shows none without it."""
    with bug():
        seed = next((seed for seed in range(SEEDS) if simulate(seed).violations), None)
    assert seed is not None
    assert simulate(seed).violations == ()
