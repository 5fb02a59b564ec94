"""What a rehearsal cannot judge: what a service answers, and what happens inside a container. The simulated engine has
the starts, the ends and the networks of containers; processes, memory, disks and packets it has not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from coordinator.faults.attachments import NetworkDisconnect
from coordinator.faults.facts import ContainerFacts
from coordinator.faults.lifecycle import ContainerCrash, ContainerKill, ContainerPause, ContainerRestart, ContainerStop
from coordinator.faults.model import FaultSpec
from coordinator.faults.network import NetworkFault
from coordinator.faults.targeting import matches
from coordinator.scenarios.model import ContainerClaim, Phase, Scenario
from coordinator.scenarios.probes import ContainerProbe

MOST_SAMPLES: Final = 5000
"""Of one probe: in a scenario of many hours it looks less often than it says, and that is told."""

_ENGINES_OWN: Final = (ContainerCrash, ContainerKill, ContainerPause, ContainerRestart, ContainerStop)
"""Faults that the simulated engine acts out, with the restart policies and health checks that answer them."""
_OUTSIDE: Final = (NetworkFault, NetworkDisconnect)
"""Faults that end nothing in a container, though its health check may feel them."""


def judgeable(scenario: Scenario, fleet: Collection[ContainerFacts]) -> tuple[Scenario, tuple[str, ...]]:
    """The scenario without what cannot be judged on this fleet, and what that is, one line each."""
    spots = _BlindSpots(scenario, fleet)
    steady = tuple(c for c in scenario.steady_state if spots.answers("steady state", c.probe, ", ".join(c.metrics())))
    aborts = tuple(c for c in scenario.abort_if if spots.answers("abort_if", c.probe, c.condition()))
    phases = tuple(spots.without(phase) for phase in scenario.phases)
    # These are judged before a fault as well, which the simulated engine can: they stay.
    for claim in steady:
        spots.shows("steady state after the last phase", claim.probe, claim.container, ", ".join(claim.metrics()))
    for condition in aborts:
        spots.shows("abort_if", condition.probe, None, condition.condition())
    probes = {name: probe for name, probe in scenario.probes.items() if name not in spots.mute}
    least = sum(p.duration * (p.repeat.times if p.repeat else 1) for p in scenario.phases) / MOST_SAMPLES
    for name, probe in probes.items():
        if probe.every < least:
            spots.told.append(
                f"probe {name}: what lasts less than {least:g}s: it looks so often only, not every {probe.every:g}s"
            )
            probes[name] = probe.model_copy(update={"every": least})
    update = {"steady_state": steady, "abort_if": aborts, "phases": phases, "probes": probes}
    return scenario.model_copy(update=update), tuple(spots.told)


class _BlindSpots:
    """Goes through a scenario from phase to phase: what a fault did inside a container may outlast the fault."""

    def __init__(self, scenario: Scenario, fleet: Collection[ContainerFacts]) -> None:
        self.told: list[str] = []
        """What is not judged."""
        self.mute = {name for name, probe in scenario.probes.items() if not isinstance(probe, ContainerProbe)}
        """The probes that nobody here answers."""
        self._probes = scenario.probes
        self._caught = {
            name: {container.id for container in fleet if matches(target, container)}
            for name, target in scenario.targets.items()
        }
        self._inside: dict[str, list[str]] = {}
        """By target, the types of the faults so far that act on what runs in its containers."""
        self._around: dict[str, list[str]] = {}
        """The same of all that a health check may feel and the simulated engine does not."""

    def without(self, phase: Phase) -> Phase:
        """The phase without what cannot be judged in it."""
        where = f"phase {phase.name}"
        for fault in phase.faults:
            self._note(where, fault)
        claims = tuple(
            claim
            for claim in phase.assertions
            if self.answers(where, claim.probe, ", ".join(claim.metrics()))
            and self.shows(where, claim.probe, claim.container, ", ".join(claim.metrics()))
        )
        wait, duration = phase.wait_until, phase.duration
        if wait is not None:
            what = f"wait_until, at most {wait.timeout:g}s"
            judged = self.answers(where, wait.probe, what) and self.shows(where, wait.probe, wait.container, what)
            if not judged:
                # As long as it lasts where all is well: what is judged in the same phase needs that time.
                duration += min(wait.steady_for, wait.timeout) if wait.probe is not None else 0.0
                wait = None
        return phase.model_copy(update={"assertions": claims, "wait_until": wait, "duration": duration})

    def answers(self, where: str, probe: str | None, what: str) -> bool:
        """Whether somebody here answers the probe; told where nobody does."""
        if probe in self.mute:
            self.told.append(f"{where}: {probe} {what}")
        return probe not in self.mute

    def shows(self, where: str, probe: str | None, claim: ContainerClaim | None, what: str) -> bool:
        """Whether the simulated engine shows what is claimed of containers; told where it does not."""
        looks = self._probes.get(probe or "")
        if claim is not None:
            names = ", ".join(name for name in ("state", "health", "restarts") if getattr(claim, name) is not None)
            target, health, what = claim.target, claim.health is not None, f"{claim.target} {what or names}"
        elif isinstance(looks, ContainerProbe):
            health = looks.expect.health is not None or looks.show == "health"
            target, what = looks.target, f"{probe} {what}"
        else:
            return True
        felt = self._around if health else self._inside
        types = [each for name in felt if self._caught[name] & self._caught[target] for each in felt[name]]
        if types:
            self.told.append(f"{where}: {what}: what {', '.join(dict.fromkeys(types))} may do to it is not simulated")
        return not types

    def _note(self, where: str, fault: FaultSpec) -> None:
        if isinstance(fault, _ENGINES_OWN):
            return
        inside = not isinstance(fault, _OUTSIDE)
        if inside:
            self.told.append(f"{where}: {fault.type} on {fault.target} is taken to succeed")
        for name in dict.fromkeys((*fault.aims(), *fault.peers())):
            self._around.setdefault(name, []).append(fault.type)
            if inside:
                self._inside.setdefault(name, []).append(fault.type)
