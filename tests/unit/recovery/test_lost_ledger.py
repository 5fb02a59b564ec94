"""What recovery does once the ledger was lost: only the engine can tell what that knew."""

from __future__ import annotations

import anyio
import pytest

from coordinator.faults.facts import ContainerState
from coordinator.faults.leftovers import LeftoverState
from coordinator.record import Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE
from tests.unit.recovery.scene import scene
from tests.unit.recovery.test_actor import DB, paused_by_us

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def test_after_the_ledger_was_lost_the_engine_is_scanned() -> None:
    """What it knew is put back from the engine, at once; what this life itself is playing goes on."""
    async with scene() as place:
        await paused_by_us(place, 4e9)
        life = await place.begin()
        accepted = await life.submit(DB.replace("60s", "9s"))
        await anyio.sleep(4)
        assert place.state("web") is place.state("db") is ContainerState.PAUSED
        life.recovery.ledger_lost()
        await anyio.sleep(4)
        assert (place.state("web"), place.state("db")) == (ContainerState.RUNNING, ContainerState.PAUSED)
        assert place.locked() == [INSTANCE]
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.PASSED


async def test_what_was_put_back_for_a_lost_ledger_is_told_once() -> None:
    """The first who asks for a scan learns what was put back before, and when; the next only what there is to find."""
    async with scene() as place:
        await paused_by_us(place, 4e9)
        life = await place.begin()
        life.recovery.ledger_lost()
        await anyio.sleep(4)
        assert place.state("web") is ContainerState.RUNNING
        (found,) = (await life.recovery.scan()).found
        assert (found.kind, found.where, found.state) == ("lock", "web", LeftoverState.UNDONE)
        assert found.text.startswith("put back at ")
        assert (await life.recovery.scan()).found == ()


async def test_a_lost_ledger_is_not_forgotten_while_the_engine_is_away() -> None:
    """The scan is made when the engine is back."""
    async with scene() as place:
        await paused_by_us(place, 4e9)
        life = await place.begin()
        place.engine.down()
        life.recovery.ledger_lost()
        await anyio.sleep(30)
        place.engine.up()
        await anyio.sleep(70)
        assert (place.state("web"), place.locked()) == (ContainerState.RUNNING, [])
