from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from actors.prober.failures import NoContainer
from actors.prober.log_probe import Tallies, look
from coordinator.faults.facts import LogPart, LogPlace
from coordinator.ports import LogStream
from coordinator.scenarios.probes import LogProbe
from tests.unit.prober.scene import DictionaryEngine, container

pytestmark = pytest.mark.anyio

SINCE = LogPlace(at_ns=7)
LOOK = LogProbe(target="web", pattern="err+or")


@dataclass
class Logs(DictionaryEngine):
    """Containers that have logged these lines; a part is two lines long, and the second of it may take its time."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, LogPlace]] = field(default_factory=list)
    slow_from: int = 1000

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        self.asked.append((container_id, place))
        await anyio.lowlevel.checkpoint()
        if container_id not in self.lines:
            return None
        begin = place.seen
        if begin >= self.slow_from:
            await anyio.sleep_forever()
        lines = self.lines[container_id]
        end = min(len(lines), begin + 2)
        count = sum(map(matches, lines[begin:end]))
        return LogPart(matching=count, place=LogPlace(at_ns=7, seen=end), more=end < len(lines))


async def test_matches_of_all_containers_are_counted() -> None:
    """The value is what all of them logged so far; the next look goes on where this one ended."""
    engine = Logs(lines={"id-a": ["error", "fine", "errrror", "eror"], "id-b": ["an error"]})
    tallies, both = Tallies(SINCE), (container("a"), container("b"))
    first = await look(LOOK, both, engine, tallies)
    engine.asked.clear()
    engine.lines["id-b"].append("error")
    second = await look(LOOK, both, engine, tallies)
    assert [first.value, second.value] == [3.0, 4.0]
    assert engine.asked == [("id-a", LogPlace(at_ns=7, seen=4)), ("id-b", LogPlace(at_ns=7, seen=1))]


async def test_what_was_read_in_time_stays_read() -> None:
    """A look that is given up half-way leaves less for the next one."""
    engine = Logs(lines={"id-a": ["error"] * 6}, slow_from=4)
    tallies = Tallies(SINCE)
    with anyio.move_on_after(0.05):
        await look(LOOK, (container("a"),), engine, tallies)
    assert tallies.of(LOOK, "id-a").matching == 4
    engine.slow_from = 1000
    assert (await look(LOOK, (container("a"),), engine, tallies)).value == 6.0


async def test_probes_that_look_for_the_same_count_alike() -> None:
    """Two at once count no line twice; another pattern is counted for itself."""
    engine = Logs(lines={"id-a": ["error"] * 5})
    tallies, values = Tallies(SINCE), []

    async def ask(probe: LogProbe) -> None:
        values.append((await look(probe, (container("a"),), engine, tallies)).value)

    async with anyio.create_task_group() as group:
        for probe in (LOOK, LOOK, LogProbe(target="web", pattern="^fine$")):
            group.start_soon(ask, probe)
    assert sorted(map(str, values)) == ["0.0", "5.0", "5.0"]


async def test_without_a_container_there_is_no_log() -> None:
    """A target without containers, and a container that is gone, are errors."""
    with pytest.raises(NoContainer, match="no container"):
        await look(LOOK, (), Logs(), Tallies(SINCE))
    with pytest.raises(NoContainer, match="web-1 is removed"):
        await look(LOOK, (container(),), Logs(), Tallies(SINCE))
