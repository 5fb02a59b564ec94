"""One life of a coordinator on virtual time: supervisor, executions, recovery and chaos over an engine and a disk that
outlive it. A dead one reaches neither any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from random import Random
from sqlite3 import Connection
from typing import Final, TypeVar
from uuid import UUID

import anyio

from actors.chaos import ChaosActor
from actors.contract import Actor
from actors.docker.simulated import SimulatedEngine
from actors.docker.simulated_hands import simulated_hands
from actors.executions import ExecutionsActor
from actors.ledger.facade import LedgerCalls
from actors.ledger.memory import MemoryLedger
from actors.ledger.writes import Write
from actors.recovery import RecoveryActor
from coordinator.errors import EngineUnreachable, LedgerUnavailable
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
from coordinator.faults.targeting import Policy
from coordinator.logging import continuing
from coordinator.ports import LogStream, Prober
from coordinator.record import Execution, Submission
from coordinator.scenarios.inject import Tools
from coordinator.scenarios.run import Player, Rules
from coordinator.scenarios.undo import Undoer
from coordinator.supervision import ChildSpec, Report, ReportKind, Strategy, Supervisor, SupervisorSpec
from tests.clocks import LoopClock
from tests.fleet import HEAD, INSTANCE, EngineProber

T = TypeVar("T")
POOL: Final = "running"
DEAD: Final = "this coordinator is dead"


class _Runner:
    """Satisfies CommandRunner for one life."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def run(self, command: Command) -> Outcome:
        self._life.check_engine()
        await self._life.before(command)
        self._life.ran.append(" ".join(command.argv))
        return await self._life.engine.runner.run(command)


class _Facts:
    """Satisfies EngineFacts for one life."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def engine(self) -> EngineInfo:
        self._life.check_engine()
        return await self._life.engine.facts.engine()

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        self._life.check_engine()
        return await self._life.engine.facts.containers(ids)

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        self._life.check_engine()
        return await self._life.engine.facts.states(ids)

    async def locks(self) -> tuple[TargetLock, ...]:
        self._life.check_engine()
        return await self._life.engine.facts.locks()

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        self._life.check_engine()
        return await self._life.engine.facts.helpers()

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        self._life.check_engine()
        return await self._life.engine.facts.log(container_id, place, stream, matches)

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        self._life.check_engine()
        return await self._life.engine.facts.events_since(since, ids)

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        self._life.check_engine()
        return self._life.engine.facts.events()


class _Ledger(LedgerCalls):
    """Satisfies Ledger for one life, on the disk that outlives it."""

    def __init__(self, life: Life, disk: MemoryLedger) -> None:
        self._life = life
        self._disk = disk

    async def _write(self, write: Write) -> int:
        self._check()
        return await self._disk._write(write)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        self._check()
        return await self._disk._read(query)

    def _check(self) -> None:
        if self._life.dead:
            raise LedgerUnavailable(DEAD)


class Life:
    """A coordinator from its start to its end or its death."""

    def __init__(
        self,
        engine: SimulatedEngine,
        disk: MemoryLedger,
        *,
        seed: int = 1,
        undo_deadline_s: float = 60.0,
        max_concurrent: int = 3,
        prober: Prober | None = None,
        timeout_s: float = 600.0,
        retention_days: int = 7,
    ) -> None:
        self.engine = engine
        self.dead = False
        self._ids = Random(seed)
        self.ran: list[str] = []
        """Every command this life ran."""
        self.before: Callable[[Command], Awaitable[None]] = _nothing
        """Awaited before each command."""
        self.troubles: list[Report] = []
        self.ended: list[Execution] = []
        clock, runner, facts = LoopClock(), _Runner(self), _Facts(self)
        self.ledger = _Ledger(self, disk)
        undoer = Undoer(runner, facts, self.ledger, clock)
        self.executions = ExecutionsActor(
            Rules(instance=INSTANCE, policy=Policy(opt_in=False), timeout_s=timeout_s),
            Tools(
                runner,
                facts,
                self.ledger,
                clock,
                undoer,
                undo_deadline_s,
                hands=partial(simulated_hands, runner, self._renew),
            ),
            prober or EngineProber(engine),
            max_concurrent=max_concurrent,
            stop_timeout_s=8.0,
            random=Random(seed),
            start_child=self._start_child,
            on_finished=self._finished,
        )
        self.recovery = RecoveryActor(
            self.ledger, facts, runner, undoer, clock,
            instance=INSTANCE, playing=self.executions.playing, retention_days=retention_days,
        )  # fmt: skip
        self.chaos = ChaosActor(facts, on_engine_up=self.recovery.wake, on_runs=self.recovery.container_runs)
        pool = ChildSpec(id=POOL, start=SupervisorSpec(id=POOL, strategy=Strategy.POOL), critical=False)
        children = (_child(self.chaos), _child(self.recovery), pool, _child(self.executions))
        self.supervisor = Supervisor(
            SupervisorSpec(id="root", children=children, intensity=20),
            clock=anyio.current_time,
            random=Random(seed),
            report=self._report,
        )

    async def _start_child(self, spec: ChildSpec) -> object:
        return await self.supervisor.start_child(spec, under=POOL)

    def _finished(self, player: Player) -> None:
        self.ended.append(player.view())
        self.recovery.ended(player.id, player.record, cleared=player.cleared)

    def _report(self, report: Report) -> None:
        if report.kind not in {ReportKind.PROGRESS, ReportKind.SHUTDOWN}:
            self.troubles.append(report)

    def _renew(self, execution_id: str) -> None:
        if not self.dead:
            self.engine.state.renew(execution_id)

    def check_engine(self) -> None:
        """Raise EngineUnreachable if this life is over."""
        if self.dead:
            raise EngineUnreachable(DEAD)

    async def submit(self, text: str, key: str | None = None) -> Execution:
        """Accept a scenario (without its head) in an Eliot task of its own."""
        # Drawn here and not by Eliot, so that a seed gives the same ids.
        with continuing(f"{UUID(int=self._ids.getrandbits(128))}@/", "request"):
            return await self.executions.submit(Submission(source=HEAD + text), key)

    async def stop(self) -> None:
        """End in order: take no more work, undo, stop."""
        await self.executions.stop_all("the coordinator is stopping", drain=True)
        self.supervisor.request_stop("asked", 8.0)


async def _nothing(_command: Command) -> None:
    """Let it pass."""


def _child(actor: Actor) -> ChildSpec:
    return ChildSpec(id=actor.name, start=actor.run, critical=actor.critical, stop_timeout_s=2.0)
