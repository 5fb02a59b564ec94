"""Recovery: what a dead coordinator left is put back, given its verdict and unlocked; nobody else's is touched."""

from datetime import timedelta

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.errors import Conflict, NotFound
from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerState
from coordinator.faults.lifecycle import ContainerPause
from coordinator.faults.locks import lock_command
from coordinator.faults.looks import Undo
from coordinator.identity import Identity, labels
from coordinator.logging import Message, configure
from coordinator.record import ExecutionState, FaultState, UndoState, Verdict
from coordinator.supervision import ChildState
from tests.clocks import LoopClock
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE
from tests.life import Life
from tests.unit.recovery.scene import Scene, scene

pytestmark = pytest.mark.anyio

IDENTITY = Identity("test-coordinator", INSTANCE, "testing", "1", "test", "test")
PAUSE = (
    "targets: {web: {names: [web]}}\n"
    "phases: [{name: p, duration: 60s, faults: [{type: container_pause, target: web}]}]\n"
)
DB = PAUSE.replace("web", "db")
START = Undo(
    container_id="x", name="x", started_at="", command=DockerCommand(argv=("start", "x")),
    needed_in=(ContainerState.EXITED,), restores=ContainerState.RUNNING,
)  # fmt: skip


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def test_what_a_dead_coordinator_left() -> None:
    """Its faults are undone, its executions aborted with the reason, its locks released: before it is ready."""
    async with scene() as place:
        await place.dead(PAUSE, DB)
        assert place.state("web") is place.state("db") is ContainerState.PAUSED
        life = await place.begin()
        recovery = life.supervisor.snapshot.find("recovery")
        assert recovery is not None
        assert recovery.state is ChildState.RUNNING
        assert place.state("web") is place.state("db") is ContainerState.RUNNING
        assert place.locked() == []
        assert await place.disk.faults(outstanding=True) == ()
        for execution in await place.disk.executions():
            assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.ABORTED)
            assert (execution.reason, execution.undo) == ("coordinator restarted", UndoState.COMPLETE)
            whole = await place.disk.execution(execution.id)
            assert whole is not None
            assert whole.timeline[-1].event == "finished"


@pytest.mark.parametrize("down_s", range(3600, 3690, 15))
async def test_what_waits_for_a_container_is_done_when_that_runs(down_s: int) -> None:
    """Wherever recovery is between two looks, which are more than a minute apart by then."""
    call = "{type: http_call, target: t, inject: {port: 80}, undo: {port: 80, path: /end}}"
    text = f"targets: {{t: {{names: [web]}}}}\nphases: [{{name: p, duration: 60s, faults: [{call}]}}]\n"
    async with scene() as place:
        await place.dead(text)
        await place.engine.stop("web", 0, 0)
        await place.begin()
        await anyio.sleep(down_s)
        assert len(await place.disk.faults(outstanding=True)) == 1
        await place.engine.start("db")
        await place.engine.start("web")
        await anyio.sleep(2)
        assert await place.disk.faults(outstanding=True) == ()


async def test_queued_executions_get_their_verdict() -> None:
    """One that was accepted and never begun is aborted too, with nothing to undo."""
    async with scene() as place:
        await place.dead(PAUSE, after=0)
        await place.begin()
        (execution,) = await place.disk.executions()
        assert (execution.verdict, execution.undo) == (Verdict.ABORTED, UndoState.NONE)


async def test_ready_although_the_engine_is_away() -> None:
    """Without an engine it is ready and degraded, verdicts are given, and all is put back when the engine is there."""
    async with scene() as place:
        await place.dead(PAUSE)
        place.engine.down()
        life = await place.begin()
        await anyio.sleep(30)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert (view.state, bool(view.degraded)) == (ChildState.RUNNING, True)
        # What `recover` gives as the reason: the row itself has none.
        assert "engine" in (life.recovery.trouble or "").lower()
        (execution,) = await place.disk.executions()
        assert (execution.verdict, execution.undo) == (Verdict.ABORTED, UndoState.INCOMPLETE)
        place.engine.up()
        await anyio.sleep(10)
        assert (place.state("web"), place.locked()) == (ContainerState.RUNNING, [])
        (execution,) = await place.disk.executions()
        assert execution.undo is UndoState.COMPLETE
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert view.degraded is None


async def test_ready_although_the_engine_hangs() -> None:
    """A hung engine delays the start, but not beyond its deadline."""
    async with scene() as place:
        await place.dead(PAUSE)
        place.engine.hang()
        life = await place.begin()
        await anyio.sleep(40)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert (view.state, view.incarnation) == (ChildState.RUNNING, 1)
        place.engine.up()
        await anyio.sleep(90)
        assert (place.state("web"), place.locked()) == (ContainerState.RUNNING, [])


async def test_without_a_ledger_it_says_so() -> None:
    """When the ledger cannot be read or written, it is degraded, not done."""
    async with scene() as place:
        await place.dead(PAUSE)
        place.disk.away = True
        life = await place.begin()
        await anyio.sleep(5)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert "ledger" in (view.degraded or "")
        place.disk.away = False
        await anyio.sleep(70)
        assert await place.disk.faults(outstanding=True) == ()
        (execution,) = await place.disk.executions()
        assert (execution.verdict, place.locked()) == (Verdict.ABORTED, [])


async def test_running_executions_are_left_alone() -> None:
    """However often it looks, it touches neither rows nor locks nor verdicts of what is being played."""
    async with scene() as place:
        life = await place.begin()
        accepted = await life.submit(PAUSE)
        await anyio.sleep(5)
        for _ in range(20):
            assert await life.recovery.recover(5) == ()
            await anyio.sleep(0.01)
        assert (place.state("web"), place.locked()) == (ContainerState.PAUSED, [INSTANCE])
        stored = await place.disk.execution(accepted.id)
        assert stored is not None
        assert stored.state is ExecutionState.RUNNING
        (fault,) = (await life.executions.execution(accepted.id)).faults
        with pytest.raises(Conflict, match="which is running"):
            await life.recovery.undo(fault.id, 5)
        with pytest.raises(Conflict, match="which is running"):
            await life.recovery.forget(fault.id)
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.PASSED


async def test_it_never_changes_a_verdict_that_is_being_given() -> None:
    """Passes at every moment of many short executions never take one of them for an orphan."""
    async with scene() as place:
        life = await place.begin()
        text = PAUSE.replace("60s", "200ms")

        async def pass_after_pass() -> None:
            while True:
                await life.recovery.recover(5)
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as group:
            group.start_soon(pass_after_pass)
            for _ in range(20):
                accepted = await life.submit(text)
                done = await life.executions.finished(accepted.id)
                assert done.verdict is Verdict.PASSED, done.reason
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        assert {one.verdict for one in await place.disk.executions()} == {Verdict.PASSED}


async def test_a_verdict_waits_for_a_disk_that_is_full() -> None:
    """Longer than the execution itself waits for it: what is written in the end is the verdict that was given."""
    async with scene() as place:
        life = await place.begin()
        checked = PAUSE.replace("phases:", "probes: {up: {type: container, target: web, every: 1s}}\nphases:").replace(
            "duration: 60s,", "duration: 60s, assert: [{probe: up, availability: '>= 0%'}],"
        )
        accepted = await life.submit(checked)
        await anyio.sleep(50)
        place.disk.away = True
        done = await life.executions.finished(accepted.id)
        await anyio.sleep(60)
        (stored,) = await place.disk.executions()
        assert (done.verdict, stored.verdict, place.state("web")) == (Verdict.PASSED, None, ContainerState.RUNNING)
        place.disk.away = False
        stored = await life.executions.finished(accepted.id)
        assert (stored.verdict, stored.reason) == (Verdict.PASSED, None)
        assert stored.undo is UndoState.COMPLETE
        assert [(each.event, each.text) for each in stored.timeline] == [
            (each.event, each.text) for each in done.timeline
        ]
        assert len(stored.assertions) == 1
        assert stored.assertions == done.assertions


async def test_locks_of_others_stay() -> None:
    """Neither another instance's lock is removed, nor one of our own name that the ledger knows nothing of."""
    async with scene() as place:
        ids = [place.engine.state.find(name).id for name in ("web", "db")]
        await place.engine.runner.run(lock_command(ids[0], "chaos-2", "theirs", "", 0.0, ()))
        await place.engine.runner.run(lock_command(ids[1], INSTANCE, "unknown", "", 0.0, (START,)))
        life = await place.begin()
        await life.recovery.recover(5)
        assert place.locked() == ["chaos-2", INSTANCE]


async def test_helpers_of_the_dead_are_removed() -> None:
    """The engine keeps the helper of an execution that died: it is removed; another instance's stays, and so does one
    of an execution that the ledger knows nothing of.
    """
    async with scene() as place:
        await place.dead(PAUSE)
        (execution,) = await place.disk.executions()
        for name, instance, of in (
            ("own", INSTANCE, execution.id), ("theirs", "chaos-2", execution.id), ("unknown", INSTANCE, "unknown"),
        ):  # fmt: skip
            place.engine.add(name, labels=labels("helper", instance, execution=of))
        await place.begin()
        assert [helper.name for helper in await place.engine.facts.helpers()] == ["theirs", "unknown"]


async def test_helpers_of_nothing_that_idle_are_removed() -> None:
    """One that was to see what can be done here, and was made by a coordinator that died before it was started. One
    that runs stays, and one that came since has until the next look to start.
    """

    async def made(place: Scene, name: str, instance: str = INSTANCE, *, idle: bool = True) -> None:
        place.engine.add(name, labels=labels("helper", instance))
        if idle:
            await place.engine.stop(name, 0, 0)

    async with scene() as place:
        await made(place, "left")
        await made(place, "busy", idle=False)
        await made(place, "theirs", "chaos-2")
        life = await place.begin()
        await made(place, "fresh")
        seen = []
        for _ in range(2):
            await life.recovery.recover(5)
            seen.append([helper.name for helper in await place.engine.facts.helpers()])
        assert seen == [["busy", "fresh", "theirs"], ["busy", "theirs"]]


async def test_a_lock_nobody_knows_is_told_once() -> None:
    """One warning, with the undos and how to release it, and not one more at every look."""
    lines: list[Message] = []
    with configure(IDENTITY, sinks=[lines.append]):
        lines.clear()  # Eliot kept what earlier tests said for the first to listen
        async with scene() as place:
            found = place.engine.state.find("db").id
            await place.engine.runner.run(lock_command(found, INSTANCE, "unknown", "", 0.0, (START,)))
            life = await place.begin()
            for _ in range(3):
                await life.recovery.recover(5)
    told = [line for line in lines if line.get("message_type") == "recovery:unknown_lock"]
    assert [(line["undo"], line["execution"]) for line in told] == [(["docker start x"], "unknown")]
    assert "`recover --scan` undoes it" in str(told[0]["reason"])


async def paused_by_us(place: Scene, expires: float) -> None:
    """A container that this instance paused in a life of which no ledger tells."""
    web = place.engine.state.find("web").facts()
    undos = ContainerPause(type="container_pause", target="t").plan([web]).undos
    await place.engine.runner.run(lock_command(web.id, INSTANCE, "forgotten", "", expires, undos))
    place.engine.pause("web")


async def test_what_a_scan_leaves_is_said_until_it_is_gone() -> None:
    """Recovery is degraded with what a person has to act on, and not any more when a scan finds it in order."""
    async with scene() as place:
        await paused_by_us(place, 4e9)
        (labels,) = place.engine.state.volumes.values()
        labels["test-coordinator.owed"] = "unreadable"
        life = await place.begin()
        life.recovery.ledger_lost()
        await anyio.sleep(4)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert (view.degraded or "").startswith("left on the engine: lock on web (its labels are not")
        place.engine.state.volumes.clear()
        assert (await life.recovery.scan()).found == ()
        await anyio.sleep(1)
        view = life.supervisor.snapshot.find("recovery")
        assert view is not None
        assert view.degraded is None


async def test_a_forgotten_lock_is_undone_after_its_deadline() -> None:
    """A coordinator that lost its folder puts back what it did, once no other of its name can be at work on it."""
    async with scene() as place:
        await paused_by_us(place, LoopClock().now().timestamp() + 300)
        await place.begin()
        await anyio.sleep(200)
        assert place.state("web") is ContainerState.PAUSED
        await anyio.sleep(200)
        assert (place.state("web"), place.locked()) == (ContainerState.RUNNING, [])


async def test_a_person_undid_it_already() -> None:
    """What somebody else put back meanwhile is not touched; his own later pause of a new run stays."""
    async with scene() as place:
        await place.dead(PAUSE)
        await place.engine.stop("web", 1, 0)
        await place.engine.start("web")
        place.engine.pause("web")
        await place.begin()
        assert place.state("web") is ContainerState.PAUSED
        assert await place.disk.faults(outstanding=True) == ()


async def stuck(place: Scene) -> tuple[Life, str]:
    """A life with one fault of a dead one that cannot be undone."""
    place.engine.script(("undo",), ExecResult(exit_code=1, stderr="no"))
    spec = "{type: exec, target: web, command: [do], undo_command: [undo]}"
    await place.dead(PAUSE.replace("{type: container_pause, target: web}", spec))
    life = await place.begin()
    await anyio.sleep(30)
    (row,) = await place.disk.faults(outstanding=True)
    assert (row.fault.state, row.last_error) == (FaultState.STUCK, "no")
    assert place.locked() == [INSTANCE]  # what is broken stays locked
    return life, row.fault.id


async def test_one_fault_on_demand() -> None:
    """A stuck fault is undone when it can be, and its execution told complete."""
    async with scene() as place:
        life, fault_id = await stuck(place)
        assert (await life.recovery.undo(fault_id, 2)).fault.state is FaultState.STUCK
        place.engine.script(("undo",), ExecResult())
        assert (await life.recovery.undo(fault_id, 2)).fault.state is FaultState.UNDONE
        (execution,) = await place.disk.executions()
        assert (execution.undo, place.locked()) == (UndoState.COMPLETE, [])
        with pytest.raises(NotFound):
            await life.recovery.undo("nobody's", 2)
        assert (await life.recovery.undo(fault_id, 2)).fault.state is FaultState.UNDONE


async def test_what_is_left_is_told_as_commands() -> None:
    """A report of an execution with a stuck fault names the commands a person may run."""
    async with scene() as place:
        life, _ = await stuck(place)
        (execution,) = await place.disk.executions()
        report = await life.executions.report(execution.id)
        assert report.left_broken == (f"docker exec {place.engine.state.find('web').id} undo",)


async def test_forgotten_is_not_put_back() -> None:
    """A forgotten fault owes nothing more, its lock goes, and its execution stays incomplete for ever."""
    async with scene() as place:
        life, fault_id = await stuck(place)
        row = await life.recovery.forget(fault_id)
        assert (row.outstanding, row.last_error) == (False, "forgotten by a person")
        with pytest.raises(NotFound):
            await life.recovery.forget(fault_id)
        await life.recovery.recover(5)
        life.dead = True
        await place.begin()
        (execution,) = await place.disk.executions()
        assert (execution.undo, place.locked()) == (UndoState.INCOMPLETE, [])
        assert await place.disk.faults(outstanding=True) == ()


async def test_old_executions_are_purged() -> None:
    """Finished executions go after the days they are kept, at the start and once an hour."""
    async with scene() as place:
        life = await place.begin(retention_days=1)
        accepted = await life.submit(PAUSE.replace("60s", "1s"))
        await life.executions.finished(accepted.id)
        await anyio.sleep(timedelta(hours=23).total_seconds())
        assert await place.disk.execution(accepted.id) is not None
        await anyio.sleep(timedelta(hours=3).total_seconds())
        assert await place.disk.execution(accepted.id) is None
