"""Whole coordinators killed at every step: a scenario is played on a simulated engine, its steps are counted, and it
is played again and again with a death at step 1, 2, 3 and so on, each time followed by a new start.

A step is one turn of one task, so a death falls between any two awaits, ledger writes and doings of a docker command.
Afterwards nothing is left broken, no lock is left, every execution has its verdict, and no undo ran for a fault that
was never fired.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import anyio
import hypothesis  # noqa: F401 - its plugin for trio lets the scheduler's order follow from the seed alone
import trio
import trio.testing
from trio._core import _run as trio_scheduler

from actors.docker.simulated import SimulatedEngine
from actors.ledger import reads
from actors.ledger.store import LEDGER_FILE
from coordinator.assembly.simulation import Died, SimulatedCoordinator
from coordinator.errors import CoordinatorError
from coordinator.faults.commands import HELPER_PROGRAMS, HOSTS_PROGRAM, Command
from coordinator.faults.targeting import Policy
from coordinator.record import Execution, ExecutionState, FaultRow, Submission, UndoState
from coordinator.scenarios.run import Rules
from tests.clocks import LoopClock
from tests.fleet import INSTANCE
from tests.simulation.crash_world import CrashWorld

INJECTS: Final = frozenset({"kill", "pause", "stop", "restart"})
ENDS: Final = frozenset({"kill", "stop", "restart"})
CRASH_PROGRAM: Final = f"{HELPER_PROGRAMS}/crash.py"
UNDOS: Final = frozenset({"unpause", "start"})
CONTAINER: Final = re.compile("(?:container:)?[0-9a-f]{64}")
"""In a command: itself, or as whose network is meant."""

PATIENCE_S: Final = 600.0
REST_S: Final = 130.0
"""After the last verdict: two looks of recovery for locks that a killed command left."""
SECOND_DEATH_WITHIN: Final = 800
"""Steps after the second start."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run with one death (or none)."""

    seed: int
    at: int | None
    violations: tuple[str, ...]
    trace: tuple[str, ...]
    steps: int
    """Until everything that was accepted was finished."""
    deaths: int

    @property
    def command(self) -> str:
        """What replays it."""
        at = "" if self.at is None else f" --at {self.at}"
        return f"PYTHONHASHSEED=0 python -m tests.simulation.crashes --seed {self.seed}{at} --trace"


class _Steps(trio.abc.Instrument):
    """Counts the turns of all tasks and calls whoever is to be killed at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.at: int | None = None
        self.kill: Callable[[], None] = lambda: None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """One more."""
        self.count += 1
        if self.count == self.at:
            self.kill()


@dataclass
class _Disk:
    """DATA_DIR over several lives. A death leaves what was committed; the next life finds it in a new folder."""

    root: Path
    number: int = 0
    dice: Random = field(default_factory=Random)

    @property
    def folder(self) -> Path:
        """Where the present life writes."""
        return self.root / str(self.number)

    def crash(self) -> None:
        """Keep the committed bytes, sometimes with the torn beginning of a write that was never synced."""
        before = self.folder
        self.number += 1
        self.folder.mkdir()
        for suffix in ("", "-wal"):
            old = before / f"{LEDGER_FILE}{suffix}"
            if old.exists():
                content = old.read_bytes()
                if suffix and len(content) > 4152 and self.dice.random() < 1 / 2:
                    content += content[32 : 32 + self.dice.randint(1, 4000)]
                (self.folder / old.name).write_bytes(content)

    def rows(self, *, outstanding: bool = False) -> tuple[FaultRow, ...]:
        """The faults on disk."""
        with closing(self._open()) as connection:
            return reads.faults(connection, None, outstanding=outstanding)

    def executions(self) -> tuple[Execution, ...]:
        """The executions on disk."""
        with closing(self._open()) as connection:
            return reads.executions(connection, None, 1000, None)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / LEDGER_FILE, isolation_level=None)


class _Run:
    """One world, its engine, and the lives that follow each other on it."""

    def __init__(self, seed: int, at: int | None, root: Path) -> None:
        self.world = CrashWorld(seed)
        self.steps = _Steps()
        self.busy_steps = 0
        self.deaths = 0
        self._at = at
        self._dice = Random(f"{seed} {at}")
        self._disk = _Disk(root, dice=self._dice)
        self._disk.folder.mkdir()
        self._accepted: list[str] = []
        self._asked = 0
        self._life: SimulatedCoordinator | None = None
        self._changed = anyio.Event()
        self._all_asked = anyio.Event()

    async def play(self) -> None:
        """To the end, whatever dies."""
        async with (
            SimulatedEngine(LoopClock(), Random(self.world.seed)) as engine,
            anyio.create_task_group() as outside,
        ):
            self.world.furnish(engine)
            outside.start_soon(self.world.happen, engine)
            for at, text in self.world.scenarios:
                outside.start_soon(self._ask, at, text)
            self.steps.kill = self._kill
            self.steps.at = self._at
            while not await self._live(engine, outside):  # noqa: ASYNC110  # a restart after a while, no waiting
                await anyio.sleep(self._dice.choice((0.0, 0.3, 5.0)))
            outside.cancel_scope.cancel()

    def _kill(self) -> None:
        """In the middle of a step of the scheduler: nothing in here may wait."""
        if self._life is None or self._life.dead:
            return
        self.deaths += 1
        self.world.note("DIES")
        if self.world.died_at is None:
            self.world.died_at = trio.current_time()
        self._life.die(self._dice)
        self._disk.crash()

    async def _live(self, engine: SimulatedEngine, outside: anyio.abc.TaskGroup) -> bool:
        """One life; whether it lived to the end."""
        rules = Rules(instance=INSTANCE, policy=Policy(opt_in=False), timeout_s=120.0)
        life = SimulatedCoordinator(
            engine, outside, self._disk.folder, LoopClock(), rules, seed=self.world.seed * 10 + self.deaths
        )

        async def before(command: Command) -> None:
            await self._check_command(command)
            if command.argv[0] == "pause":
                outside.start_soon(self.world.meet, engine, engine.state.find(command.argv[1]).name)

        life.before = before
        self._life = life
        if self.deaths == 1 and self._dice.random() < 1 / 3:
            self.steps.at = self.steps.count + self._dice.randint(1, SECOND_DEATH_WITHIN)
        outside.start_soon(life.run)
        self._changed.set()
        self._changed = anyio.Event()
        lived = False
        async with anyio.create_task_group() as group:

            async def until_quiet() -> None:
                nonlocal lived
                await self._quiet(life)
                lived = not life.dead
                group.cancel_scope.cancel()

            group.start_soon(until_quiet)
            await life.died.wait()
            group.cancel_scope.cancel()
        if lived:
            self._check(engine)
        return lived

    async def _ask(self, at: float, text: str) -> None:
        await anyio.sleep(at)
        while self._life is None or self._life.dead:
            await self._changed.wait()
        try:
            execution = await self._life.submit(Submission(source=text))
        except (CoordinatorError, Died) as error:
            self.world.note(f"not accepted: {type(error).__name__} {error}")
        else:
            self._accepted.append(execution.id)
            self.world.note("accepted")
        self._asked += 1
        if self._asked == len(self.world.scenarios):
            self._all_asked.set()

    async def _quiet(self, life: SimulatedCoordinator) -> None:
        """Until all that was asked is answered and finished, and recovery has looked around."""
        with anyio.move_on_after(PATIENCE_S) as patience:
            await self._all_asked.wait()
            for execution_id in tuple(self._accepted):
                with suppress(CoordinatorError, Died):
                    await life.executions.finished(execution_id)
        if patience.cancelled_caught and not life.dead:
            self.world.violated("executions did not end")
        self.busy_steps = self.steps.count
        await anyio.sleep(REST_S)

    # ------------------------------------------------------------ judging

    async def _check_command(self, command: Command) -> None:
        """Nothing is done without its fired row on disk, nothing undone without one, and only under our own lock."""
        verb, *rest = command.argv
        asked = command.argv[command.argv.index("-S") + 1 :] if command.of_helper else command.argv
        self.world.note(" ".join(asked).removeprefix(f"{HELPER_PROGRAMS}/")[:70])
        ids = {word.removeprefix("container:") for word in rest if CONTAINER.fullmatch(word)}
        # What only reads changes nothing.
        if verb == "volume" or command.argv[-2:] == (HOSTS_PROGRAM, "keep"):
            return
        rows = [row for row in self._disk.rows() if row.fault.fired_at is not None]
        for container_id in ids:
            self.world.touched[container_id] = anyio.current_time()
            if verb in ENDS or CRASH_PROGRAM in command.argv:
                self.world.ended.add(container_id)
            owing = {
                row.fault.execution_id
                for row in rows
                if row.outstanding and any(undo.container_id == container_id for undo in row.undos)
            }
            if not owing:
                doing = "undone" if verb in UNDOS or command.argv[-1] == "undo" else "done"
                self.world.violated(f"{verb} is {doing} without a fired row on disk")
            if len(owing) > 1:
                self.world.violated(f"{verb} on a container that two executions are breaking")

    def _check(self, engine: SimulatedEngine) -> None:
        rows = self._disk.rows()
        self.world.inexact = {u.container_id for row in rows for u in row.undos if u.attaches and u.mend is None}
        self.world.judge_engine(engine)
        names = {container.id: container.name for container in engine.state.containers.values()}
        stuck = set()
        for row in self._disk.rows(outstanding=True):
            ids = {undo.container_id for undo in row.undos}
            if any(each in names and self.world.may_be_stuck(engine, names[each]) for each in ids):
                stuck.add(row.fault.execution_id)
            else:
                self.world.violated(f"{row.fault.type} is left {row.fault.state}: {row.last_error}")
        if engine.state.volumes and not stuck:
            self.world.violated(f"{len(engine.state.volumes)} locks are left")
        stored = {execution.id: execution for execution in self._disk.executions()}
        for execution_id in self._accepted:
            if execution_id not in stored:
                self.world.violated("an accepted execution is forgotten")
        for execution in stored.values():
            self.world.note(f"{execution.verdict} {execution.undo} {execution.reason}")
            if execution.state is not ExecutionState.FINISHED or execution.verdict is None:
                self.world.violated(f"an execution has no verdict: {execution.state}")
            elif execution.undo not in {UndoState.NONE, UndoState.COMPLETE} and execution.id not in stuck:
                self.world.violated(f"an execution is left with undo {execution.undo}")


def simulate(seed: int, at: int | None = None) -> Result:
    """Play one world, with a death at the step `at`; None: it lives."""
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(seed, at, Path(folder))
        trio_scheduler._r.seed(seed)  # no public way: trio issue 890
        clock = trio.testing.MockClock(autojump_threshold=0)
        anyio.run(run.play, backend="trio", backend_options={"clock": clock, "instruments": [run.steps]})
    world = run.world
    return Result(seed, at, tuple(world.violations), tuple(world.trace), run.busy_steps, run.deaths)


def instants(seed: int, steps: int, most: int | None) -> Iterable[int]:
    """The steps to die at: every one, or `most` of them, one from each of as many equal parts of the run."""
    if most is None or most >= steps:
        return range(1, steps + 1)
    dice = Random(seed)
    return sorted({1 + int((part + dice.random()) * steps / most) for part in range(most)})


def crashes(seed: int, most: int | None) -> Iterable[Result]:
    """The life without a death, then a death at each instant."""
    base = simulate(seed)
    yield base
    for at in instants(seed, base.steps, most):
        yield simulate(seed, at)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 when nothing was violated, else 1, each failing run with the command that replays it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many worlds, from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--at", type=int, help="with --seed: die at this step only")
    parser.add_argument("--most", type=int, default=50, help="deaths a world; 0: at every step")
    parser.add_argument("--trace", action="store_true", help="print all that happened")
    options = parser.parse_args(argv)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    began, runs, deaths, steps, failed = time.monotonic(), 0, 0, 0, 0
    for seed in seeds:
        found = [simulate(seed, options.at)] if options.at is not None else crashes(seed, options.most or None)
        for result in found:
            runs += 1
            deaths += result.deaths
            steps += result.steps if result.at is None else 0
            if options.trace:
                _say(*result.trace)
            if result.violations:
                failed += 1
                _say(f"seed {seed} FAILED; replay: {result.command}", *(f"  {line}" for line in result.violations))
    took = time.monotonic() - began
    _say(
        f"{len(seeds)} worlds of {steps} steps, {runs} runs, {deaths} deaths, {failed} failed, "
        f"{took:.1f} s, {deaths / took:.0f} deaths/s"
    )
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
