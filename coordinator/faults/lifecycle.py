"""Container faults: kill, crash, stop, restart, pause. Plans only what is running; all else is left alone and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from coordinator.faults.commands import HELPER_IMAGE, HELPER_PROGRAMS, MANY, Command, DockerCommand
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import Look, RunEnded, RunsAnew, SignalSeen, StateIs, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings, TargetPlan, Untouched
from coordinator.identity import LABEL_ROLE
from coordinator.quantities import Duration

DOWN: Final = (ContainerState.EXITED, ContainerState.CREATED, ContainerState.DEAD)
ENDING_SIGNALS: Final = frozenset({"SIGKILL"})
"""Signals no process survives: the effect to be seen is the end of the run, not the delivery."""

SHUTDOWN_S: Final = 10.0
"""How long a process may take to end after a signal that it handles; Docker's own grace period."""

CRASH_DEADLINE_S: Final = 30.0
SIGNALS: Final = {
    "SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGABRT": 6, "SIGKILL": 9, "SIGUSR1": 10, "SIGSEGV": 11, "SIGUSR2": 12,
    "SIGTERM": 15, "SIGWINCH": 28,
}  # fmt: skip


def each_running(
    containers: Sequence[ContainerFacts], one: Callable[[ContainerFacts], tuple[Command, Look, Undo | None]]
) -> FaultPlan:
    """Plan every running container; name the others with the state that keeps them out."""
    targets, untouched = [], []
    for container in containers:
        if container.state is not ContainerState.RUNNING:
            why = f"is {container.state}, not running: left alone"
            untouched.append(Untouched(container_id=container.id, name=container.name, why=why))
            continue
        inject, effect, undo = one(container)
        targets.append(
            TargetPlan(
                container_id=container.id, name=container.name, started_at=container.started_at,
                pre_state=container.state, inject=inject, effect=effect, undo=undo,
            )
        )  # fmt: skip
    return FaultPlan(targets=tuple(targets), untouched=tuple(untouched))


def signal_name(text: str) -> str:
    """One of SIGNALS, of a name with or without SIG, or of a number. Raises ValueError."""
    names = {str(number): name for name, number in SIGNALS.items()}
    name = names.get(text, text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}")
    if name not in SIGNALS:
        message = "one of " + ", ".join(SIGNALS)
        raise ValueError(message)
    return name


def _start_again(container: ContainerFacts, settle_s: float, lingers_s: float = 0.0) -> Undo:
    """Start it if this very run ended and nothing else has started it since."""
    return Undo(
        container_id=container.id,
        name=container.name,
        started_at=container.started_at,
        command=DockerCommand(argv=("start", container.id)),
        needed_in=DOWN,
        restores=ContainerState.RUNNING,
        settle_s=settle_s,
        lingers_s=lingers_s,
    )


def _whole_seconds(grace: float) -> float:
    """The engine takes no fractions; rounding one silently would change what is tested."""
    if grace != int(grace):
        message = "whole seconds, like 3s"
        raise ValueError(message)
    return grace


# `-t` is the one spelling that old and new command lines share: `--time` is deprecated, `--timeout` is new.
Grace = Annotated[
    Duration, AfterValidator(_whole_seconds), Field(le=600, description="whole seconds between SIGTERM and SIGKILL")
]


class ContainerKill(FaultSpec):
    """`docker kill`. An engine-side kill switches the restart policy off, so the undo starts it again."""

    type: Literal["container_kill", "service_kill"]
    signal: str = Field(default="SIGKILL", description="a signal name or number")
    restore: bool = Field(default=True, description="start it again at the end if it ran before and nothing else did")

    summary: ClassVar[str] = "Sends a signal (SIGKILL) to the container's main process through the engine."
    undo_text: ClassVar[str] = "started again if it ran before and nothing else restarted it"
    mechanism: ClassVar[str] = "docker kill"

    @field_validator("signal")
    @classmethod
    def _known_signal(cls, signal: str) -> str:
        return signal_name(signal)

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Kill each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            effect: Look = (
                RunEnded(started_at=container.started_at)
                if self.signal in ENDING_SIGNALS
                else SignalSeen(signals=(self.signal, str(SIGNALS[self.signal])))
            )
            lingers_s = 0.0 if self.signal in ENDING_SIGNALS else SHUTDOWN_S
            undo = _start_again(container, settle_s=2.0, lingers_s=lingers_s) if self.restore else None
            return DockerCommand(argv=("kill", "--signal", self.signal, container.id)), effect, undo

        return each_running(containers, one)


def among_processes(*capabilities: str) -> tuple[str, ...]:
    """A helper among the host's processes, with these rights over them; a program follows. The engine removes it when
    it ends, a moment later. An AppArmor profile would allow it to signal containers of the same profile alone.
    """
    allowed = [part for each in capabilities for part in ("--cap-add", each)]
    return (
        "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=helper", "--log-driver", "none", "--no-healthcheck",
        "--read-only", "--network", "none", "--pid", "host", "--userns", "host", "--user", "0:0",
        "--cap-drop", "ALL", *allowed, "--security-opt", "apparmor=unconfined",
        "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S",
    )  # fmt: skip


CRASH: Final = (*among_processes("KILL"), f"{HELPER_PROGRAMS}/crash.py", MANY)


class ContainerCrash(FaultSpec):
    """SIGKILL to the main process from outside the engine, which takes it for a crash: the restart policy acts."""

    type: Literal["container_crash"]
    restore: bool = Field(default=True, description="start it again at the end if it ran before and nothing else did")

    summary: ClassVar[str] = "Kills the container's main process behind the engine's back: its restart policy acts."
    undo_text: ClassVar[str] = "started again if it ran before and nothing else restarted it"
    mechanism: ClassVar[str] = "a helper container in the host's process namespace, kill -9"
    needs: ClassVar[str] = "a Docker engine and the helper image (HELPER_IMAGE; built at first need)"
    by_helper: ClassVar[bool] = True
    capabilities: ClassVar[tuple[str, ...]] = ("KILL",)
    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("processes",), ("kill",))

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Crash each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            # A helper may take seconds to start on a busy engine, and goes on when nobody waits for it any more.
            undo = _start_again(container, settle_s=5.0)
            # A policy that waits before its next restart is not yet done: it is looked at until it has.
            undo = undo.model_copy(update={"needed_in": (*DOWN, ContainerState.RESTARTING), "frozen_later": True})
            crash = DockerCommand(argv=(*CRASH, container.id), deadline_s=CRASH_DEADLINE_S)
            return crash, RunEnded(started_at=container.started_at), undo if self.restore else None

        return each_running(containers, one)


class ContainerStop(FaultSpec):
    """`docker stop`: SIGTERM, `grace`, SIGKILL."""

    type: Literal["container_stop"]
    grace: Grace = 10.0

    summary: ClassVar[str] = "Stops the container: its stop signal, then SIGKILL after the grace."
    undo_text: ClassVar[str] = "started again"
    mechanism: ClassVar[str] = "docker stop"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Stop each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            stop = DockerCommand(argv=("stop", "-t", f"{self.grace:.0f}", container.id), deadline_s=self.grace + 30.0)
            return stop, RunEnded(started_at=container.started_at), _start_again(container, settle_s=self.grace + 5.0)

        return each_running(containers, one)


class ContainerRestart(FaultSpec):
    """`docker restart`. Undoes itself; the undo only catches one that got stuck half-way."""

    type: Literal["container_restart", "service_restart"]
    grace: Grace = 10.0

    summary: ClassVar[str] = "Restarts the container, as an operator would."
    undo_text: ClassVar[str] = "none needed; running again is verified, and it is started if the restart got stuck"
    mechanism: ClassVar[str] = "docker restart"
    one_off: ClassVar[bool] = True

    @field_validator("on_target_restart")
    @classmethod
    def _once(cls, wish: str) -> str:
        if wish == "reapply":
            message = "end: restarting what was restarted would never end"
            raise ValueError(message)
        return wish

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Restart each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            restart = DockerCommand(
                argv=("restart", "-t", f"{self.grace:.0f}", container.id), deadline_s=self.grace + 60.0
            )
            return restart, RunsAnew(started_at=container.started_at), _start_again(container, self.grace + 5.0)

        return each_running(containers, one)


class ContainerPause(FaultSpec):
    """`docker pause`: every process frozen by the cgroup freezer. A container a person paused is left alone."""

    type: Literal["container_pause"]

    summary: ClassVar[str] = "Freezes every process of the container; connections stay open and hang."
    undo_text: ClassVar[str] = "unpaused"
    mechanism: ClassVar[str] = "docker pause"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Pause each running container."""

        def one(container: ContainerFacts) -> tuple[DockerCommand, Look, Undo | None]:
            undo = Undo(
                container_id=container.id,
                name=container.name,
                started_at=container.started_at,
                command=DockerCommand(argv=("unpause", container.id)),
                needed_in=(ContainerState.PAUSED,),
                restores=ContainerState.RUNNING,
            )
            return DockerCommand(argv=("pause", container.id)), StateIs(states=(ContainerState.PAUSED,)), undo

        return each_running(containers, one)
