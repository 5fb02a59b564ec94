"""In which order, and within which time, a recovery undoes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import anyio
import pytest

from actors.docker.simulated import SimulatedEngine
from actors.recovery.actor import FIRST_PASS_S, LATER_PASS_S, RecoveryActor
from actors.recovery.order import COMMAND_S, LONGEST_S, least_s, together
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerState
from coordinator.faults.lifecycle import ContainerKill, ContainerPause, ContainerStop
from coordinator.faults.limits import CpuLimit, MemoryLimit, PidExhaustion
from coordinator.faults.model import FaultSpec
from coordinator.record import Fault, FaultRow, FaultState, TargetOutcome
from tests.clocks import LoopClock
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE, Fleet, fleet

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CPU = CpuLimit(type="cpu_limit", target="x", cpus=0.1)
MEMORY = MemoryLimit(type="memory_limit", target="x", limit="32m")
PIDS = PidExhaustion(type="pid_exhaustion", target="x")
KILL = ContainerKill(type="container_kill", target="x")
PAUSE = ContainerPause(type="container_pause", target="x")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def row_on(engine: SimulatedEngine, spec: FaultSpec, number: int, *names: str, at: datetime = NOW) -> FaultRow:
    """A fault that was fired at a time, and whose effect nobody saw."""
    plan = spec.plan([engine.state.find(name).facts() for name in names])
    targets = tuple(TargetOutcome(container_id=one.container_id, name=one.name) for one in plan.targets)
    fault = Fault(
        id=str(UUID(int=number)), execution_id=str(UUID(int=1)), phase="p", type=spec.type, target="x",
        fault_class=spec.fault_class, mechanism=spec.mechanism, state=FaultState.FIRED, armed_at=at,
        fired_at=at, targets=targets,
    )  # fmt: skip
    return FaultRow(fault=fault, engine_id=engine.info.id, task="1@/", undos=plan.undos)


def engine_of(*names: str) -> SimulatedEngine:
    """Not running: for what is planned on it."""
    engine = SimulatedEngine(LoopClock(), Random(1))
    for name in names:
        engine.add(name, started=False)
        engine.state.find(name).state = ContainerState.RUNNING
    return engine


def test_rows_that_share_a_container_are_one_group() -> None:
    """Also where a third one joins them; the last fired is the first, and a pause before all."""
    engine = engine_of("a", "b", "c", "d")
    later = NOW + timedelta(seconds=1)
    on_a, on_b = row_on(engine, PAUSE, 2, "a"), row_on(engine, KILL, 3, "b", at=later)
    both, alone = row_on(engine, KILL, 4, "a", "b", at=later + timedelta(seconds=1)), row_on(engine, KILL, 5, "c")
    assert together([on_a, on_b, alone, both]) == [[alone], [on_a, both, on_b]]
    assert together([]) == []


def test_each_has_the_time_it_takes() -> None:
    """What its undo waits for and its command; a stop with a long grace does not hold all the others up."""
    engine = engine_of("a")
    assert (
        least_s(row_on(engine, KILL, 2, "a"))
        == KILL.plan([engine.state.find("a").facts()]).undos[0].settle_s + COMMAND_S
    )
    assert least_s(row_on(engine, ContainerStop(type="container_stop", target="x", grace="600s"), 2, "a")) == LONGEST_S


def recovery(house: Fleet) -> RecoveryActor:
    """As every start has one."""
    return RecoveryActor(
        house.ledger, house.engine.facts, house.runner, house.undoer, house.clock, instance=INSTANCE,
        playing=lambda _: False, retention_days=7,
    )  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("helper_s", [0.2, 2.5])
async def test_one_pass_is_enough(helper_s: float) -> None:
    """Of faults on one container whose effects nobody saw each is waited for long enough, also where helpers are slow:
    a warden's next pass would begin to wait anew.
    """
    async with fleet("a") as house:
        await house.accepted(1)
        specs = (CPU, MEMORY, PIDS, KILL)
        for number, spec in enumerate(specs, 2):
            await house.ledger.save_fault(row_on(house.engine, spec, number, "a", at=house.clock.now()))

        async def slow(command: Command) -> None:
            await anyio.sleep(helper_s)

        house.runner.before = slow
        assert await recovery(house).recover(FIRST_PASS_S) == ()


@pytest.mark.anyio
async def test_what_takes_longer_than_its_time_has_more_of_it() -> None:
    """On a machine so slow that each command would be cut off, each attempt goes on for longer, until one is enough."""
    async with fleet("a") as house:
        await house.accepted(1)
        for number, spec in enumerate((CPU, MEMORY, PIDS), 2):
            await house.ledger.save_fault(row_on(house.engine, spec, number, "a", at=house.clock.now()))

        async def slow(command: Command) -> None:
            await anyio.sleep(30)

        house.runner.before = slow
        waking = recovery(house)
        passes = 1
        while await waking.recover(LATER_PASS_S):
            passes += 1
            assert passes < 10


@pytest.mark.anyio
async def test_other_containers_are_not_waited_for() -> None:
    """Faults of one execution on different containers are undone side by side."""
    async with fleet("a", "b", "c") as house:
        await house.accepted(1)
        for number, name in enumerate("abc", 2):
            await house.ledger.save_fault(row_on(house.engine, CPU, number, name, at=house.clock.now()))
        begun = anyio.current_time()
        assert await recovery(house).recover(FIRST_PASS_S) == ()
        assert anyio.current_time() - begun < 2 * CPU.plan([house.engine.state.find("a").facts()]).undos[0].settle_s
