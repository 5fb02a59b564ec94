"""The intake of executions: accepted once, played once, whatever happens to the actor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import anyio
import pytest

from actors.docker.simulated import SimulatedEngine
from coordinator.errors import Conflict, InvariantBroken, LedgerUnavailable, NotFound, Refused
from coordinator.faults.facts import ContainerState
from coordinator.logging import task
from coordinator.record import Execution, ExecutionState, Submission, TimelineEntry, UndoState, Verdict
from coordinator.supervision import ChildRefused, ChildSpec, Refusal
from tests.clocks import LoopClock
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import HEAD, FailingLedger
from tests.life import POOL, Life

pytestmark = pytest.mark.anyio

PAUSE = (
    "targets: {{web: {{names: [{0}]}}}}\n"
    "phases: [{{name: p, duration: 10s, faults: [{{type: container_pause, target: web}}]}}]\n"
)
WEB, DB = PAUSE.format("web"), PAUSE.format("db")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@asynccontextmanager
async def living(max_concurrent: int = 3) -> AsyncIterator[Life]:
    """A coordinator that runs, with two containers, ended in order."""
    async with SimulatedEngine(LoopClock(), Random(1)) as engine:
        for name in ("web", "db"):
            engine.add(name)
        life = Life(engine, FailingLedger(), max_concurrent=max_concurrent)
        async with anyio.create_task_group() as group:
            group.start_soon(life.supervisor.run)
            await anyio.sleep(1)
            yield life
            with anyio.fail_after(60):
                await life.stop()
        assert {one.state for one in engine.state.containers.values()} == {ContainerState.RUNNING}
        assert engine.state.volumes == {}


async def test_accepted_played_finished() -> None:
    """A submission is durable when it is accepted, is played in the pool, and can be waited for."""
    async with living() as life:
        accepted = await life.submit(WEB)
        stored = await life.ledger.execution(accepted.id)
        assert stored is not None
        assert (accepted.state, stored.state) == (ExecutionState.QUEUED, ExecutionState.QUEUED)
        assert life.executions.playing(accepted.id)
        await anyio.sleep(5)
        assert (await life.executions.execution(accepted.id)).state is ExecutionState.RUNNING
        # Listed and looked at alone, it owes the same.
        assert [one.undo for one in await life.executions.executions(None, 10, None)] == [UndoState.PENDING]
        assert life.supervisor.snapshot.find(f"{POOL}/{accepted.id}") is not None
        done = await life.executions.finished(accepted.id)
        assert done.verdict is Verdict.PASSED
        assert not life.executions.playing(accepted.id)
        assert [one.id for one in life.ended] == [accepted.id]
        assert (await life.executions.execution(accepted.id)).verdict is Verdict.PASSED
        assert (await life.executions.finished(accepted.id)).verdict is Verdict.PASSED
        assert [one.id for one in await life.executions.executions(None, 10, None)] == [accepted.id]
        with pytest.raises(Conflict, match="is finished: passed"):
            await life.executions.stop(accepted.id, "late")
        with pytest.raises(NotFound):
            await life.executions.execution("nobody")


async def test_no_more_at_once_than_allowed() -> None:
    """Further executions wait in the order in which they came."""
    async with living(max_concurrent=1) as life:
        first, second, third = [await life.submit(text) for text in (WEB, DB, WEB)]
        await anyio.sleep(5)
        states = [(await life.executions.execution(one.id)).state for one in (first, second, third)]
        assert states == [ExecutionState.RUNNING, ExecutionState.QUEUED, ExecutionState.QUEUED]
        for one in (first, second, third):
            assert (await life.executions.finished(one.id)).verdict is Verdict.PASSED
        assert [one.id for one in life.ended] == [first.id, second.id, third.id]


async def test_stopped_while_queued() -> None:
    """One that waits for its turn is finished at once when it is stopped, and touches nothing."""
    async with living(max_concurrent=1) as life:
        await life.submit(WEB)
        queued = await life.submit(DB)
        await anyio.sleep(1)
        await life.executions.stop(queued.id, "not needed")
        with anyio.fail_after(2):
            done = await life.executions.finished(queued.id)
        assert (done.verdict, done.reason) == (Verdict.ABORTED, "not needed")
        assert not [text for text in life.ran if text.startswith("pause") and "db" in text]


async def test_the_actor_may_crash() -> None:
    """A crash of the actor ends no running execution, loses no queued one and plays none twice."""
    async with living(max_concurrent=1) as life:
        accepted = [await life.submit(text) for text in (WEB, DB, WEB)]
        for _ in range(12):
            await anyio.sleep(2.7)
            with suppress(ChildRefused):  # it may still wait for its restart
                await life.supervisor.crash_child("executions")
        for one in accepted:
            assert (await life.executions.finished(one.id)).verdict is Verdict.PASSED
        assert [one.id for one in life.ended] == [one.id for one in accepted]
        assert len([text for text in life.ran if text.startswith("pause")]) == 3


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_moment_of_a_start(steps: int) -> None:
    """Wherever the actor is interrupted while it hands an execution over, that execution is played exactly once."""
    async with living() as life:
        accepted = await life.submit(WEB)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        await life.supervisor.crash_child("executions")
        with anyio.fail_after(60):
            assert (await life.executions.finished(accepted.id)).verdict is Verdict.PASSED
        assert len([text for text in life.ran if text.startswith("pause")]) == 1


async def test_a_pool_that_refuses_is_asked_again() -> None:
    """An execution that the pool did not take stays queued; one that is stopped meanwhile gets its verdict."""
    async with living() as life:
        real, refusing = life.executions._start_child, True

        async def moody(spec: ChildSpec) -> object:
            if refusing:
                raise ChildRefused(spec.id, Refusal.NOT_RUNNING)
            return await real(spec)

        life.executions._start_child = moody
        first, second = await life.submit(WEB), await life.submit(DB)
        await anyio.sleep(3)
        assert (await life.executions.execution(first.id)).state is ExecutionState.QUEUED
        await life.executions.stop(second.id, "enough")
        with anyio.fail_after(5):
            assert (await life.executions.finished(second.id)).verdict is Verdict.ABORTED
        refusing = False
        assert (await life.executions.finished(first.id)).verdict is Verdict.PASSED


async def test_a_pool_that_takes_it_too_late() -> None:
    """An execution that was finished while the pool took its time is not played again when the pool begins it."""
    async with living() as life:
        real, asked = life.executions._start_child, []

        async def slow(spec: ChildSpec) -> None:
            asked.append(spec)
            await anyio.sleep_forever()

        life.executions._start_child = slow
        accepted = await life.submit(WEB)
        await anyio.sleep(1)
        await life.executions.stop(accepted.id, "enough")
        with anyio.fail_after(10):
            await life.executions.finished(accepted.id)
        await real(asked[0])
        await anyio.sleep(1)
        assert [one.id for one in life.ended] == [accepted.id]


async def test_the_same_key_is_the_same_execution() -> None:
    """A repeated request with its key is answered with its execution, another request with that key is refused."""
    async with living() as life:
        answers = []

        async def ask() -> None:
            answers.append((await life.submit(WEB, "key")).id)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(ask)
        assert len(set(answers)) == 1
        with pytest.raises(Conflict, match="was used for another request"):
            await life.submit(DB, "key")
        await life.executions.finished(answers[0])
        assert (await life.submit(WEB, "key")).verdict is Verdict.PASSED
        assert len(await life.ledger.executions()) == 1


async def test_one_execution_per_eliot_task() -> None:
    """An execution's id is its task's: a second one in the same task cannot be."""
    async with living() as life:
        with task("request"):
            await life.executions.submit(Submission(source=HEAD + WEB), None)
            with pytest.raises(InvariantBroken, match="every submission needs its own task"):
                await life.executions.submit(Submission(source=HEAD + WEB), None)


async def test_what_is_not_on_disk_is_not_accepted() -> None:
    """When the ledger cannot be written, nothing is queued and nobody waits for it."""
    async with living() as life:
        disk = life.ledger._disk
        assert isinstance(disk, FailingLedger)
        disk.away = True
        with pytest.raises(LedgerUnavailable):
            await life.submit(WEB)
        assert life.executions.active() == 0
        disk.away = False
        assert await life.ledger.executions() == ()


async def test_drained_it_takes_no_more() -> None:
    """Draining stops and undoes everything, and refuses what comes later."""
    async with living() as life:
        running = await life.submit(WEB)
        await anyio.sleep(5)
        assert life.engine.state.find("web").state is ContainerState.PAUSED
        await life.executions.stop_all("the end", drain=True)
        assert life.engine.state.find("web").state is ContainerState.RUNNING
        done = await life.executions.execution(running.id)
        assert (done.verdict, done.reason) == (Verdict.ABORTED, "the end")
        with pytest.raises(Refused, match="stopping"):
            await life.submit(WEB)


async def test_stopped_as_an_actor() -> None:
    """An execution whose child an operator stops ends aborted and undone, and is not told that all is stopping."""
    async with living() as life:
        running = await life.submit(WEB)
        await anyio.sleep(5)
        await life.supervisor.terminate_child(f"{POOL}/{running.id}")
        done = await life.executions.finished(running.id)
        assert (done.verdict, done.reason) == (Verdict.ABORTED, "its actor was stopped")
        assert life.engine.state.find("web").state is ContainerState.RUNNING


async def test_expected_plan() -> None:
    """A submission with another plan's hash is refused; with its own it is accepted."""
    async with living() as life:
        plan = await life.executions.plan(Submission(source=HEAD + WEB, seed=4))
        with task("request"), pytest.raises(Conflict, match="not the expected"):
            await life.executions.submit(Submission(source=HEAD + WEB, seed=4, expect_plan="0" * 16), None)
        with task("request"):
            accepted = await life.executions.submit(Submission(source=HEAD + WEB, seed=4, expect_plan=plan.hash), None)
        assert (await life.executions.finished(accepted.id)).plan_hash == plan.hash


async def test_reports_while_it_runs_and_afterwards() -> None:
    """A report shows the samples so far, and later all of them; what is put back is not left broken."""
    text = WEB + "probes: {up: {type: container, target: web, every: 100ms}}\n"
    async with living() as life:
        running = await life.submit(text)
        await anyio.sleep(5)
        live = await life.executions.report(running.id)
        await life.executions.finished(running.id)
        after = await life.executions.report(running.id)
        assert 0 < len(live.probes["up"].samples) < len(after.probes["up"].samples)
        assert (live.left_broken, after.left_broken) == ((), ())


async def test_one_fault_is_undone_on_demand() -> None:
    """The undo of a running execution's fault is waited for; a stranger's fault is nobody's."""
    async with living() as life:
        running = await life.submit(WEB)
        await anyio.sleep(5)
        (fault,) = (await life.executions.execution(running.id)).faults
        assert await life.executions.undo(fault.id)
        assert life.engine.state.find("web").state is ContainerState.RUNNING
        assert not await life.executions.undo("nobody's")
        assert (await life.executions.finished(running.id)).verdict is Verdict.PASSED


async def test_an_orphan_is_followed_to_its_end() -> None:
    """An execution of an earlier process, which nobody plays, has no end before recovery has written one."""
    async with living() as life, anyio.create_task_group() as group:
        orphan = Execution(
            id="orphan", scenario="s", state=ExecutionState.RUNNING, seed=1, created_at=LoopClock().now(),
        )  # fmt: skip
        await life.ledger.accept(orphan, Submission(source=WEB), "task@/1")
        entry = TimelineEntry(at=LoopClock().now(), offset_s=0.0, event="one")
        await life.ledger.append_timeline("orphan", entry)
        assert await life.executions.timeline("orphan", 0) == (entry,)
        told: list[tuple[TimelineEntry, ...]] = []
        done: list[Execution] = []

        async def follow() -> None:
            told.append(await life.executions.timeline("orphan", 1))
            told.append(await life.executions.timeline("orphan", 2))

        async def wait() -> None:
            done.append(await life.executions.finished("orphan"))

        group.start_soon(follow)
        group.start_soon(wait)
        await anyio.sleep(10)
        assert (told, done) == ([], [])
        last = entry.model_copy(update={"event": "finished"})
        await life.ledger.append_timeline("orphan", last)
        await anyio.sleep(1)
        assert told == [(last,)]
        await life.ledger.save_execution(orphan.model_copy(update={"state": ExecutionState.FINISHED}))
        await anyio.sleep(5)
        assert (told[1], done[0].state) == ((), ExecutionState.FINISHED)
