"""What calls for a scan that nobody asked for: something past its deadline that has not been judged as it is yet."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from actors.recovery.scan import EngineScan
from coordinator.faults.commands import Command, DockerCommand, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.faults.looks import Undo
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.unit.recovery import scene as lives
from tests.unit.recovery.test_actor import paused_by_us
from tests.unit.recovery.test_scan import OWN, Scene, Stubborn, comment, rules_undo, scene
from tests.unit.recovery.test_scan import TABLE as RULES

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def of_a_person(place: Scene, name: str) -> None:
    """A lock past its deadline that owes what is never run from labels."""
    found = place.engine.state.find(name)
    command = DockerCommand(argv=("exec", found.id, "rm", "/tmp/off"))
    states = (ContainerState.RUNNING,)
    undo = Undo(
        container_id=found.id, name=name, started_at=found.started_at, command=command, needed_in=states, restores=None
    )
    await place.lock(name, undo, expires=1.0)


async def judged(scan: EngineScan, left: int) -> None:
    """A scan is called for, leaves so much to a person, and is not called for again."""
    assert await scan.is_called_for()
    assert len((await scan.scan(careful=True)).left) == left
    assert not await scan.is_called_for()


async def test_what_only_a_person_can_resolve_calls_for_one_scan() -> None:
    """And for one more whenever something of it has changed, or is gone, or something else is due."""
    async with scene() as place:
        scan = place.scan()
        await of_a_person(place, "web")
        await judged(scan, 1)
        place.engine.pause("web")
        await judged(scan, 1)
        await of_a_person(place, "db")
        await judged(scan, 2)
        await place.engine.restart("web", 1, 0)
        await judged(scan, 1)
        place.engine.state.volumes.clear()
        await judged(scan, 0)


async def test_labels_that_do_not_read_are_judged_once() -> None:
    """No later look makes them readable."""
    async with scene() as place:
        scan = place.scan()
        await place.paused("web", expires=1.0)
        (labels,) = place.engine.state.volumes.values()
        labels["test-coordinator.owed"] = '{"v":9}'
        await judged(scan, 1)


async def test_what_could_not_be_done_this_time_is_tried_again() -> None:
    """Rules that did not go out, and a helper that could not be removed: the next attempt may succeed."""
    async with scene() as place:
        await place.lock("web", rules_undo(place), expires=1.0)
        place.see(RULES.model_copy(update={"comment": comment(expires=1.0)}))
        scan = EngineScan(
            place.ledger, place.engine.facts, Stubborn(place.engine), place.engine.clock, instance=OWN,
            playing=lambda _: False,
        )  # fmt: skip
        assert len((await scan.scan(careful=True)).left) == 2
        assert await scan.is_called_for()


@dataclass
class Refusing:
    """A runner whose engine removes no lock."""

    place: Scene

    async def run(self, command: Command) -> Outcome:
        """As the engine, but for that."""
        if isinstance(command, DockerCommand) and command.argv[:2] == ("volume", "rm"):
            return Outcome(exit_code=1, stderr="volume is in use")
        return await self.place.engine.runner.run(command)


async def test_a_lock_that_could_not_be_released_is_tried_again() -> None:
    """What it says is undone; only the engine kept it."""
    async with scene() as place:
        await place.paused("web", expires=1.0)
        ports = (place.ledger, place.engine.facts, Refusing(place), place.engine.clock)
        scan = EngineScan(*ports, instance=OWN, playing=lambda _: False)
        assert len((await scan.scan(careful=True)).left) == 1
        assert place.state("web") is ContainerState.RUNNING
        assert await scan.is_called_for()


async def test_it_is_said_until_a_person_has_resolved_it() -> None:
    """Recovery is degraded from the deadline until the lock is gone, by whomever."""
    async with lives.scene() as place:
        await paused_by_us(place, 1.0)
        (labels,) = place.engine.state.volumes.values()
        labels["test-coordinator.owed"] = "unreadable"
        life = await place.begin()
        await anyio.sleep(200)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert (view.degraded or "").startswith("left on the engine: lock on web (its labels are not")
        place.engine.state.volumes.clear()
        await anyio.sleep(130)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert view.degraded is None
