from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest

from actors.prober.connections import MOST_IDLE, PER_SERVER, Connections, Lost

pytestmark = pytest.mark.anyio


@dataclass
class Line:
    """A connection that remembers whether it is closed."""

    number: int
    closed: bool = False
    ended: bool = False

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.closed = True


@dataclass
class House:
    """Makes lines and counts them."""

    made: list[Line] = field(default_factory=list)
    kept: Connections = field(default_factory=Connections)

    async def connect(self) -> Line:
        await anyio.lowlevel.checkpoint()
        self.made.append(Line(len(self.made)))
        return self.made[-1]

    async def ask(self, server: str = "db") -> int:
        """Which line answered."""

        async def question(line: Line) -> int:
            await anyio.lowlevel.checkpoint()
            if line.ended:
                raise Lost("ended")
            return line.number

        return await self.kept.ask(server, self.connect, question)

    @property
    def open(self) -> list[int]:
        """The lines that are open."""
        return [line.number for line in self.made if not line.closed]


async def test_one_is_kept_for_the_next() -> None:
    """Samples one after another share a connection to a server, and to no other; at the end all are closed."""
    house = House()
    assert [await house.ask(server) for server in ("db", "db", "cache", "db")] == [0, 0, 1, 0]
    await house.kept.aclose()
    assert house.open == []


async def test_what_ended_meanwhile_is_made_anew() -> None:
    """A kept connection that ended is no answer; a new one that ends is."""
    house = House()
    await house.ask()
    house.made[0].ended = True
    assert await house.ask() == 1
    assert house.open == [1]

    async def lost(line: Line) -> None:
        raise Lost(str(line.number))

    with pytest.raises(Lost, match="2"):
        await house.kept.ask("db", house.connect, lost)
    assert house.open == []


async def test_a_defect_and_a_timeout_close_those_beside_it() -> None:
    """Whatever goes wrong, also being given up, leaves no connection to that server behind, and all to others."""
    house = House()
    both = [0, 0]

    async def wait_for_each_other(line: Line) -> None:
        both.remove(0)
        while both:
            await anyio.lowlevel.checkpoint()

    async def hang(_: Line) -> None:
        await anyio.sleep_forever()

    async def break_down(_: Line) -> None:
        raise ZeroDivisionError

    await house.ask("cache")
    for question in (hang, break_down):
        both[:] = [0, 0]
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(house.kept.ask, "db", house.connect, wait_for_each_other)
        assert len(house.open) == 3
        with anyio.move_on_after(0.01) as scope:
            try:
                await house.kept.ask("db", house.connect, question)
            except ZeroDivisionError:
                scope.cancel()
        assert house.open == [0]


async def test_there_are_few_to_a_server() -> None:
    """Of many that ask at once some wait; nobody asks over a connection that another uses."""
    house = House()
    used: set[int] = set()

    async def exclusively(line: Line) -> None:
        assert line.number not in used
        used.add(line.number)
        await anyio.sleep(0.001)
        used.remove(line.number)

    async with anyio.create_task_group() as group:
        for _ in range(5 * PER_SERVER):
            group.start_soon(house.kept.ask, "db", house.connect, exclusively)
    assert len(house.made) == PER_SERVER


async def test_there_are_not_many_in_all() -> None:
    """The longest unused is closed when too many are kept."""
    house = House()
    for number in range(MOST_IDLE + 3):
        await house.ask(f"server {number}")
    assert len(house.open) == MOST_IDLE
    assert house.open[0] == 3


async def test_one_that_does_not_close_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are closed side by side, within one deadline, also when whoever closes them is cancelled."""
    monkeypatch.setattr("actors.prober.connections.CLOSE_DEADLINE_S", 0.05)
    house = House()

    class Stuck(Line):
        async def aclose(self) -> None:
            await anyio.sleep_forever()

    async def connect_stuck() -> Stuck:
        await anyio.lowlevel.checkpoint()
        return Stuck(-1)

    async def answer(line: Line) -> int:
        await anyio.lowlevel.checkpoint()
        return line.number

    for number in range(20):
        await house.kept.ask(f"stuck {number}", connect_stuck, answer)
    await house.ask()
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        scope.cancel()
        await house.kept.aclose()
    assert house.open == []
