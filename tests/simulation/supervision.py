"""Runs supervision trees in made-up worlds, each from one seed, on trio with a virtual clock and a seeded scheduler.

python -m tests.simulation.supervision --seeds 1000          # seeds 0 to 999
python -m tests.simulation.supervision --seed 4711 --trace   # one, with all that happened
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import trio
import trio.testing
from trio._core import _run as trio_scheduler

from coordinator.supervision import Escalated, StartFailed, Supervisor
from tests.simulation.invariants import Watch
from tests.simulation.seeds import Counted, run_seeds
from tests.simulation.world import CANCEL_S, LONGEST_CLEAN_UP_S, STOP_S, World

VIRTUAL_S = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed."""

    seed: int
    violations: tuple[str, ...]
    events: int
    virtual_s: float
    trace: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The same for the same run."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    @property
    def command(self) -> str:
        """What replays exactly this run."""
        return f"python -m tests.simulation.supervision --seed {self.seed}"


def simulate(seed: int) -> Result:
    """Run one world to its end."""
    trio_scheduler._r.seed(seed)  # no public way: trio issue 890
    world = World(seed)
    watch = Watch(world)
    with watch.installed():
        virtual_s = anyio.run(
            _run,
            world,
            watch,
            backend="trio",
            backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)},
        )
    return Result(seed, tuple(world.violations), watch.events, virtual_s, tuple(world.trace))


async def _run(world: World, watch: Watch) -> float:
    supervisor = Supervisor(world.spec, clock=lambda: 0.0, random=world.dice, on_snapshot=watch.check_health)
    began = anyio.current_time()
    ended = trio.Event()

    async def run() -> None:
        try:
            await supervisor.run()
        except (Escalated, StartFailed, SystemExit) as error:
            world.note(f"ended {type(error).__name__}")
        finally:
            ended.set()

    async def look() -> None:
        while not ended.is_set():
            await anyio.sleep(0.5)
            await trio.testing.wait_all_tasks_blocked()
            if not ended.is_set():
                watch.check_at_rest(supervisor)

    with anyio.CancelScope() as scope:
        world.begin(scope)
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            group.start_soon(look)
            group.start_soon(world.operate, supervisor)
            with anyio.move_on_after(VIRTUAL_S):
                await ended.wait()
            await _stop(world, supervisor, ended)
    if not world.violations:
        watch.check_end(supervisor)
    return anyio.current_time() - began


async def _stop(world: World, supervisor: Supervisor, ended: trio.Event) -> None:
    """Stop in one of three ways; each ends in the time that the children's graces and clean-ups allow."""
    way = world.dice.random()
    bound_s = (world.workers + 50) * (max(STOP_S) + CANCEL_S + LONGEST_CLEAN_UP_S)
    supervisor.request_stop("the time is over")
    if way < 0.3:
        await anyio.sleep(world.dice.uniform(0, 1))
        supervisor.request_stop("quickly", grace_s=0.1)
    with anyio.move_on_after(bound_s) as patience:
        await ended.wait()
    if patience.cancelled_caught:
        world.violated(f"did not stop within {bound_s} s")


def main(argv: Sequence[str] | None = None) -> int:
    """Run seeds; 0 when nothing was violated, else 1, each failing seed with the command that replays it."""
    return run_seeds(__doc__, Counted("events", 200), simulate, lambda result: result.events, argv)


if __name__ == "__main__":
    sys.exit(main())
