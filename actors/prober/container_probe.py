"""Looks at containers through the engine, each time anew: their state, health and restarts against the expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from actors.prober.failures import NoContainer, wrong_answer
from coordinator.faults.facts import ContainerFacts
from coordinator.ports import EngineFacts
from coordinator.record import Reading
from coordinator.scenarios.probes import ContainerExpect, ContainerProbe

REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look showed of a container that exists. Health and restarts are None where only the state was asked."""

    state: str
    health: str | None = None
    restarts: int | None = None


async def look(probe: ContainerProbe, containers: Sequence[ContainerFacts], facts: EngineFacts) -> Reading:
    """Every container of the target must be as expected; the value is `show` of the first.

    Raises NoContainer, EngineUnreachable.
    """
    if not containers:
        raise NoContainer(f"target {probe.target!r} has no container")
    began = anyio.current_time()
    seen = await seen_now(probe, [container.id for container in containers], facts)
    latency_s = anyio.current_time() - began
    value = shown(probe, seen.get(containers[0].id))
    for container in containers:
        flaw = flaw_of(probe.expect, seen.get(container.id))
        if flaw:
            return wrong_answer(f"{container.name}: {flaw}", latency_s=latency_s, value=value)
    return Reading(ok=True, latency_s=latency_s, value=value)


async def seen_now(probe: ContainerProbe, ids: Sequence[str], facts: EngineFacts) -> Mapping[str, Seen]:
    """The containers that still exist; states alone are one request however many there are, the rest one for each."""
    if probe.show == "state" and probe.expect.health is None and probe.expect.max_restarts is None:
        return {id_: Seen(state.value) for id_, state in (await facts.states(ids)).items()}
    return {
        container.id: Seen(container.state.value, container.health or "none", container.restart_count)
        for container in await facts.containers(ids)
    }


def flaw_of(expect: ContainerExpect, seen: Seen | None) -> str:
    """What is not as expected, or empty. A container that is gone has the state `removed`, and nothing else."""
    state = REMOVED if seen is None else seen.state
    if state != expect.state:
        return f"state {state}, expected {expect.state}"
    if seen is None:
        return ""
    if expect.health is not None and seen.health != expect.health:
        return f"health {seen.health}, expected {expect.health}"
    if expect.max_restarts is not None and (seen.restarts or 0) > expect.max_restarts:
        return f"{seen.restarts} restarts, expected at most {expect.max_restarts}"
    return ""


def shown(probe: ContainerProbe, seen: Seen | None) -> float | str | None:
    """The value of the probe; a container that is gone has neither health nor restarts."""
    if probe.show == "state":
        return REMOVED if seen is None else seen.state
    if probe.show == "health":
        return "none" if seen is None else seen.health
    return None if seen is None or seen.restarts is None else float(seen.restarts)
