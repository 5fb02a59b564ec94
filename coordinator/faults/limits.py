"""Limits of a container's cgroup: CPU time, memory, processes. Plans only what runs; whether a limit is lower than
the one that is there is for the program in the helper to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from coordinator.faults.commands import FAULT, HELPER_IMAGE, LIMITS_PROGRAM, MARK, DockerCommand
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineInfo
from coordinator.faults.looks import LATE_S, Succeeded, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings, TargetPlan, Untouched
from coordinator.identity import LABEL_ROLE
from coordinator.quantities import SizeOrShare, at_least

ALL: Final = "all"
"""In place of a fault's id: whatever the program has done to the container, of whichever fault."""

DEADLINE_S: Final = 20.0
LEAST_MEMORY: Final = "6m"
"""Docker's own least limit: with less, nothing starts."""


class CgroupFault(FaultSpec):
    """What is done in a running container's cgroup by a helper that can write the host's, and is undone by its id."""

    program: ClassVar[str]
    """What does it in the helper: `put FAULT ... MARK CONTAINER`, `remove FAULT CONTAINER`."""
    needs: ClassVar[str] = "a Docker engine on Linux, version 20.10 or later, and the helper image (HELPER_IMAGE)"
    by_helper: ClassVar[bool] = True
    in_cgroups: ClassVar[bool] = True

    def planned(self, containers: Sequence[ContainerFacts], *asked: str, around: Surroundings = ALONE) -> FaultPlan:
        """Ask this of the program for each running container."""
        targets, untouched = [], []
        for container in containers:
            why = self.why_not(container, around.engine)
            if container.state is not ContainerState.RUNNING:
                why = f"is {container.state}, not running: left alone"
            if why:
                untouched.append(Untouched(container_id=container.id, name=container.name, why=why))
                continue
            targets.append(
                TargetPlan(
                    container_id=container.id, name=container.name, started_at=container.started_at,
                    pre_state=container.state, inject=self._asked("put", FAULT, *asked, MARK, container.id),
                    # It succeeds only when it has seen in the kernel what was asked for.
                    effect=Succeeded(), undo=self.undo_of(container),
                )
            )  # fmt: skip
        return FaultPlan(targets=tuple(targets), untouched=tuple(untouched))

    def why_not(self, container: ContainerFacts, engine: EngineInfo | None) -> str:
        """Why one that runs is left alone, as far as the engine tells; else the program sees it."""
        return ""

    def undo_of(self, container: ContainerFacts) -> Undo:
        """How it is put back in one container."""
        return Undo(
            container_id=container.id,
            name=container.name,
            started_at=container.started_at,
            command=self._asked("remove", FAULT, container.id),
            # The cgroup lives as long as the run, frozen or not.
            needed_in=(ContainerState.RUNNING, ContainerState.PAUSED),
            restores=None,
            # A helper may take seconds to start on a busy engine, and goes on when nobody waits for it any more.
            settle_s=LATE_S,
            any_run=True,
        )

    def _asked(self, *arguments: str) -> DockerCommand:
        return beside_cgroups(self.program, *arguments, capabilities=self.capabilities)


class LimitFault(CgroupFault):
    """What all limits have in common: written to the cgroup by a helper, which keeps there what it replaced.

    The engine is not asked: its own `update` cannot give back what was unlimited.
    """

    program: ClassVar[str] = LIMITS_PROGRAM
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("cgroup_write",), ("cgroup_record",))
    undo_text: ClassVar[str] = "the previous value, exactly; a restart of the container ends it as well"

    def beside(self, other: FaultSpec) -> str:
        """What one replaced, the other would."""
        return "a container has one such limit at a time" if type(other) is type(self) else ""


class CpuLimit(LimitFault):
    """A quota of CPU time per period, as `docker run --cpus` sets."""

    type: Literal["cpu_limit"]
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False, description="how many cores, like 0.2")]

    summary: ClassVar[str] = "Gives the container less CPU time: it is stopped for the rest of each period."
    mechanism: ClassVar[str] = "a helper container, cpu.max or cpu.cfs_quota_us of the cgroup"

    def why_not(self, container: ContainerFacts, engine: EngineInfo | None) -> str:
        """Where it has no more as it is."""
        return no_limit("CPUs", container.cpus, engine.cpus if engine else 0, self.cpus)

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Limit each running container."""
        return self.planned(containers, "cpu", f"{self.cpus:.6f}", self.on_target_restart, around=around)


class MemoryLimit(LimitFault):
    """The most memory, with no swap beside it."""

    type: Literal["memory_limit"]
    limit: Annotated[SizeOrShare, at_least(LEAST_MEMORY)] = Field(
        description="the most it may use, at least 6m; or its share of the limit there is, else of the host's memory"
    )

    summary: ClassVar[str] = "Lowers the most memory the container may use; what asks for more is killed."
    mechanism: ClassVar[str] = "a helper container, memory.max or memory.limit_in_bytes of the cgroup"

    def why_not(self, container: ContainerFacts, engine: EngineInfo | None) -> str:
        """Where it has no more as it is."""
        if isinstance(self.limit, str):
            return ""
        return no_limit("bytes", container.memory, engine.memory if engine else 0, self.limit)

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Limit each running container."""
        return self.planned(containers, "memory", str(self.limit), self.on_target_restart, around=around)


class PidExhaustion(LimitFault):
    """No more processes or threads than there are, and so many more."""

    type: Literal["pid_exhaustion"]
    leave: int = Field(default=0, ge=0, le=4_194_304, description="how many more processes or threads may be made")

    summary: ClassVar[str] = "Lets the container make no more processes or threads: fork fails."
    mechanism: ClassVar[str] = "a helper container, pids.max of the cgroup"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Limit each running container."""
        return self.planned(containers, "pids", str(self.leave), self.on_target_restart)


def no_limit(unit: str, own: float, machine: float, wanted: float) -> str:
    """Why a limit would be none beside its own (0: none) on a machine with so much (0: not known); empty for one."""
    if 0 < own <= wanted:
        return f"is limited to {own:.12g} {unit} as it is: {wanted:.12g} would limit nothing"
    if 0 < machine <= wanted:
        return f"runs on a machine with {machine:.12g} {unit} as it is: {wanted:.12g} would limit nothing"
    return ""


def beside_cgroups(program: str, *arguments: str, capabilities: Sequence[str] = ()) -> DockerCommand:
    """A program beside the host's processes, which tell which cgroup is whose, with the host's cgroups to write."""
    allowed = [part for each in capabilities for part in ("--cap-add", each)]
    argv = (
        "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=helper", "--log-driver", "none", "--no-healthcheck",
        "--read-only", "--network", "none", "--pid", "host", "--cgroupns", "host", "--userns", "host", "--user", "0:0",
        "--cap-drop", "ALL", *allowed, "--security-opt", "apparmor=unconfined",
        "--volume", "/sys/fs/cgroup:/host-cgroup", "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S",
        program, *arguments,
    )  # fmt: skip
    return DockerCommand(argv=argv, deadline_s=DEADLINE_S)
