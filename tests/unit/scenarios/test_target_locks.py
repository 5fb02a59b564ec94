"""What an execution knows at its end of what it leaves on the engine."""

from __future__ import annotations

import pytest

from coordinator.faults.commands import Command
from coordinator.identity import labels
from coordinator.record import Verdict
from coordinator.scenarios.target_locks import TargetLocks
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE, Fleet, fleet

pytestmark = pytest.mark.anyio
PAUSE = (
    "targets: {web: {names: [web]}}\n"
    "phases: [{name: p, duration: 5s, faults: [{type: container_pause, target: web}]}]\n"
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def taken(house: Fleet) -> TargetLocks:
    """The locks of an execution, one of them had."""
    locks = TargetLocks(house.runner, house.engine.facts, INSTANCE, "x")
    assert await locks.take({house.engine.state.find("web").id: ()}, 2e9) == {}
    return locks


async def test_what_took_nothing_leaves_nothing() -> None:
    """Without asking the engine, which may be away."""
    async with fleet("web") as house:
        house.engine.down()
        assert await TargetLocks(house.runner, house.engine.facts, INSTANCE, "x").release(keep=())


async def test_all_is_gone() -> None:
    """Released, and no helper of its own is there; one of another execution does not matter."""
    async with fleet("web") as house:
        locks = await taken(house)
        house.engine.add("another", labels=labels("helper", INSTANCE, execution="y"))
        assert await locks.release(keep=())
        assert house.engine.state.volumes == {}


async def test_something_is_left() -> None:
    """A lock that is kept, one that cannot be removed, a helper, an engine that is away: each is told."""
    async with fleet("web") as house:
        locks = await taken(house)
        assert not await locks.release(keep=[house.engine.state.find("web").id])
        helper = house.engine.add("its", labels=labels("helper", INSTANCE, execution="x"))
        assert not await locks.release(keep=())
        house.engine.remove(helper.id)
        assert await locks.release(keep=())

        async def away(_: Command) -> None:
            house.engine.down()

        locks = await taken(house)
        house.runner.before = away
        assert not await locks.release(keep=())
        assert not await locks.release(keep=())


async def test_a_target_whose_lock_is_nobodys() -> None:
    """What an engine that died has left of a lock is an error that says what to do, and stays where it is."""
    async with fleet("web") as house:
        name = f"tc-{house.engine.state.find('web').id}"
        house.engine.state.volumes[name] = {}
        done = await house.play(PAUSE)
        assert done.verdict is Verdict.ERROR
        assert "container web is held by nobody, made by an engine that died" in (done.reason or "")
        assert (done.reason or "").endswith(f"so does `docker volume rm {name}`")
        assert house.engine.state.volumes == {name: {}}
        assert house.runner.verbs() == []
