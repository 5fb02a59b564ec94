"""One execution's events on their way to many."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from actors.http_api.events import stream
from actors.http_api.frames import AT_ONCE, TOGETHER, Broadcasts, Frames
from coordinator.record import TimelineEntry
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = pytest.mark.anyio
MANY = 200


@dataclass
class Counting(MemoryControl):
    """Of one execution that runs; counts who asks for its timeline."""

    asked: int = 0

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        self.asked += 1
        while self.live and len(self.told) <= after:
            await self.more.wait()
        return tuple(self.told[after:])


@dataclass
class House:
    """The frames of a running execution, and who has heard what."""

    control: Counting = field(default_factory=lambda: Counting(live=True))
    ending: anyio.Event = field(default_factory=anyio.Event)
    heard: dict[int, list[bytes]] = field(default_factory=dict)
    scopes: dict[int, anyio.CancelScope] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.frames = Frames(self.control, "e", self.ending)

    async def follow(self, number: int, place: int = 0) -> None:
        """Hear everything, to the end."""
        heard = self.heard.setdefault(number, [])
        with anyio.CancelScope() as self.scopes[number]:
            while found := await self.frames.after(place + len(heard)):
                heard += found

    @asynccontextmanager
    async def followers(self, count: int) -> AsyncIterator[None]:
        """So many, all waiting; at the end of the block the API ends, and so do they."""
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(self.follow, number)
            await anyio.wait_all_tasks_blocked()
            yield
            await anyio.wait_all_tasks_blocked()
            self.ending.set()


async def test_one_asks_for_all() -> None:
    """Every follower hears every event once and in order; the execution is asked once for each."""
    house = House()
    async with house.followers(MANY):
        for event in ("one", "two", "three"):
            house.control.tell(event)
            await anyio.wait_all_tasks_blocked()
    assert house.control.asked == 4
    assert len(house.heard) == MANY
    for heard in house.heard.values():
        assert [frame.split(b"\n")[:2] for frame in heard] == [
            [b"id: 1", b"event: one"], [b"id: 2", b"event: two"], [b"id: 3", b"event: three"]
        ]  # fmt: skip


async def test_others_have_their_turn_in_between() -> None:
    """Whoever else wants to run does so after every few followers, also when more is told than can be handed on."""
    house = House()
    served: list[int] = []
    heard = 0

    async def hear() -> None:
        nonlocal heard
        place = 0
        while found := await house.frames.after(place):
            place += len(found)
            heard += 1

    async with anyio.create_task_group() as group:
        for _ in range(MANY):
            group.start_soon(hear)
        await anyio.wait_all_tasks_blocked()
        for event in range(40):
            house.control.tell(str(event))
            for _ in range(5):
                served.append(heard)
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        house.ending.set()
    assert served[-1] > MANY
    assert max(after - before for before, after in pairwise(served)) <= 2 * AT_ONCE


async def test_who_asks_may_leave() -> None:
    """One after another goes, the one that asks first: those who stay hear what comes then."""
    house = House()
    async with house.followers(5):
        for number in range(4):
            house.scopes[number].cancel()
            await anyio.wait_all_tasks_blocked()
        house.control.tell("one")
    assert [len(house.heard[number]) for number in range(5)] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("left", [range(0, MANY, 2), range(MANY - 1)], ids=["every other", "all but the last"])
async def test_who_is_woken_may_leave(left: range) -> None:
    """Those who go at the very moment of an event take nothing from those behind them."""
    house = House()
    async with house.followers(MANY):
        house.control.tell("one")
        await anyio.lowlevel.checkpoint()
        for number in left:
            house.scopes[number].cancel()
        await anyio.wait_all_tasks_blocked()
        assert all(house.heard[number] for number in range(MANY) if number not in left)
        house.control.tell("two")
    assert {len(house.heard[number]) for number in range(MANY) if number not in left} == {2}


async def test_one_who_is_ahead_holds_nobody_up() -> None:
    """Who claims to have seen more than there is waits for more, and the others do not wait for that."""
    house = House()
    async with anyio.create_task_group() as group:
        group.start_soon(house.follow, 1, 5)
        await anyio.wait_all_tasks_blocked()
        for number in (2, 3):
            group.start_soon(house.follow, number)
        await anyio.wait_all_tasks_blocked()
        house.control.tell("one")
        await anyio.wait_all_tasks_blocked()
        assert [len(house.heard[number]) for number in (1, 2, 3)] == [0, 1, 1]
        house.control.tell(*"abcde")
        await anyio.wait_all_tasks_blocked()
        assert [len(house.heard[number]) for number in (1, 2, 3)] == [1, 6, 6]
        house.ending.set()


async def test_who_has_much_to_catch_up_with_gets_it_in_pieces() -> None:
    """A long story comes some events at a time; at its end there is nothing more."""
    house = House()
    house.control.tell(*(f"e{number}" for number in range(TOGETHER + 1)))
    house.control.live = False
    assert [len(await house.frames.after(place)) for place in (0, TOGETHER, TOGETHER + 1)] == [TOGETHER, 1, 0]


async def test_what_nobody_follows_is_forgotten() -> None:
    """The last one to leave takes the frames along; until then they are shared."""
    control = Counting(live=False)
    control.tell("one")
    broadcasts = Broadcasts(control, anyio.Event())
    first, second = (stream(broadcasts, "e", 0, anyio.Event()) for _ in range(2))
    assert await anext(first) == await anext(second)
    assert [frame async for frame in first] == [b"event: end\ndata: {}\n\n"]
    assert control.asked == 2
    await second.aclose()
    assert broadcasts._frames == {}
