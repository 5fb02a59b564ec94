"""A coordinator over a simulated engine, on virtual time, that may die at any step: supervisor, ledger, executions,
recovery and chaos as in `serve`, without ports and threads. What simulation and rehearsal share.

A death is that of a process: its memory is gone, what it committed stays, and of the docker commands in flight some
end with it and some go on. What still unwinds in a dead one reaches neither engine nor disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeVar
from uuid import UUID

import anyio
from anyio import CapacityLimiter
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from actors.chaos import ChaosActor
from actors.docker.simulated import SimulatedEngine
from actors.docker.simulated_hands import simulated_hands
from actors.executions import ExecutionsActor
from actors.ledger import LedgerActor
from actors.prober import container_probe
from actors.recovery import RecoveryActor
from coordinator.assembly.tree import Patience, child
from coordinator.errors import CoordinatorError
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogPart,
    LogPlace,
    TargetLock,
)
from coordinator.logging import continuing
from coordinator.ports import Clock, LogStream
from coordinator.record import Execution, Reading, Submission
from coordinator.scenarios.inject import Tools
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.probes import ContainerProbe, Probe
from coordinator.scenarios.run import Rules
from coordinator.scenarios.undo import Undoer
from coordinator.supervision import ChildSpec, Escalated, Report, Strategy, Supervisor, SupervisorSpec

T = TypeVar("T")
POOL: Final = "running"


class Died(BaseException):
    """The coordinator is dead: nothing in it goes on. No Exception, so that no handler takes it for a failure."""


@dataclass(eq=False, slots=True)
class _Process:
    """A docker command in flight: a process of its own, which its parent's death need not end."""

    command: Command
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Outcome | None = None
    error: CoordinatorError | None = None


class _Runner:
    """Satisfies CommandRunner."""

    def __init__(self, owner: SimulatedCoordinator) -> None:
        self._owner = owner
        self.processes: list[_Process] = []

    async def run(self, command: Command) -> Outcome:
        self._owner.check()
        await self._owner.before(command)
        process = _Process(command)
        self.processes.append(process)
        self._owner.outside.start_soon(self._live, process)
        try:
            await process.done.wait()
        except anyio.get_cancelled_exc_class():
            if not self._owner.dead:
                process.scope.cancel()
            raise
        self._owner.check()
        if process.error is not None:
            raise process.error
        return process.outcome or Outcome(exit_code=None)

    async def _live(self, process: _Process) -> None:
        try:
            with process.scope:
                process.outcome = await self._owner.engine.runner.run(process.command)
        except CoordinatorError as error:
            process.error = error
        finally:
            self.processes.remove(process)
            process.done.set()


class _Facts:
    """Satisfies EngineFacts."""

    def __init__(self, owner: SimulatedCoordinator) -> None:
        self._owner = owner
        self._facts = owner.engine.facts

    async def engine(self) -> EngineInfo:
        return await self._owner.alive(self._facts.engine)

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        return await self._owner.alive(lambda: self._facts.containers(ids))

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        return await self._owner.alive(lambda: self._facts.states(ids))

    async def locks(self) -> tuple[TargetLock, ...]:
        return await self._owner.alive(self._facts.locks)

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        return await self._owner.alive(self._facts.helpers)

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        return await self._owner.alive(lambda: self._facts.log(container_id, place, stream, matches))

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        return await self._owner.alive(lambda: self._facts.events_since(since, ids))

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        self._owner.check()
        return self._facts.events()


class _Ledger(LedgerActor):
    """The real ledger, inline; a dead one changes no file any more."""

    def __init__(self, owner: SimulatedCoordinator, data_dir: Path, instance: str, now: Callable[[], datetime]) -> None:
        super().__init__(data_dir, instance, inline=True, now=now)
        self._owner = owner

    async def _in_thread(self, function: Callable[[], T], limiter: CapacityLimiter) -> T:  # noqa: ARG002  # no threads
        await checkpoint()
        self._owner.check()
        result = function()
        self._owner.written += 1
        return result


class ContainerProber:
    """Satisfies Prober: looks at the simulated engine's containers; every other probe is taken to be good, since
    nothing answers here. Whoever tells of it says which they were.
    """

    def __init__(self, owner: SimulatedCoordinator) -> None:
        self._facts = _Facts(owner)

    def kept(self, since: datetime) -> AbstractAsyncContextManager[ContainerProber]:  # noqa: ARG002  # keeps nothing
        """Itself: nothing is kept between samples."""
        return nullcontext(self)

    async def sample(self, probe: Probe, targets: Mapping[str, tuple[ContainerFacts, ...]]) -> Reading:
        """Look once."""
        if not isinstance(probe, ContainerProbe):
            await checkpoint()
            return Reading(ok=True)
        reading: Reading | None = None
        try:
            with anyio.move_on_after(probe.timeout):
                reading = await container_probe.look(probe, targets.get(probe.target, ()), self._facts)
        except CoordinatorError as error:
            reading = Reading(ok=False, error=str(error))
        return reading or Reading(ok=False, error=f"no answer within {probe.timeout:g} s")


class SimulatedCoordinator:
    """One life. Engine and `outside` (where docker processes live) outlive it, as does `data_dir`."""

    def __init__(
        self,
        engine: SimulatedEngine,
        outside: TaskGroup,
        data_dir: Path,
        clock: Clock,
        rules: Rules,
        *,
        seed: int,
        undo_deadline_s: float = 60.0,
        max_concurrent: int = 2,
        retention_days: int = 7,
        revise: Callable[[Scenario], Scenario] = lambda scenario: scenario,
    ) -> None:
        """Put it together; `run` is its life."""
        self.engine = engine
        self.outside = outside
        self.dead = False
        self.died = anyio.Event()
        self.written = 0
        """Transactions and reads of the ledger so far."""
        self.before: Callable[[Command], Awaitable[None]] = _nothing
        """Awaited before each command."""
        self.crashes: list[Report] = []
        """What the supervisor reported of children that ended as they should not."""
        # For names and jitter, never for a secret.
        self._ids, choices, jitter = (Random(seed + more) for more in range(3))  # noqa: S311  # no secret
        self._scope = anyio.CancelScope()
        self._runner = _Runner(self)
        facts = _Facts(self)
        self.ledger: LedgerActor = _Ledger(self, data_dir, rules.instance, clock.now)
        undoer = Undoer(self._runner, facts, self.ledger, clock)
        self.executions = ExecutionsActor(
            rules,
            Tools(
                self._runner,
                facts,
                self.ledger,
                clock,
                undoer,
                undo_deadline_s,
                hands=partial(simulated_hands, self._runner, self._renew),
            ),
            ContainerProber(self),
            max_concurrent=max_concurrent,
            stop_timeout_s=8.0,
            random=choices,
            start_child=self._start_child,
            on_finished=lambda player: self.recovery.ended(player.id, player.record, cleared=player.cleared),
            revise=revise,
        )
        self.recovery = RecoveryActor(
            self.ledger, facts, self._runner, undoer, clock,
            instance=rules.instance, playing=self.executions.playing, retention_days=retention_days,
        )  # fmt: skip
        self.ledger.on_renewed = self.recovery.ledger_lost
        chaos = ChaosActor(facts, on_engine_up=self.recovery.wake, on_runs=self.recovery.container_runs)
        self.supervisor = self._planted(chaos, jitter)

    def _planted(self, chaos: ChaosActor, jitter: Random) -> Supervisor:
        patience = Patience(intensity=20)
        pool = ChildSpec(id=POOL, start=SupervisorSpec(id=POOL, strategy=Strategy.POOL), critical=False)
        actors = (self.ledger, chaos, self.recovery)
        children = (*(child(actor, patience) for actor in actors), pool, child(self.executions, patience))
        spec = SupervisorSpec(id="root", children=children, intensity=patience.intensity)
        return Supervisor(spec, clock=anyio.current_time, random=jitter, report=self.crashes.append)

    async def run(self) -> None:
        """Live until told to stop, or until the death has unwound."""
        try:
            with self._scope:
                await self.supervisor.run()
        except* Died:
            pass  # what it met on its way out
        except* Escalated:
            # A dead one's supervisor gives up, for nothing starts any more.
            if not self.dead:
                raise

    def die(self, dice: Random) -> None:
        """End as SIGKILL ends a process: callable at any step, from anywhere. `dice` says which commands go on."""
        self.dead = True
        for process in tuple(self._runner.processes):
            if dice.random() < 1 / 2:
                process.scope.cancel()
        self._scope.cancel()
        self.died.set()

    def _renew(self, execution_id: str) -> None:
        if not self.dead:
            self.engine.state.renew(execution_id)

    def check(self) -> None:
        """Raise Died in a dead one."""
        if self.dead:
            raise Died

    async def alive(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the engine, unless dead before or after."""
        self.check()
        answer = await ask()
        self.check()
        return answer

    async def submit(self, submission: Submission) -> Execution:
        """Accept a scenario in an Eliot task of its own. Raises what the executions actor raises."""
        # Drawn here and not by Eliot, so that a seed gives the same ids.
        with continuing(f"{UUID(int=self._ids.getrandbits(128))}@/", "request"):
            return await self.executions.submit(submission, None)

    async def _start_child(self, spec: ChildSpec) -> object:
        return await self.supervisor.start_child(spec, under=POOL)


async def _nothing(_command: Command) -> None:
    """Let it pass."""
