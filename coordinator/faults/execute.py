"""The exec fault: a user's own command inside the target, with the user's own undo. Judged by exit codes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import LATE_S, Succeeded, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings, TargetPlan, Untouched


def _program_first(argv: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if not argv or not argv[0].strip():
        message = "a list of words, the program first, like [rm, -f, /tmp/off]"
        if info.field_name == "undo_command":
            message += "; leave it out where there is nothing to put back"
        raise ValueError(message)
    return argv


Argv = Annotated[tuple[str, ...], AfterValidator(_program_first), Field(json_schema_extra={"minItems": 1})]


class ExecFault(FaultSpec):
    """`docker exec` of an argument list; never a shell unless the scenario names one."""

    type: Literal["exec"]
    command: Argv = Field(description="the argument list to run inside the target")
    undo_command: Argv = Field(default=(), description="the argument list that puts it back")

    summary: ClassVar[str] = "Runs a command of yours inside the container."
    undo_text: ClassVar[str] = "undo_command, while the same run of the container is up"
    mechanism: ClassVar[str] = "docker exec"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Run the command in each running container."""
        running = [container for container in containers if container.state is ContainerState.RUNNING]
        return FaultPlan(
            targets=tuple(self._target(container) for container in running),
            untouched=tuple(
                Untouched(container_id=c.id, name=c.name, why=f"is {c.state}, not running: left alone")
                for c in containers
                if c.state is not ContainerState.RUNNING
            ),
        )

    def _target(self, container: ContainerFacts) -> TargetPlan:
        undo = None
        if self.undo_command:
            undo = Undo(
                container_id=container.id,
                name=container.name,
                started_at=container.started_at,
                command=DockerCommand(argv=("exec", container.id, *self.undo_command)),
                # A paused container cannot run it now, but is still owed it.
                needed_in=(ContainerState.RUNNING, ContainerState.PAUSED),
                restores=None,
                # The engine starts what it was asked for also when nobody waits any more: it may come after an undo.
                settle_s=LATE_S,
            )
        return TargetPlan(
            container_id=container.id,
            name=container.name,
            started_at=container.started_at,
            pre_state=container.state,
            inject=DockerCommand(argv=("exec", container.id, *self.command)),
            effect=Succeeded(),
            undo=undo,
        )
