"""What the parts of one play share: the scenario, the tools, the record, the targets, the faults so far. Decides only
which reason for an end is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import ContainerFacts, EngineInfo
from coordinator.faults.model import Surroundings
from coordinator.faults.targeting import Policy
from coordinator.ports import Hands
from coordinator.record import Environment, Verdict
from coordinator.scenarios.inject import Injection, Tools
from coordinator.scenarios.journal import Journal
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.sample import Samplers
from coordinator.scenarios.verdict import overall


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about every execution. Times are seconds."""

    instance: str
    policy: Policy
    faults_disabled: tuple[str, ...] = ()
    injection_enabled: bool = True
    timeout_s: float = 3600.0
    shutdown_deadline_s: float = math.inf
    in_container: bool = False
    """Whether the coordinator runs in one, where loopback addresses are its own."""
    environment: Environment | None = None
    """What an execution's record says of who played it."""


@dataclass(slots=True)
class Ends:
    """Why an execution will not pass, as it comes up. The first reason of a kind stays."""

    error: str | None = None
    aborted: str | None = None
    not_injected: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def put_error(self, reason: str) -> None:
        """It could not be played as it should."""
        self.error = self.error or reason

    def put_aborted(self, reason: str) -> None:
        """It was ended before its time."""
        self.aborted = self.aborted or reason

    def verdict(self) -> tuple[Verdict, str | None]:
        """The strongest, and its reason."""
        return overall(
            error=self.error,
            aborted=self.aborted,
            not_injected=tuple(dict.fromkeys(self.not_injected)),
            failed=self.failed,
        )


@dataclass(eq=False, slots=True)
class Stage:
    """One play's shared state, changed in place by its parts, all in one event loop."""

    scenario: Scenario
    tools: Tools
    journal: Journal
    ends: Ends
    fail: Callable[[str], None]
    """Ends the play with verdict error."""
    mark: str = ""
    """What names its faults inside a kernel: the execution, the instance, the deadline."""
    hands: Hands | None = None
    engine: EngineInfo | None = None
    """Known once the play is prepared."""
    targets: dict[str, tuple[ContainerFacts, ...]] = field(default_factory=dict)
    injections: list[Injection] = field(default_factory=list)
    sampling: Samplers | None = None
    until: float | None = None
    """When the present part is over at the earliest, on the monotonic clock."""

    @property
    def engine_id(self) -> str:
        """The engine's id; empty as long as it is not known."""
        return self.engine.id if self.engine else ""

    def enter(self, phase: str | None, seconds: float) -> None:
        """A part begins that takes so long."""
        self.journal.set(phase=phase)
        self.until = self.tools.clock.monotonic() + max(0.0, seconds)

    def name_of(self, container_id: str) -> str:
        """A target's name, or the beginning of its id."""
        found = (c.name for containers in self.targets.values() for c in containers if c.id == container_id)
        return next(found, container_id[:12])

    async def look_around(self) -> Surroundings:
        """Every target as it is now, by its name, without what no longer exists. Raises EngineUnreachable."""
        ids = {container.id for containers in self.targets.values() for container in containers}
        fresh = {container.id: container for container in await self.tools.facts.containers(ids)}
        targets = {
            name: tuple(fresh[container.id] for container in containers if container.id in fresh)
            for name, containers in self.targets.items()
        }
        chosen = {name: tuple(container.id for container in containers) for name, containers in self.targets.items()}
        return Surroundings(targets=targets, engine=self.engine, seed=self.journal.execution.seed, chosen=chosen)

    async def refresh_targets(self) -> None:
        """Look at the targets anew: a restarted container may have another address."""
        ids = {container.id for containers in self.targets.values() for container in containers}
        try:
            fresh = {container.id: container for container in await self.tools.facts.containers(ids)}
        except EngineUnreachable as error:
            self.journal.tell("warning", f"targets could not be looked at: {error}", level="WARNING")
            return
        # In place: the samplers read this very mapping at every sample.
        for name, containers in self.targets.items():
            self.targets[name] = tuple(fresh.get(container.id, container) for container in containers)
