"""Brings claims together with what was sampled and seen, and puts the results on record. The judgement itself is pure
and elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.faults.facts import ContainerFacts
from coordinator.record import AssertionResult, Sample
from coordinator.scenarios.model import Assertion, ContainerClaim, Phase, SteadyClaim
from coordinator.scenarios.stage import Stage
from coordinator.scenarios.verdict import claim_holds, judge, window


class Judging:
    """The judgements of one execution."""

    def __init__(self, stage: Stage) -> None:
        """Know no steady value yet."""
        self._stage = stage
        self._steady_values: dict[str, float | str | None] = {}

    def remember_steady(self) -> None:
        """Keep each probe's latest good value: what `unchanged` compares with from now on."""
        for name in self._stage.scenario.probes:
            self._steady_values[name] = self._latest_good(name)

    def _latest_good(self, probe: str) -> float | str | None:
        samples = self._samples(probe)
        return next((sample.value for sample in reversed(samples) if sample.ok), None)

    async def steady(self, claim: SteadyClaim, begun: float, when: str) -> AssertionResult:
        """Judge a claim of the steady state on the last `for` seconds, not before `begun`."""
        now = self._stage.journal.offset()
        return await self._judge(claim, f"steady_state {when}", max(begun, now - claim.lasts), now, None)

    async def phase(self, phase: Phase, name: str, begun: float) -> None:
        """Judge a phase's assertions on what was sampled since `begun`, before its faults are undone."""
        now = self._stage.journal.offset()
        effect_at = self._first_effect(name)
        for claim in phase.assertions:
            start = begun if claim.over == "phase" else 0.0
            if claim.recovers_within is not None and effect_at is not None:
                start = min(start, effect_at)
            result = await self._judge(claim, name, start, now, effect_at)
            if not result.passed:
                self._stage.ends.failed.append(f"phase {name}: {claim_text(result)}")

    def _first_effect(self, phase: str) -> float | None:
        """When the first fault of this phase took effect, or else of the last phase that had any."""
        effects = [
            (one.phase, one.first_effect_at) for one in self._stage.injections if one.first_effect_at is not None
        ]
        if not effects:
            return None
        last = phase if any(name == phase for name, _ in effects) else effects[-1][0]
        return min(at for name, at in effects if name == last) - self._stage.journal.started

    async def _judge(
        self, claim: Assertion, phase: str, start: float, end: float, effect_at: float | None
    ) -> AssertionResult:
        """Judge and put on record."""
        journal = self._stage.journal
        samples = window(self._samples(claim.probe), start, end) if claim.probe is not None else ()
        steady = self._steady_values.get(claim.probe) if claim.probe is not None else None
        containers = {}
        if claim.container is not None:
            containers[claim.container.target] = await self._look(claim.container)
        result = judge(
            claim, phase=phase, samples=samples, window_end=end, effect_at=effect_at, steady_value=steady,
            containers=containers,
        )  # fmt: skip
        journal.set(assertions=(*journal.execution.assertions, result))
        text = f"{claim_text(result)}: {'passed' if result.passed else 'failed'}"
        journal.tell("assertion_passed" if result.passed else "assertion_failed", text, target=result.on)
        return result

    async def container_is(self, claim: ContainerClaim) -> bool:
        """Whether the containers are now as claimed; not put on record. Raises EngineUnreachable."""
        return claim_holds(claim, await self._look(claim))[0]

    async def _look(self, claim: ContainerClaim) -> tuple[ContainerFacts | None, ...]:
        ids = [container.id for container in self._stage.targets.get(claim.target, ())]
        found = {container.id: container for container in await self._stage.tools.facts.containers(ids)}
        return tuple(found.get(container_id) for container_id in ids)

    def _samples(self, probe: str) -> Sequence[Sample]:
        return self._stage.sampling.samples(probe) if self._stage.sampling is not None else ()


def claim_text(result: AssertionResult) -> str:
    """An assertion and what was found, in one line."""
    return f"{result.on}: {result.metric} {result.expected}, actual {result.actual}"
