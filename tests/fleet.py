"""A small coordinator without a process: simulated engine, ledger in memory, a prober that looks at the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final
from uuid import UUID

import anyio

from actors.docker.simulated import SimulatedEngine
from actors.ledger.memory import MemoryLedger
from actors.ledger.writes import Write
from coordinator.errors import LedgerUnavailable
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.targeting import Policy
from coordinator.ports import CommandRunner, Prober
from coordinator.record import Execution, ExecutionState, FaultRow, Reading, Submission
from coordinator.scenarios.inject import Tools
from coordinator.scenarios.parse import parse
from coordinator.scenarios.probes import ContainerProbe, Probe
from coordinator.scenarios.run import Player, Rules
from coordinator.scenarios.undo import Undoer
from tests.clocks import LoopClock

INSTANCE: Final = "chaos-1"
HEAD: Final = "apiVersion: test-coordinator/v1\nkind: Scenario\nmetadata: {name: tried}\n"


class FailingLedger(MemoryLedger):
    """A ledger whose disk can be taken away, for all writes or after so many more."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.writes_left: int | None = None

    async def _write(self, write: Write) -> int:
        if self.writes_left is not None:
            self.writes_left -= 1
            self.away = self.away or self.writes_left < 0
        if self.away:
            raise LedgerUnavailable("the disk is full")
        return await super()._write(write)


@dataclass
class Watched:
    """A runner that remembers what was run and when; `before` is awaited before each command."""

    runner: CommandRunner
    ran: list[tuple[float, str]] = field(default_factory=list)
    before: Callable[[Command], Awaitable[None]] | None = None

    async def run(self, command: Command) -> Outcome:
        self.ran.append((anyio.current_time(), " ".join(command.argv)))
        if self.before is not None:
            await self.before(command)
        return await self.runner.run(command)

    def verbs(self) -> list[str]:
        """The first words, but for locks."""
        return [text.split()[0] for _, text in self.ran if not text.startswith("volume")]


@dataclass
class EngineProber:
    """A container is good when it runs; the value is its state. Looks at the engine's own memory, so never fails."""

    engine: SimulatedEngine

    def kept(self, since: datetime) -> AbstractAsyncContextManager[EngineProber]:
        return nullcontext(self)

    async def sample(self, probe: Probe, targets: Mapping[str, tuple[ContainerFacts, ...]]) -> Reading:
        await anyio.sleep(0.001)
        assert isinstance(probe, ContainerProbe)
        states = [
            self.engine.state.containers[one.id].state if one.id in self.engine.state.containers else "removed"
            for one in targets[probe.target]
        ]
        good = bool(states) and all(state == probe.expect.state for state in states)
        return Reading(ok=good, latency_s=0.001, value=str(states[0]) if states else None, error="" if good else "down")


@dataclass
class Fleet:
    """Everything an execution needs, on virtual time."""

    engine: SimulatedEngine
    ledger: FailingLedger
    clock: LoopClock
    runner: Watched
    undoer: Undoer
    tools: Tools
    prober: Prober
    rules: Rules

    def state(self, name: str) -> ContainerState:
        """A container's state now."""
        return self.engine.state.find(name).state

    async def accepted(self, number: int = 1) -> Execution:
        """An execution on disk, with a made-up id."""
        execution = Execution(
            id=str(UUID(int=number)), scenario="tried", state=ExecutionState.QUEUED, seed=1, created_at=self.clock.now()
        )
        await self.ledger.accept(execution, Submission(source=""), f"{execution.id}@/")
        return execution

    async def player(self, text: str, number: int = 1, rules: Rules | None = None) -> Player:
        """An accepted execution of this scenario (without its head), ready to be played."""
        execution = await self.accepted(number)
        scenario = parse(HEAD + text, file="tried.yaml").scenario
        return Player(execution, scenario, rules or self.rules, self.tools, self.prober)

    async def play(self, text: str, rules: Rules | None = None) -> Execution:
        """Play it to its end; as the ledger has it."""
        player = await self.player(text, rules=rules)
        await player.play(f"{player.id}@/")
        stored = await self.ledger.execution(player.id)
        assert stored is not None
        return stored

    async def rows(self) -> tuple[FaultRow, ...]:
        """All fault rows on disk."""
        return await self.ledger.faults()


@asynccontextmanager
async def fleet(
    *names: str, seed: int = 1, undo_deadline_s: float = 60.0, ahead_s: float = 0.0
) -> AsyncIterator[Fleet]:
    """An engine with these containers up, its clock so many seconds ahead, and all that plays on it."""
    clock = LoopClock()
    async with SimulatedEngine(LoopClock(ahead_s), Random(seed)) as engine:
        for name in names:
            engine.add(name)
        runner, ledger = Watched(engine.runner), FailingLedger()
        undoer = Undoer(runner, engine.facts, ledger, clock)
        tools = Tools(runner, engine.facts, ledger, clock, undoer, undo_deadline_s)
        rules = Rules(instance=INSTANCE, policy=Policy(opt_in=False))
        try:
            yield Fleet(engine, ledger, clock, runner, undoer, tools, EngineProber(engine), rules)
        finally:
            ledger.close()
