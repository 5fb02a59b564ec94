"""Plays a scenario in virtual time on a simulated fleet, perhaps with a death of the coordinator and a new start.

Says what would happen and what nobody here can judge: a probe that asks a service has no service to ask.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio

from actors.docker.simulated import SimulatedEngine
from coordinator.assembly.blind_spots import judgeable
from coordinator.assembly.described_fleet import DescribedFleet, furnish
from coordinator.assembly.simulation import SimulatedCoordinator
from coordinator.assembly.virtual_time import VirtualClock, VirtualLoop
from coordinator.faults.catalogue import KINDS
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerFacts, ContainerState, Value
from coordinator.record import AssertionResult, Execution, ExecutionState, Submission, UndoState, Verdict
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.run import Rules

LONGEST_RECOVERY_S: Final = 900.0
LOOK_EVERY_S: Final = 0.5
RESTART_AFTER_S: Final = 1.0
"""From the death to the next start."""


class Happened(Value):
    """Something at `offset_s` seconds of virtual time: an entry of the timeline, or a command (`event` is command)."""

    offset_s: float
    event: str
    phase: str = ""
    target: str = ""
    text: str = ""


class Rehearsal(Value):
    """What a rehearsal showed. `verdict` is of what could be judged; `not_judged` is the rest, one line each."""

    scenario: str
    seed: int
    fleet: tuple[str, ...]
    verdict: Verdict | None
    reason: str | None
    undo: UndoState
    not_judged: tuple[str, ...]
    assertions: tuple[AssertionResult, ...]
    timeline: tuple[Happened, ...]
    undo_commands: tuple[str, ...]
    died_at_s: float | None
    recovered_at_s: float | None
    ended_at_s: float
    left: tuple[str, ...]
    """What is not as it was before and nobody asked for: containers, locks, faults. Empty: nothing is left."""
    left_as_asked: tuple[str, ...]
    """What is not as it was before because the scenario says `restore: false`."""


def rehearse(
    submission: Submission,
    fleet: DescribedFleet | Sequence[ContainerFacts],
    rules: Rules,
    *,
    seed: int,
    crash_at_s: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Play it on an event loop of its own; `progress` is told now and then. Raises InvalidScenario, Refused."""
    with tempfile.TemporaryDirectory(prefix="test-coordinator-rehearsal-") as folder:
        stage = _Stage(submission, fleet, rules, seed, Path(folder), progress)
        return anyio.run(
            partial(stage.play, crash_at_s), backend="asyncio", backend_options={"loop_factory": VirtualLoop}
        )


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is not as it was before, one line each: what nobody asked for, and what the scenario did."""

    left: tuple[str, ...]
    as_asked: tuple[str, ...]


class _Stage:
    """The simulated engine, the coordinators that follow each other on it, and what was seen."""

    def __init__(
        self,
        submission: Submission,
        fleet: DescribedFleet | Sequence[ContainerFacts],
        rules: Rules,
        seed: int,
        folder: Path,
        progress: Callable[[str], None],
    ) -> None:
        self._submission = submission.model_copy(update={"seed": seed})
        self._fleet = fleet
        self._rules = rules
        self._seed = seed
        self._folder = folder
        self._progress = progress
        self._clock = VirtualClock(datetime.now(UTC))
        self._began = 0.0
        self._seen: list[Happened] = []
        self._not_judged: tuple[str, ...] = ()
        self._containers: tuple[ContainerFacts, ...] = ()

    async def play(self, crash_at_s: float | None) -> Rehearsal:
        # For durations, never for a secret.
        dice = Random(self._seed)  # noqa: S311  # no secret
        async with SimulatedEngine(self._clock, dice) as engine, anyio.create_task_group() as outside:
            furnish(engine, self._fleet)
            self._containers = tuple(container.facts() for container in engine.state.containers.values())
            before = _states(engine)
            life = self._coordinator(engine, outside, 0)
            outside.start_soon(life.run)
            self._began = anyio.current_time()
            accepted = await life.submit(self._submission)
            outside.start_soon(self._tell_progress)
            died = await self._to_the_end_or_death(life, accepted.id, crash_at_s, dice)
            recovered = None
            if died is not None:
                await anyio.sleep(RESTART_AFTER_S)
                self._note("start", "a new coordinator starts on the same DATA_DIR and recovers")
                life = self._coordinator(engine, outside, 1)
                outside.start_soon(life.run)
            rest = await self._settled(life, engine, before, accepted.id)
            if died is not None and not rest.left:
                recovered = self._offset()
            execution = (await life.executions.report(accepted.id)).execution
            outside.cancel_scope.cancel()
        return self._told(execution, died, recovered, rest)

    def _coordinator(self, engine: SimulatedEngine, outside: anyio.abc.TaskGroup, number: int) -> SimulatedCoordinator:
        life = SimulatedCoordinator(
            engine, outside, self._folder, self._clock, self._rules, seed=self._seed + number, revise=self._revise
        )
        life.before = self._see_command
        return life

    def _revise(self, scenario: Scenario) -> Scenario:
        revised, self._not_judged = judgeable(scenario, self._containers)
        return revised

    async def _see_command(self, command: Command) -> None:
        self._note("command", command.shown())

    def _note(self, event: str, text: str) -> None:
        self._seen.append(Happened(offset_s=self._offset(), event=event, text=text))

    def _offset(self) -> float:
        return round(anyio.current_time() - self._began, 3)

    async def _tell_progress(self) -> None:
        """Every virtual hour; nobody waits for it."""
        while True:
            await anyio.sleep(3600.0)
            self._progress(f"{self._offset() / 3600:.0f} virtual hours")

    async def _to_the_end_or_death(
        self, life: SimulatedCoordinator, execution_id: str, crash_at_s: float | None, dice: Random
    ) -> float | None:
        """When it died, None when it was finished before."""
        finished = False
        patience = None if crash_at_s is None else max(0.0, self._began + crash_at_s - anyio.current_time())
        with anyio.move_on_after(patience):
            await life.executions.finished(execution_id)
            finished = True
        if finished:
            return None
        self._note("death", "the coordinator is killed")
        life.die(dice)
        return self._offset()

    async def _settled(
        self, life: SimulatedCoordinator, engine: SimulatedEngine, before: dict[str, str], execution_id: str
    ) -> _Rest:
        """What is left when recovery is through, or has had its time."""
        rest = await self._rest(life, engine, before, execution_id)
        with anyio.move_on_after(LONGEST_RECOVERY_S):
            while rest.left:
                await anyio.sleep(LOOK_EVERY_S)
                rest = await self._rest(life, engine, before, execution_id)
        return rest

    async def _rest(
        self, life: SimulatedCoordinator, engine: SimulatedEngine, before: dict[str, str], execution_id: str
    ) -> _Rest:
        execution = await life.executions.execution(execution_id)
        now = _states(engine)
        down = _down_as_asked(execution)
        left, asked = [], []
        for name, was in before.items():
            text = f"{name} is {now.get(name, 'gone')}, was {was}"
            if now.get(name) == ContainerState.EXITED and was != now.get(name) and name in down:
                asked.append(f"{text}: restore is false")
            elif now.get(name) != was:
                left.append(text)
        rows = await life.ledger.faults(outstanding=True)
        left += [f"fault {row.fault.type} on {row.fault.target} is {row.fault.state}" for row in rows]
        left += [f"lock {name}" for name in engine.state.volumes]
        if execution.state is not ExecutionState.FINISHED:
            left.append(f"the execution is {execution.state}, not finished")
        elif execution.undo in {UndoState.PENDING, UndoState.INCOMPLETE}:
            left.append(f"the undo of the execution is {execution.undo}")
        return _Rest(tuple(left), tuple(asked))

    def _told(self, execution: Execution, died: float | None, recovered: float | None, rest: _Rest) -> Rehearsal:
        told = [
            Happened(
                offset_s=entry.offset_s, event=entry.event, phase=entry.phase or "", target=entry.target or "",
                text=entry.text,
            )
            for entry in execution.timeline
        ]  # fmt: skip
        return Rehearsal(
            scenario=execution.scenario,
            seed=execution.seed,
            fleet=self._names(),
            verdict=execution.verdict,
            reason=execution.reason,
            undo=execution.undo,
            not_judged=self._not_judged,
            assertions=execution.assertions,
            timeline=tuple(sorted([*told, *self._seen], key=lambda one: one.offset_s)),
            undo_commands=tuple(command for fault in reversed(execution.faults) for command in fault.undo_commands),
            died_at_s=died,
            recovered_at_s=recovered,
            ended_at_s=self._seen[-1].offset_s if died is not None and self._seen else _last(execution),
            left=rest.left,
            left_as_asked=rest.as_asked,
        )

    def _names(self) -> tuple[str, ...]:
        containers = self._fleet.containers if isinstance(self._fleet, DescribedFleet) else self._fleet
        return tuple(container.name for container in containers)


def _last(execution: Execution) -> float:
    return execution.timeline[-1].offset_s if execution.timeline else 0.0


def _down_as_asked(execution: Execution) -> set[str]:
    """The containers that a fault ended which is not to start them again."""
    ended = [
        fault for fault in execution.faults if "restore" in KINDS[fault.type].model_fields and not fault.undo_commands
    ]
    return {target.name for fault in ended for target in fault.targets}


def _states(engine: SimulatedEngine) -> dict[str, str]:
    return {container.name: container.state.value for container in engine.state.containers.values()}
