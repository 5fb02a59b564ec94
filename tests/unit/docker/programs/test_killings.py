"""Who was killed for want of memory: told from what the kernel counts, and from which of our own died."""

from __future__ import annotations

import pytest

from actors.docker.programs.killings import CONTAINER_KILLED, SOMEBODY, STRESSOR_KILLED, Killings
from actors.docker.programs.load_target import Target

ID = "c" * 64


class Counted(Target):
    """A container of which only the count is known."""

    def __init__(self) -> None:
        self.container = ID
        self.kills: int | None = 3

    def oom_kills(self) -> int | None:
        return self.kills


@pytest.fixture
def target() -> Counted:
    return Counted()


def looked(killings: Killings, times: int = 2, *, last: bool = False) -> list[str]:
    """What is told by so many looks."""
    found: list[str] = []
    for _ in range(times):
        killings.look(lambda event, container, text: found.append(f"{event} {text}"), last=last)
    return found


def test_nothing_is_told_where_nothing_died(target: Counted) -> None:
    """Whatever was counted before."""
    assert looked(Killings(target)) == []


def test_a_stressor_that_was_killed_is_told_apart_from_the_container(target: Counted) -> None:
    """Whether the count or the death is seen first."""
    killings = Killings(target)
    target.kills = 4
    assert looked(killings, 1) == []
    killings.died(told=False)
    assert looked(killings) == [f"ended {STRESSOR_KILLED}"]

    killings.died(told=False)
    assert looked(killings, 1) == []
    target.kills = 5
    assert looked(killings) == [f"ended {STRESSOR_KILLED}"]


def test_the_containers_own_process_is_told_once_it_is_sure(target: Counted) -> None:
    """After a second look, or at once where it is the last; with how many they were."""
    killings = Killings(target)
    target.kills = 4
    assert looked(killings, 1) == []
    assert looked(killings) == [f"out_of_memory {CONTAINER_KILLED}"]
    target.kills = 6
    killings.died(told=True)
    target.kills = 7
    assert looked(killings, 1, last=True) == [f"out_of_memory {CONTAINER_KILLED} (2 times)"]


def test_a_stressor_that_somebody_else_killed(target: Counted) -> None:
    """The kernel counts nothing; a container that is gone counts no more."""
    killings = Killings(target)
    killings.died(told=False)
    assert looked(killings) == [f"ended {SOMEBODY}"]
    killings.died(told=False)
    target.kills = None
    assert looked(killings) == [f"ended {SOMEBODY}"]


def test_what_is_told_as_an_answer_is_no_news(target: Counted) -> None:
    """It is counted all the same."""
    killings = Killings(target)
    killings.died(told=True)
    target.kills = 4
    assert looked(killings) == []
