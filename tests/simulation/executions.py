"""Whole coordinators on a simulated engine: random scenarios, breakdowns and sudden deaths, on virtual time.

Whatever happened, in the end every container runs, no lock is left, no fault is outstanding and every accepted
execution has its verdict.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
import hypothesis  # noqa: F401 - its plugin for trio lets the scheduler's order follow from the seed alone
import trio.testing
from trio._core import _run as trio_scheduler

from actors.docker.simulated import SimulatedEngine
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerState
from coordinator.record import ExecutionState, FaultState, UndoState
from coordinator.supervision import Escalated
from tests.clocks import LoopClock
from tests.fleet import FailingLedger
from tests.life import Life
from tests.simulation.fleet_world import FleetWorld
from tests.simulation.seeds import Counted, run_seeds

INJECTS = frozenset({"kill", "pause", "stop", "restart"})
LONGEST_LIFE_S = 60.0
REST_S = 200.0
"""How long the last life is given once everything works again: more than an undo's deadline and a look for locks."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    seed: int
    violations: tuple[str, ...]
    trace: tuple[str, ...]
    accepted: int
    virtual_s: float

    @property
    def command(self) -> str:
        """What replays it."""
        return f"python -m tests.simulation.executions --seed {self.seed}"


def simulate(seed: int) -> Result:
    """Run one seed to its end."""
    world = FleetWorld(seed)
    trio_scheduler._r.seed(seed)  # no public way: trio issue 890
    clock = trio.testing.MockClock(autojump_threshold=0)
    virtual_s = anyio.run(_run, world, backend="trio", backend_options={"clock": clock})
    return Result(seed, tuple(world.violations), tuple(world.trace), len(world.accepted), virtual_s)


async def _run(world: FleetWorld) -> float:
    disk = FailingLedger()
    async with SimulatedEngine(LoopClock(), world.dice) as engine, anyio.create_task_group() as group:
        world.furnish(engine)
        for _ in range(world.dice.randint(0, 2)):
            await _live_and_die(world, engine, disk, group)
        await _live_to_the_end(world, engine, disk)
        group.cancel_scope.cancel()
    disk.close()
    return anyio.current_time()


async def _begin(world: FleetWorld, engine: SimulatedEngine, disk: FailingLedger) -> Life:
    life = Life(engine, disk, seed=world.dice.randrange(2**32), max_concurrent=2)

    async def check(command: Command) -> None:
        world.note(" ".join(command.argv)[:60])
        if command.argv[0] in INJECTS:
            await _check_durable(world, disk, command)

    life.before = check
    return life


async def _check_durable(world: FleetWorld, disk: FailingLedger, command: Command) -> None:
    """No inject without its row on disk."""
    rows = await disk.faults(outstanding=True)
    fired = {u.container_id for row in rows if row.fault.state is FaultState.FIRED for u in row.undos}
    for container_id in command.argv[1:]:
        if len(container_id) == 64 and container_id not in fired:
            world.violated(f"{command.argv[0]} without a fired row on disk")


async def _live_and_die(
    world: FleetWorld, engine: SimulatedEngine, disk: FailingLedger, group: anyio.abc.TaskGroup
) -> None:
    """A life that ends in the middle of whatever it does, without the chance to clean up."""
    life = await _begin(world, engine, disk)
    with anyio.move_on_after(world.dice.uniform(0.5, LONGEST_LIFE_S)):
        async with anyio.create_task_group() as outside:
            scope = anyio.CancelScope()
            group.start_soon(_exist, life, scope)
            outside.start_soon(world.submit, life)
            outside.start_soon(world.interfere, life, disk)
    life.dead = True
    world.note("dies")
    # What still unwinds in it reaches neither engine nor disk.
    scope.cancel()
    await anyio.sleep(world.dice.choice((0.0, 0.3, 5.0)))


async def _exist(life: Life, scope: anyio.CancelScope) -> None:
    with scope, suppress(Escalated):
        await life.supervisor.run()


async def _live_to_the_end(world: FleetWorld, engine: SimulatedEngine, disk: FailingLedger) -> None:
    life = await _begin(world, engine, disk)
    async with anyio.create_task_group() as inside:
        inside.start_soon(life.supervisor.run)
        with anyio.move_on_after(world.dice.uniform(5, LONGEST_LIFE_S)):
            async with anyio.create_task_group() as outside:
                outside.start_soon(world.submit, life)
                outside.start_soon(world.interfere, life, disk)
        world.note("quiet")
        with anyio.move_on_after(1000) as patience:
            for execution_id in world.accepted:
                await life.executions.finished(execution_id)
        if patience.cancelled_caught:
            world.violated(f"{life.executions.active()} executions did not end")
        await anyio.sleep(REST_S)
        await _check(world, engine, disk)
        inside.cancel_scope.cancel()


async def _check(world: FleetWorld, engine: SimulatedEngine, disk: FailingLedger) -> None:
    for container in engine.state.containers.values():
        if container.state is not ContainerState.RUNNING:
            world.violated(f"{container.name} is left {container.state}")
    if engine.state.volumes:
        world.violated(f"{len(engine.state.volumes)} locks are left")
    for row in await disk.faults(outstanding=True):
        world.violated(f"{row.fault.type} is left {row.fault.state}: {row.last_error}")
    stored = {execution.id: execution for execution in await disk.executions(limit=1000)}
    for execution_id in world.accepted:
        execution = stored.get(execution_id)
        if execution is None or execution.state is not ExecutionState.FINISHED or execution.verdict is None:
            world.violated(f"an accepted execution has no verdict: {execution and execution.state}")
        elif execution.undo not in {UndoState.NONE, UndoState.COMPLETE}:
            world.violated(f"an execution is left with undo {execution.undo}")
    for execution in stored.values():
        world.note(f"{execution.verdict} {execution.undo} {execution.reason}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run seeds; 0 when nothing was violated, else 1, each failing seed with the command that replays it."""
    return run_seeds(__doc__, Counted("executions", 100), simulate, lambda result: result.accepted, argv)


if __name__ == "__main__":
    sys.exit(main())
