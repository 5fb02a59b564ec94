"""Locks that an engine has left without labels, as it died while it made them: nobody's, and in everybody's way."""

import anyio
import pytest

from actors.recovery.held_locks import remove_torn
from actors.recovery.scan import EngineScan
from coordinator.faults.leftovers import LeftoverState, Namespace, Sight, Trace
from coordinator.record import Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.unit.recovery.scene import scene as lives
from tests.unit.recovery.test_scan import OWN, Stubborn, scene, told

pytestmark = pytest.mark.anyio
PAUSE = (
    "targets: {web: {names: [web]}}\n"
    "phases: [{name: p, duration: 1s, faults: [{type: container_pause, target: web}]}]\n"
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def test_locks_of_nobody_are_removed() -> None:
    """What an engine that died left without labels goes, as nobody could lock that container any more; a volume of no
    container stays, whose name only looks like one.
    """
    async with lives() as place:
        foreign = f"tc-{'0' * 64}"
        torn = f"tc-{place.engine.state.find('web').id}"
        for name in (foreign, torn):
            place.engine.state.volumes[name] = {}
        life = await place.begin()
        assert list(place.engine.state.volumes) == [foreign]
        accepted = await life.submit(PAUSE)
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.PASSED
        place.engine.state.volumes[torn] = {}
        await life.recovery.recover(5)
        assert list(place.engine.state.volumes) == [foreign]


async def test_a_lock_of_nobody_is_removed() -> None:
    """Of a container that is there; a volume of none may be anybody's."""
    async with scene() as place:
        for identity in (place.engine.state.find("web").id, "0" * 64):
            place.engine.state.volumes[f"tc-{identity}"] = {}
        report = await place.scan().scan(careful=True)
        assert told(report) == {
            "lock a container that is gone": LeftoverState.KEPT, "lock web": LeftoverState.UNDONE,
        }  # fmt: skip
        assert list(place.engine.state.volumes) == [f"tc-{'0' * 64}"]


async def test_a_lock_of_nobody_hides_nobodys_rules() -> None:
    """Two containers in one namespace, whose lock one of them has lost and another instance holds by the other."""
    async with scene() as place:
        qdisc = Trace(kind="qdisc", name="7c01:", device="eth0", parent="ffffffff")
        await place.lock("db", instance="green")
        web, db = (place.engine.state.find(name).id for name in ("web", "db"))
        place.engine.state.volumes[f"tc-{web}"] = {}
        namespace = Namespace(inode=1, pid=41, containers=(web, db), traces=(qdisc,), outside=False)
        place.engine.state.sight = Sight(namespaces=(namespace,))
        report = await place.scan().scan()
        assert told(report) == {
            "qdisc web, db": LeftoverState.KEPT, "lock web": LeftoverState.UNDONE, "lock db": LeftoverState.KEPT,
        }  # fmt: skip


async def test_a_lock_of_nobody_is_looked_at_again() -> None:
    """Directly before it is removed: by then somebody else may have removed it, and another have taken a true one."""
    async with scene() as place:
        name = f"tc-{place.engine.state.find('web').id}"
        place.engine.state.volumes[name] = {}
        await remove_torn(name[3:], place.engine.facts, place.engine.runner)
        assert place.locked == 0
        await place.lock("web", instance="green")
        assert await remove_torn(name[3:], place.engine.facts, place.engine.runner) == ""
        assert place.locked == 1


async def test_a_lock_of_nobody_that_another_removes_is_gone() -> None:
    """Two that remove it at once: the engine refuses the second, and that is no trouble."""
    async with scene() as place:
        name = f"tc-{place.engine.state.find('web').id}"
        place.engine.state.volumes[name] = {}
        ended: list[str] = []

        async def remove() -> None:
            ended.append(await remove_torn(name[3:], place.engine.facts, place.engine.runner))

        async with anyio.create_task_group() as group:
            group.start_soon(remove)
            group.start_soon(remove)
        assert (ended, place.locked) == (["", ""], 0)


async def test_a_lock_of_nobody_that_stays_is_left() -> None:
    """With the command by which a person removes it."""
    async with scene() as place:
        identity = place.engine.state.find("web").id
        place.engine.state.volumes[f"tc-{identity}"] = {}
        ports = (place.ledger, place.engine.facts, Stubborn(place.engine), place.engine.clock)
        (found,) = (await EngineScan(*ports, instance=OWN, playing=lambda _: False).scan()).found
        assert (found.state, found.commands) == (LeftoverState.LEFT, (f"docker volume rm tc-{identity}",))
