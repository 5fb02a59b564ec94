"""What EngineFacts promises of logs, of the real engine and of the simulated one alike."""

from __future__ import annotations

import pytest

from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import ContainerFacts, LogPart, LogPlace
from coordinator.ports import LogStream
from tests.contracts.engine_stage import Stage

pytestmark = pytest.mark.anyio

BEGINNING = LogPlace(at_ns=0)


def bad(line: str) -> bool:
    """Whether it tells of something bad."""
    return "bad" in line


async def read(
    stage: Stage, container: ContainerFacts, place: LogPlace = BEGINNING, stream: LogStream = "both"
) -> LogPart:
    """All there is behind the place of a container that exists."""
    part = await stage.facts.log(container.id, place, stream, bad)
    assert part is not None
    assert not part.more
    return part


async def test_each_line_is_counted_once(stage: Stage) -> None:
    """Going on from a place counts only what was said since, over a restart too; a stream can be left out."""
    target = await stage.add()
    nothing = await read(stage, target)
    for text in ("bad one", "good", "worse", "bad two"):
        await stage.say(target, text)
    await stage.say(target, "bad three", "stderr")

    first = await read(stage, target, nothing.place)
    again = await read(stage, target, first.place)
    assert (await stage.run("restart", "-t", "0", target.id)).ok
    await stage.say(target, "bad four")
    later = await read(stage, target, again.place)

    assert [part.matching for part in (nothing, first, again, later)] == [0, 3, 0, 1]
    assert again.place == first.place
    streams: tuple[LogStream, ...] = ("stdout", "stderr")
    assert [(await read(stage, target, stream=one)).matching for one in streams] == [3, 1]


async def test_what_is_gone_has_no_log(stage: Stage) -> None:
    """Of a container that does not exist there is none; an engine that is not there is an error."""
    assert await stage.facts.log("absent", BEGINNING, "both", bad) is None
    target = await stage.add()
    _, nowhere = stage.gone()
    with pytest.raises(EngineUnreachable):
        await nowhere.log(target.id, BEGINNING, "both", bad)
