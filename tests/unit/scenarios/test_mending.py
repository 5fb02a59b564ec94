"""What an undo puts back behind the engine's: known before the fault is fired, done when all else is, or owed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import HOSTS_PROGRAM, KEPT, Command, DockerCommand
from coordinator.record import FaultRow, FaultState, UndoState, Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio
LEAVES = """\
targets: {x: {names: [web]}}
phases:
  - {name: off, duration: 5s, faults: [{type: network_disconnect, target: x, network: front}]}
"""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@pytest.fixture
async def house() -> AsyncIterator[Fleet]:
    """With one container on two networks."""
    async with fleet() as made:
        made.engine.add("web", networks={"back": "10.0.2.2", "front": "10.0.1.2"})
        yield made


def lines(house: Fleet) -> list[bytes]:
    """Of the container's /etc/hosts."""
    return house.engine.state.find("web").lines


def asked(house: Fleet) -> list[str]:
    """What helpers were asked to do with it."""
    return [text.split(HOSTS_PROGRAM)[1].split()[0] for _, text in house.runner.ran if HOSTS_PROGRAM in text]


async def left(house: Fleet) -> FaultRow:
    """The row of a fault whose coordinator died when all was done but the mending."""
    house.runner.before = no_mending
    with anyio.move_on_after(10):
        await house.play(LEAVES)
    house.runner.before = None
    house.runner.ran.clear()
    (row,) = await house.rows()
    assert row.outstanding
    assert len(lines(house)) == 1
    return row


async def no_mending(command: Command) -> None:
    """No helper comes up for it."""
    if "mend" in command.argv:
        raise EngineUnreachable("no helper")


async def test_the_other_networks_lines_are_back(house: Fleet) -> None:
    """What was there is durable before the fault is fired, and there again after it."""
    before = list(lines(house))
    kept: list[DockerCommand | None] = []

    async def look(command: Command) -> None:
        if command.argv[:2] == ("network", "disconnect"):
            kept.extend(undo.mend for row in await house.rows() for undo in row.undos)

    house.runner.before = look
    played = await house.play(LEAVES)
    assert (played.verdict, played.undo) == (Verdict.PASSED, UndoState.COMPLETE)
    assert lines(house) == before
    assert asked(house) == ["keep", "mend"]
    assert len(kept) == 1
    assert kept[0] is not None
    assert KEPT not in kept[0].argv
    assert played.faults[0].undo_commands[-1].endswith(kept[0].argv[-1])


async def test_without_a_helper_it_is_told_and_goes_on(house: Fleet) -> None:
    """The fault is put and undone by the engine; that its undo is not exact is on the timeline."""

    async def no_helper(command: Command) -> None:
        if command.of_helper:
            raise EngineUnreachable("no helper image here")

    house.runner.before = no_helper
    played = await house.play(LEAVES)
    assert (played.verdict, played.undo) == (Verdict.PASSED, UndoState.COMPLETE)
    (told,) = [entry for entry in played.timeline if entry.event == "fault_undo_inexact"]
    assert told.text == "its undo will not be exact: no helper image here"
    assert asked(house) == ["keep"]


async def test_what_nobody_mended_is_owed(house: Fleet) -> None:
    """A coordinator that died between the engine's part of an undo and the mending left it to the next."""
    row = await left(house)
    done = await house.undoer.undo(row, 30)
    assert done.fault.state is FaultState.UNDONE
    assert asked(house) == ["mend"]
    assert sorted(line.split()[0] for line in lines(house)) == [b"10.0.1.2", b"10.0.2.2"]


async def test_the_reason_is_told_while_it_cannot(house: Fleet) -> None:
    """Where no helper comes up the fault is stuck with that, and nothing else is run again."""
    row = await left(house)
    house.runner.before = no_mending
    stuck = await house.undoer.undo(row, 5)
    assert (stuck.fault.state, stuck.last_error) == (FaultState.STUCK, "no helper")
    assert set(house.runner.verbs()) == {"run"}


async def test_a_later_run_needs_no_mending(house: Fleet) -> None:
    """The engine made the file anew: whatever was kept is of a run that is over."""
    row = await left(house)
    await house.engine.restart("web", 0, 0)
    done = await house.undoer.undo(row, 30)
    assert done.fault.state is FaultState.UNDONE
    assert asked(house) == []
    assert len(lines(house)) == len(("back", "front"))
