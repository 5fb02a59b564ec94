"""One life of a child, seen by the child."""

from __future__ import annotations

from coordinator.supervision.bodies import Life
from coordinator.supervision.events import Event, Impaired, Ready


class _Signal:
    def __init__(self) -> None:
        self._told = False

    def set(self) -> None:
        self._told = True

    def is_set(self) -> bool:
        return self._told

    async def wait(self) -> None:
        assert self._told


class _Scope:
    cancel_called = False

    def cancel(self, reason: str | None = None) -> None:
        self.cancel_called = True


def _life(said: list[Event]) -> Life:
    return Life("a", "root/a", 3, post=said.append, scope=_Scope(), make_signal=_Signal)


def test_what_a_child_says_names_its_life() -> None:
    """Ready and degraded become events that name the child and which of its lives speaks."""
    said: list[Event] = []
    life = _life(said)
    life.ready(5)
    life.degraded("no database")
    life.degraded(None)
    assert said == [Ready("a", 3, 5), Impaired("a", 3, "no database"), Impaired("a", 3, None)]
    assert (life.path, life.incarnation) == ("root/a", 3)


def test_the_signal_is_the_same_before_and_after() -> None:
    """A child that looks at its stop signal early or late sees that it was asked."""
    early, late = _life([]), _life([])
    assert not early.stopping.is_set()
    for life in (early, late):
        assert not life.asked
        life.ask_stop()
        assert life.stopping.is_set()
        assert life.asked


def test_a_cancelled_life_counts_as_asked() -> None:
    """What its supervisor cancels did not die of a library's cancellation."""
    life = _life([])
    life.scope.cancel("enough")
    assert life.asked
    assert not life.stopping.is_set()
