"""Plays the middle of an execution: steady state, the phases with their faults side by side, steady state again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import anyio

from coordinator.faults.model import FaultSpec
from coordinator.logging import action
from coordinator.record import ExecutionState, FaultState
from coordinator.scenarios.inject import FIRE_LEAD_S, LEAD_S, Injection, PhaseTime
from coordinator.scenarios.judging import Judging, claim_text
from coordinator.scenarios.model import ContainerClaim, Phase, WaitUntil
from coordinator.scenarios.stage import Stage
from coordinator.scenarios.turns import undone_first
from coordinator.scenarios.verdict import steady_for, window

CLAIM_LOOK_S: Final = 0.2
"""Between two looks at containers that are waited for."""


class Phases:
    """The phases of one execution, on its stage."""

    def __init__(self, stage: Stage) -> None:
        """Prepare to play them."""
        self._stage = stage
        self._judging = Judging(stage)

    async def play(self) -> None:
        """From the steady state before to the steady state after, or to what forbids to go on.

        Raises EngineUnreachable when containers that are asserted on cannot be looked at.
        """
        if not await self._steady("before"):
            return
        self._judging.remember_steady()
        self._stage.journal.set(state=ExecutionState.RUNNING)
        for phase in self._stage.scenario.phases:
            if not await self._rounds(phase):
                return
        await self._steady("after")

    async def _steady(self, when: Literal["before", "after"]) -> bool:
        stage, claims = self._stage, self._stage.scenario.steady_state
        if not claims:
            return True
        if when == "before":
            stage.journal.set(state=ExecutionState.STEADY_STATE)
        longest = max(claim.lasts for claim in claims)
        stage.enter(None, longest)
        await stage.journal.save()
        with action("steady_state", when=when):
            begun = stage.journal.offset()
            await anyio.sleep(longest)
            results = [await self._judging.steady(claim, begun, when) for claim in claims]
        if all(result.passed for result in results):
            return True
        reasons = "; ".join(claim_text(result) for result in results if not result.passed)
        stage.ends.failed.append(f"steady state not met {when} the phases: {reasons}")
        return False

    # ------------------------------------------------------------ phases

    async def _rounds(self, phase: Phase) -> bool:
        stage, clock = self._stage, self._stage.tools.clock
        times = phase.repeat.times if phase.repeat is not None else 1
        for number in range(1, times + 1):
            begun = clock.monotonic()
            name = phase.name if times == 1 else f"{phase.name}[{number}]"
            stage.enter(name, phase.duration)
            await stage.journal.save()
            with action("phase", phase=name):
                if not await self._phase(phase, name):
                    return False
            if phase.repeat is not None and number < times:
                left = max(0.0, begun + phase.repeat.every - clock.monotonic())
                stage.enter(name, left)
                await anyio.sleep(left)
        return True

    async def _phase(self, phase: Phase, name: str) -> bool:
        """Whether the next one may follow."""
        stage = self._stage
        injections = [self._injection(phase, name, index) for index in range(len(phase.faults))]
        stage.injections.extend(injections)
        time = PhaseTime()
        async with anyio.create_task_group() as group:
            for injection in injections:
                group.start_soon(injection.live, time, undone_first(injection, injections))
            begun = await self._begin(phase, name, injections, time)
            await anyio.sleep(phase.duration)
            passed = phase.wait_until is None or await self._wait_until(phase.wait_until, name)
            await self._judging.phase(phase, name, begun)
            stage.until = None
            time.over = True
            for injection in injections:
                injection.end.set()
        await stage.refresh_targets()
        stage.journal.tell("phase_ended")
        return passed and self._all_back(injections)

    async def _begin(self, phase: Phase, name: str, injections: Sequence[Injection], time: PhaseTime) -> float:
        """Start the phase when all that come first are armed; its offset from the execution's start."""
        stage, clock = self._stage, self._stage.tools.clock
        for injection in injections:
            if injection.spec.at <= LEAD_S:
                await injection.armed.wait()
        time.begin(clock.monotonic() + (FIRE_LEAD_S if injections else 0.0))
        await anyio.sleep(max(0.0, time.start - clock.monotonic()))
        stage.enter(name, phase.duration)
        stage.journal.tell("phase_started")
        return time.start - stage.journal.started

    def _injection(self, phase: Phase, name: str, index: int) -> Injection:
        spec, stage = phase.faults[index], self._stage

        def aimed(fault: FaultSpec) -> tuple[str, ...]:
            return tuple(dict.fromkeys(each.id for name in fault.aims() for each in stage.targets[name]))

        beside = (other for place, other in enumerate(phase.faults) if place != index)
        return Injection(
            execution_id=stage.journal.execution.id, phase=name, key=f"{name}/{index}", spec=spec,
            container_ids=aimed(spec), look_around=stage.look_around, mark=stage.mark, hands=stage.hands,
            engine_id=stage.engine_id, tools=stage.tools, tell=stage.journal.tell, fail=stage.fail,
            shared=frozenset(each for other in beside for each in aimed(other)),
        )  # fmt: skip

    def _all_back(self, injections: Sequence[Injection]) -> bool:
        """Nothing more is broken on top of what could not be mended."""
        stuck = [one.row for one in injections if one.row is not None and one.row.fault.state is FaultState.STUCK]
        for row in stuck:
            self._stage.ends.put_error(f"{row.fault.type} on {row.fault.target} is not undone: {row.last_error}")
        return not stuck

    # ------------------------------------------------------------ waiting

    async def _wait_until(self, wish: WaitUntil, name: str) -> bool:
        stage = self._stage
        stage.until = stage.tools.clock.monotonic() + wish.timeout
        with anyio.move_on_after(wish.timeout):
            if wish.probe is not None:
                await self._until_steady(wish.probe, wish.steady_for)
            elif wish.container is not None:
                await self._until_so(wish.container)
            return True
        what = f"probe {wish.probe}" if wish.container is None else f"target {wish.container.target}"
        stage.ends.failed.append(f"phase {name}: waited {wish.timeout:g} s for {what} in vain")
        stage.journal.tell("wait_failed", stage.ends.failed[-1], level="WARNING")
        return False

    async def _until_steady(self, probe: str, seconds: float) -> None:
        sampling, journal = self._stage.sampling, self._stage.journal
        if sampling is None:
            return
        begun = journal.offset()
        while True:
            now = journal.offset()
            if steady_for(window(sampling.samples(probe), begun, now), seconds, now):
                return
            await sampling.wait_sample(probe)

    async def _until_so(self, claim: ContainerClaim) -> None:
        while True:
            if await self._judging.container_is(claim):
                return
            await anyio.sleep(CLAIM_LOOK_S)
