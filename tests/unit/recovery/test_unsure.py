"""Whether a coordinator may say at its end that nothing of it is left on the engine."""

from __future__ import annotations

import anyio
import pytest

from coordinator.record import ExecutionState, Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE
from tests.life import Life
from tests.unit.recovery.scene import scene

pytestmark = pytest.mark.anyio

STEADY = (
    "targets: {web: {names: [web]}}\nprobes: {up: {type: container, target: web, every: 100ms}}\n"
    "steady_state: [{probe: up, availability: '>= 99%', for: 10s}]\n"
    "phases: [{name: p, duration: 5s, faults: [{type: container_pause, target: web}]}]\n"
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def unsure(life: Life) -> bool:
    """Whether this coordinator would keep its warden now."""
    return life.recovery.unsure


@pytest.mark.parametrize("back", [True, False])
async def test_an_engine_that_was_away_at_the_end_of_an_execution(*, back: bool) -> None:
    """Nothing was fired, and the lock stays: it is not sure that nothing is left until a pass has seen to it."""
    async with scene() as place:
        life = await place.begin()
        assert not unsure(life)
        accepted = await life.submit(STEADY)
        await anyio.sleep(5)
        assert (await life.executions.execution(accepted.id)).state is ExecutionState.STEADY_STATE
        place.engine.down()
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.ERROR
        assert await life.ledger.faults(outstanding=True) == ()
        assert (unsure(life), place.locked()) == (True, [INSTANCE])
        if back:
            place.engine.up()
        await anyio.sleep(120)
        assert (unsure(life), place.locked()) == ((False, []) if back else (True, [INSTANCE]))


async def test_an_execution_that_left_nothing_leaves_no_doubt() -> None:
    """Its own look at the end is enough, no pass is waited for; one that left something makes one."""
    async with scene() as place:
        life = await place.begin()
        accepted = await life.submit(STEADY)
        await life.executions.finished(accepted.id)
        assert not unsure(life)
        life.recovery.ended(accepted.id, _done, cleared=False)
        assert unsure(life)
        await anyio.sleep(1)
        assert not unsure(life)


async def _done() -> bool:
    return True


@pytest.mark.parametrize("played", [True, False])
async def test_a_start_without_an_engine(*, played: bool) -> None:
    """What earlier lives left is not known then; where nothing was ever played there is nothing, and one that could not
    begin took nothing.
    """
    async with scene() as place:
        if played:
            await place.dead(STEADY)
        place.engine.down()
        life = await place.begin(seed=2)
        await anyio.sleep(30)
        accepted = await life.submit(STEADY.replace("web", "db"))
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.ERROR
        await anyio.sleep(5)
        assert unsure(life) is played
