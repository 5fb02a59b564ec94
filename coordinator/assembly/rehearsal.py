"""Plays a scenario in virtual time on a simulated fleet, perhaps with a death of the coordinator and a new start.

Says what would happen and what nobody here can judge: a probe that asks a service has no service to ask.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio

from actors.docker.simulated import SimulatedEngine
from coordinator.assembly.described_fleet import DescribedFleet, furnish
from coordinator.assembly.simulation import SimulatedCoordinator
from coordinator.assembly.virtual_time import VirtualClock, VirtualLoop
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerFacts, Value
from coordinator.record import AssertionResult, Execution, ExecutionState, Submission, UndoState, Verdict
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.probes import ContainerProbe
from coordinator.scenarios.run import Rules

LONGEST_RECOVERY_S: Final = 900.0
LOOK_EVERY_S: Final = 0.5
MOST_SAMPLES: Final = 5000
"""Of one probe: in a scenario of many hours it looks less often than it says, and that is told."""
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
    """What is not as it was before: containers, locks, faults. Empty: nothing is left."""


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


def judgeable(scenario: Scenario) -> tuple[Scenario, tuple[str, ...]]:
    """The scenario without what only a real service can answer, and what that is, one line each."""
    mute = {name for name, probe in scenario.probes.items() if not isinstance(probe, ContainerProbe)}
    out: list[str] = []

    def judged(where: str, probe: str | None, what: str) -> bool:
        if probe in mute:
            out.append(f"{where}: {probe} {what}")
        return probe not in mute

    steady = tuple(c for c in scenario.steady_state if judged("steady state", c.probe, ", ".join(c.metrics())))
    aborts = tuple(c for c in scenario.abort_if if judged("abort_if", c.probe, c.condition()))
    phases = []
    for phase in scenario.phases:
        out += [f"phase {phase.name}: exec on {f.target} is taken to succeed" for f in phase.faults if f.type == "exec"]
        claims = tuple(c for c in phase.assertions if judged(f"phase {phase.name}", c.probe, ", ".join(c.metrics())))
        wait = phase.wait_until
        if wait is not None and not judged(f"phase {phase.name}", wait.probe, f"wait_until, at most {wait.timeout:g}s"):
            wait = None
        phases.append(phase.model_copy(update={"assertions": claims, "wait_until": wait}))
    least = sum(p.duration * (p.repeat.times if p.repeat else 1) for p in scenario.phases) / MOST_SAMPLES
    probes = {name: probe for name, probe in scenario.probes.items() if name not in mute}
    for name, probe in probes.items():
        if probe.every < least:
            out.append(
                f"probe {name}: what lasts less than {least:g}s: it looks so often only, not every {probe.every:g}s"
            )
            probes[name] = probe.model_copy(update={"every": least})
    update = {"steady_state": steady, "abort_if": aborts, "phases": tuple(phases), "probes": probes}
    return scenario.model_copy(update=update), tuple(out)


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

    async def play(self, crash_at_s: float | None) -> Rehearsal:
        # For durations, never for a secret.
        dice = Random(self._seed)  # noqa: S311  # no secret
        async with SimulatedEngine(self._clock, dice) as engine, anyio.create_task_group() as outside:
            furnish(engine, self._fleet)
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
            left = await self._settled(life, engine, before, accepted.id)
            if died is not None:
                recovered = self._offset()
            execution = (await life.executions.report(accepted.id)).execution
            outside.cancel_scope.cancel()
        return self._told(execution, died, recovered, left)

    def _coordinator(self, engine: SimulatedEngine, outside: anyio.abc.TaskGroup, number: int) -> SimulatedCoordinator:
        life = SimulatedCoordinator(
            engine, outside, self._folder, self._clock, self._rules, seed=self._seed + number, revise=self._revise
        )
        life.before = self._see_command
        return life

    def _revise(self, scenario: Scenario) -> Scenario:
        revised, self._not_judged = judgeable(scenario)
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
    ) -> tuple[str, ...]:
        """What is left when recovery is through, or has had its time."""
        left: tuple[str, ...] = ()
        with anyio.move_on_after(LONGEST_RECOVERY_S):
            while True:
                execution = await life.executions.execution(execution_id)
                left = await self._left(life, engine, before)
                if execution.state is ExecutionState.FINISHED and not left:
                    break
                await anyio.sleep(LOOK_EVERY_S)
        return left

    async def _left(
        self, life: SimulatedCoordinator, engine: SimulatedEngine, before: dict[str, str]
    ) -> tuple[str, ...]:
        now = _states(engine)
        changed = [f"{name} is {now.get(name, 'gone')}, was {was}" for name, was in before.items() if now[name] != was]
        rows = await life.ledger.faults(outstanding=True)
        owed = [f"fault {row.fault.type} on {row.fault.target} is {row.fault.state}" for row in rows]
        return (*changed, *owed, *(f"lock {name}" for name in engine.state.volumes))

    def _told(
        self, execution: Execution, died: float | None, recovered: float | None, left: tuple[str, ...]
    ) -> Rehearsal:
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
            left=left,
        )

    def _names(self) -> tuple[str, ...]:
        containers = self._fleet.containers if isinstance(self._fleet, DescribedFleet) else self._fleet
        return tuple(container.name for container in containers)


def _last(execution: Execution) -> float:
    return execution.timeline[-1].offset_s if execution.timeline else 0.0


def _states(engine: SimulatedEngine) -> dict[str, str]:
    return {container.name: container.state.value for container in engine.state.containers.values()}
