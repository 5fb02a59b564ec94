"""Undoing: what is put back, what is left alone, and what is waited for."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.faults.commands import Command
from coordinator.faults.execute import ExecFault
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.lifecycle import SHUTDOWN_S, ContainerCrash, ContainerKill, ContainerPause, ContainerStop
from coordinator.faults.limits import CpuLimit
from coordinator.faults.model import FaultSpec
from coordinator.identity import LABEL_EXECUTION, LABEL_FAULT
from coordinator.record import Fault, FaultRow, FaultState, TargetOutcome
from coordinator.scenarios.undo import FROZEN
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

CRASH = ContainerCrash(type="container_crash", target="x")
KILL = ContainerKill(type="container_kill", target="x")
PAUSE = ContainerPause(type="container_pause", target="x")
STOP = ContainerStop(type="container_stop", target="x", grace="10s")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def row_of(house: Fleet, spec: FaultSpec, state: FaultState, *, effective: bool = True) -> FaultRow:
    """A row on disk for a fault on all containers, as it is in this state."""
    execution = await house.accepted()
    containers: Sequence[ContainerFacts] = await house.engine.facts.containers()
    plan = spec.plan(containers)
    now = house.clock.now()
    fired = state is not FaultState.ARMED
    fault = Fault(
        id=str(UUID(int=77)), execution_id=execution.id, phase="p", type=spec.type, target="x",
        fault_class=spec.fault_class, mechanism=spec.mechanism, state=state, armed_at=now,
        fired_at=now if fired else None,
        targets=tuple(
            TargetOutcome(container_id=one.container_id, name=one.name, effective_at=now if effective else None)
            for one in plan.targets
        ),
    )  # fmt: skip
    row = FaultRow(fault=fault, engine_id=house.engine.info.id, task=f"{execution.id}@/", undos=plan.undos)
    await house.ledger.save_fault(row)
    return row


async def inject(house: Fleet, spec: FaultSpec) -> None:
    """Run what the fault would run, one container after the other."""
    for target in spec.plan(await house.engine.facts.containers()).targets:
        await house.engine.runner.run(target.inject)


@pytest.mark.parametrize("spec", [KILL, PAUSE, STOP])
async def test_puts_back_what_was_changed(spec: FaultSpec) -> None:
    """A seen effect is undone on every target, proven by a look and recorded."""
    async with fleet("a", "b") as house:
        row = await row_of(house, spec, FaultState.ACTIVE)
        await inject(house, spec)
        done = await house.undoer.undo(row, 30)
        assert house.state("a") is house.state("b") is ContainerState.RUNNING
        stored = await house.ledger.fault(row.fault.id)
        assert stored is not None
        assert (stored.fault.state, stored.attempted) == (FaultState.UNDONE, done.attempted)
        assert (done.fault.state, done.last_error, done.attempts) == (FaultState.UNDONE, "", 1)
        assert all(target.undone_at and target.outcome == "put back" for target in done.fault.targets)


async def test_the_attempt_is_on_disk_before_its_command() -> None:
    """After a crash in the middle of an undo, the run it began is known to be ours."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.ACTIVE)
        await inject(house, KILL)
        seen: list[FaultRow | None] = []

        async def look(_command: Command) -> None:
            seen.append(await house.ledger.fault(row.fault.id))

        house.runner.before = look
        await house.undoer.undo(row, 30)
        assert seen[0] is not None
        assert (seen[0].fault.state, seen[0].attempted) == (FaultState.UNDOING, (row.undos[0].container_id,))


async def test_a_row_that_was_never_fired_owes_nothing() -> None:
    """An armed row is settled without a look or a command, even while the engine is away."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.ARMED, effective=False)
        house.engine.down()
        done = await house.undoer.undo(row, 30)
        assert done.fault.state is FaultState.NOT_INJECTED
        assert house.runner.ran == []


async def test_a_later_run_is_not_ours() -> None:
    """A container that somebody started again and stopped himself stays stopped."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.ACTIVE)
        await inject(house, KILL)
        await house.engine.start("a")
        await house.engine.stop("a", 10, 0)
        done = await house.undoer.undo(row, 30)
        assert house.state("a") is ContainerState.EXITED
        assert done.fault.state is FaultState.UNDONE
        assert "somebody else" in done.fault.targets[0].outcome


async def test_a_clock_that_was_set_back_is_not_waited_for() -> None:
    """A signal that was ignored may still be obeyed for a while, which no hour of the wall clock makes longer."""
    spec = ContainerKill(type="container_kill", target="x", signal="SIGTERM")
    async with fleet("a") as house:
        row = await row_of(house, spec, FaultState.ACTIVE)
        ahead = house.clock.now() + timedelta(hours=1)
        targets = tuple(each.model_copy(update={"effective_at": ahead}) for each in row.fault.targets)
        row = row.model_copy(update={"fault": row.fault.model_copy(update={"targets": targets})})
        begun = anyio.current_time()
        done = await house.undoer.undo(row, 300)
        assert done.fault.state is FaultState.UNDONE
        assert SHUTDOWN_S <= anyio.current_time() - begun < 2 * SHUTDOWN_S


async def test_stuck_without_an_attempt_claims_no_later_run() -> None:
    """An undo that never got to run a command does not make later runs ours."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.ACTIVE)
        await inject(house, KILL)
        house.engine.down()
        stuck = await house.undoer.undo(row, 5)
        assert (stuck.fault.state, stuck.attempted) == (FaultState.STUCK, ())
        assert "start Docker" in stuck.last_error
        house.engine.up()
        await house.engine.start("a")
        await house.engine.stop("a", 10, 0)
        done = await house.undoer.undo(stuck, 5)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.EXITED)


async def test_stuck_is_tried_again() -> None:
    """What could not be undone while the engine was away is undone by the next attempt."""
    async with fleet("a") as house:
        row = await row_of(house, PAUSE, FaultState.ACTIVE)
        await inject(house, PAUSE)
        house.engine.down()
        stuck = await house.undoer.undo(row, 5)
        house.engine.up()
        done = await house.undoer.undo(stuck, 5)
        assert (done.fault.state, done.attempts, done.last_error) == (FaultState.UNDONE, 2, "")
        assert house.state("a") is ContainerState.RUNNING


async def test_waits_for_an_engine_that_comes_back() -> None:
    """Within its deadline an undo outlives an outage."""
    async with fleet("a") as house, anyio.create_task_group() as group:
        row = await row_of(house, PAUSE, FaultState.ACTIVE)
        await inject(house, PAUSE)
        house.engine.down()

        async def later() -> None:
            await anyio.sleep(20)
            house.engine.up()

        group.start_soon(later)
        done = await house.undoer.undo(row, 60)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)


async def test_a_stop_in_its_grace_is_waited_for() -> None:
    """A stop whose command was killed goes on in the engine: running is no answer until it cannot happen any more."""
    async with fleet() as house:
        house.engine.add("stubborn", ends_on=())
        row = await row_of(house, STOP, FaultState.FIRED, effective=False)
        with anyio.move_on_after(1):
            await inject(house, STOP)
        assert house.state("stubborn") is ContainerState.RUNNING
        done = await house.undoer.undo(row, 60)
        assert (done.fault.state, house.state("stubborn")) == (FaultState.UNDONE, ContainerState.RUNNING)
        assert "start" in house.runner.verbs()
        assert anyio.current_time() > 10


async def test_what_a_hung_engine_was_asked_happens_when_it_wakes() -> None:
    """Settling counts from the first answer, not from the firing: the hung engine works off the pause it was asked."""
    async with fleet("a") as house, anyio.create_task_group() as group:
        row = await row_of(house, PAUSE, FaultState.FIRED, effective=False)
        (target,) = PAUSE.plan(await house.engine.facts.containers()).targets
        house.engine.hang()
        with anyio.move_on_after(1):
            await house.engine.runner.run(target.inject)

        async def later() -> None:
            await anyio.sleep(25)
            house.engine.up()

        group.start_soon(later)
        done = await house.undoer.undo(row, 60)
        await anyio.sleep(30)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)
        assert "unpause" in house.runner.verbs()


async def test_settling_goes_on_over_short_attempts() -> None:
    """Attempts that are shorter than what must be waited for come to an end all the same."""
    async with fleet("a") as house:
        row = await row_of(house, STOP, FaultState.FIRED, effective=False)
        attempts = 0
        while row.outstanding and attempts < 10:
            row = await house.undoer.undo(row, 4)
            attempts += 1
        assert (row.fault.state, attempts) == (FaultState.NOT_INJECTED, 4)


async def test_a_run_that_began_while_the_command_was_under_way_is_ours() -> None:
    """Somebody's start that lands between our firing and the engine's deed makes the run that we hit."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.FIRED, effective=False)
        await house.engine.stop("a", 1, 0)
        await house.engine.start("a")
        await inject(house, KILL)
        assert house.engine.state.find("a").facts().started_at > row.undos[0].started_at
        done = await house.undoer.undo(row, 30)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)


async def test_fired_without_effect_is_not_injected() -> None:
    """A fault that was fired and never happened ends as not injected, after the time it might have taken."""
    async with fleet("a") as house:
        row = await row_of(house, PAUSE, FaultState.FIRED, effective=False)
        done = await house.undoer.undo(row, 60)
        assert (done.fault.state, house.runner.ran) == (FaultState.NOT_INJECTED, [])
        assert anyio.current_time() >= row.undos[0].settle_s


async def test_a_helper_that_undoes_tells_for_whom() -> None:
    """One that the engine makes after its command was killed is found by its labels, and removed."""
    spec = CpuLimit(type="cpu_limit", target="x", cpus=0.5)
    async with fleet("a") as house:
        row = await row_of(house, spec, FaultState.ACTIVE)
        await inject(house, spec)
        done = await house.undoer.undo(row, 30)
        removed = house.runner.ran[-1][1]
        assert done.fault.state is FaultState.UNDONE
        assert f"{LABEL_EXECUTION}={row.fault.execution_id}" in removed
        assert f"{LABEL_FAULT}={row.fault.id}" in removed


async def test_a_command_that_comes_after_its_undo_is_undone_again() -> None:
    """What was asked for when the coordinator died may start in the container later than the undo that followed."""
    spec = ExecFault(type="exec", target="x", command=("do",), undo_command=("undo",))
    broken = []
    async with fleet("a") as house:
        house.engine.script(["do"], ExecResult(then=lambda: broken.append("by do")))
        house.engine.script(["undo"], ExecResult(then=broken.clear))
        row = await row_of(house, spec, FaultState.FIRED, effective=False)

        async def late() -> None:
            await anyio.sleep(3)
            await inject(house, spec)

        async with anyio.create_task_group() as group:
            group.start_soon(late)
            done = await house.undoer.undo(row, 60)
        assert (done.fault.state, broken) == (FaultState.UNDONE, [])


async def test_what_was_killed_while_it_was_frozen_is_waited_for() -> None:
    """A crash of a container that is paused is owed until it goes on, and dies, however long that takes."""
    async with fleet("a") as house:
        row = await row_of(house, CRASH, FaultState.FIRED, effective=False)
        (crash,) = (target.inject for target in CRASH.plan(await house.engine.facts.containers()).targets)
        house.engine.pause("a")
        await house.engine.runner.run(crash)
        stuck = await house.undoer.undo(row, 60)
        assert (stuck.fault.state, stuck.last_error) == (FaultState.STUCK, FROZEN)
        house.engine.unpause("a")
        done = await house.undoer.undo(stuck, 60)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)
        assert (house.runner.verbs(), house.engine.state.find("a").runs) == (["start"], 2)


async def test_the_run_that_was_up_when_fired_is_ours() -> None:
    """A container restarted between arming and firing, killed unseen, is started again."""
    async with fleet("a") as house:
        row = await row_of(house, KILL, FaultState.ARMED, effective=False)
        await house.engine.restart("a", 10, 0)
        await anyio.sleep(1)
        now = house.clock.now()
        row = row.model_copy(
            update={"fault": row.fault.model_copy(update={"state": FaultState.FIRED, "fired_at": now})}
        )
        await inject(house, KILL)
        await house.undoer.undo(row, 60)
        assert house.state("a") is ContainerState.RUNNING


async def test_a_container_that_is_gone_needs_nothing() -> None:
    """Removal by somebody else ends the duty."""
    async with fleet("a", "b") as house:
        row = await row_of(house, PAUSE, FaultState.ACTIVE)
        await inject(house, PAUSE)
        house.engine.remove("a")
        done = await house.undoer.undo(row, 30)
        assert (done.fault.state, house.state("b")) == (FaultState.UNDONE, ContainerState.RUNNING)
        assert done.fault.targets[0].outcome == "container is gone: nothing to undo"


async def test_another_engine_is_not_touched() -> None:
    """A row of another engine stays outstanding at once, and says with which DOCKER_HOST to undo it."""
    async with fleet("a") as house:
        row = (await row_of(house, PAUSE, FaultState.ACTIVE)).model_copy(update={"engine_id": "OTHER"})
        await inject(house, PAUSE)
        done = await house.undoer.undo(row, 300)
        assert (done.fault.state, done.outstanding) == (FaultState.STUCK, True)
        assert "belongs to engine OTHER" in done.last_error
        assert "DOCKER_HOST" in done.last_error
        assert house.state("a") is ContainerState.PAUSED
        assert anyio.current_time() < 5


async def test_a_ledger_that_is_away_stops_no_undo() -> None:
    """The undo runs, and what it did is only not written down."""
    async with fleet("a") as house:
        row = await row_of(house, PAUSE, FaultState.ACTIVE)
        await inject(house, PAUSE)
        house.ledger.away = True
        done = await house.undoer.undo(row, 30)
        assert (done.fault.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)
        house.ledger.away = False
        stored = await house.ledger.fault(row.fault.id)
        assert stored is not None
        assert stored.outstanding


async def test_each_users_undo_is_judged_by_its_own_exit_code() -> None:
    """One failing undo command keeps its own target open, and runs no other one twice."""
    spec = ExecFault(type="exec", target="x", command=("do",), undo_command=("undo",))
    async with fleet("a", "b") as house:
        row = await row_of(house, spec, FaultState.ACTIVE)
        house.engine.script(("undo",), ExecResult(exit_code=3, stderr="not today"), container="a")
        done = await house.undoer.undo(row, 5)
        ids = {name: house.engine.state.find(name).id for name in ("a", "b")}
        ran = [text for _, text in house.runner.ran]
        assert ran.count(f"exec {ids['b']} undo") == 1
        assert ran.count(f"exec {ids['a']} undo") > 1
        assert (done.fault.state, done.last_error) == (FaultState.STUCK, "not today")
        outcomes = {target.name: target.undone_at for target in done.fault.targets}
        assert outcomes["a"] is None
        assert outcomes["b"] is not None
        house.engine.script(("undo",), ExecResult(), container="a")
        again = await house.undoer.undo(done, 5)
        assert again.fault.state is FaultState.UNDONE
        assert [text for _, text in house.runner.ran].count(f"exec {ids['b']} undo") == 1
