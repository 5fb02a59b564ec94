"""Looks: what must be seen in the engine for an inject or an undo to count as done. Pure judgement of facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import Field

from coordinator.faults.commands import Command, DockerCommand, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent, Value
from coordinator.faults.needs import Need, began_by, judge

UP = (ContainerState.RUNNING, ContainerState.PAUSED)


class StateIs(Value):
    """The container is in one of these states."""

    kind: Literal["state"] = "state"
    states: tuple[ContainerState, ...]


class RunEnded(Value):
    """The run that began at `started_at` is over: the container is down, gone, or runs anew."""

    kind: Literal["run_ended"] = "run_ended"
    started_at: str


class RunsAnew(Value):
    """A later run than the one that began at `started_at` is up."""

    kind: Literal["runs_anew"] = "runs_anew"
    started_at: str


class Detached(Value):
    """The container is there and in no network of this name."""

    kind: Literal["detached"] = "detached"
    network: str


class SignalSeen(Value):
    """The engine's event log shows the signal delivered to the container (number or name, as the engine writes it)."""

    kind: Literal["signal"] = "signal"
    signals: tuple[str, ...]


class Succeeded(Value):
    """Nothing to look at but the command's own exit code (a user's command inside the target)."""

    kind: Literal["succeeded"] = "succeeded"


AnyLook = StateIs | RunEnded | RunsAnew | Detached | SignalSeen | Succeeded
Look = Annotated[AnyLook, Field(discriminator="kind")]


def seen(
    look: AnyLook,
    container: ContainerFacts | None,
    events: Iterable[EngineEvent] = (),
    outcome: Outcome | None = None,
) -> bool:
    """Whether the facts show what the look asks for. `container` is None when the engine no longer has it."""
    match look:
        case StateIs():
            return container is not None and container.state in look.states
        case RunEnded():
            return container is None or container.state not in UP or container.started_at != look.started_at
        case RunsAnew():
            return container is not None and container.state in UP and container.started_at != look.started_at
        case Detached():
            return container is not None and not attached(container, look.network)
        case SignalSeen():
            return any(event.action == "kill" and event.signal in look.signals for event in events)
        case Succeeded():
            return outcome is not None and outcome.ok


def attached(container: ContainerFacts, network: str) -> bool:
    """Whether the container is in the network of this name, up or not."""
    return any(each.name == network for each in container.networks)


def seen_in_state(look: AnyLook, state: ContainerState | None) -> bool:
    """Whether the state alone shows what the look asks for; False says only that it takes a closer look."""
    match look:
        case StateIs():
            return state in look.states
        case RunEnded():
            return state not in UP
        case _:
            return False


LATE_S: Final = 5.0
"""How many seconds the engine may take to start what it was asked for by a command that nobody waits for any more: half
of what `docker stop` leaves a coordinator to end in.
"""


class Undo(Value):
    """How one target of one fault is put back, as data: recovery needs no fault code.

    Needed only while the run it was planned for (`started_at`) is in one of `needed_in`; done when the container is
    in `restores`, or, where there is no state to look at (None), when the command succeeded. With `attaches`, the name
    of a network, it is needed in every run and state while the container is not in that network, and done when it is.
    `settle_s`: how many seconds after firing the engine may still act on an inject whose effect nobody has seen yet (a
    stop in its grace period goes on in the engine after its command was killed). `lingers_s`: how many seconds after
    its effect was seen the target may still react to it (a process that ends some time after its signal).
    """

    container_id: str
    name: str
    started_at: str
    command: Command
    needed_in: tuple[ContainerState, ...]
    restores: ContainerState | None
    settle_s: float = 2.0
    lingers_s: float = 0.0
    attaches: str = ""
    any_run: bool = False
    """Owed to a later run as well: what it takes back bears the fault's name, and so nothing else is touched."""
    outlives: bool = False
    """Owed as well when the container is gone: what it takes back is in a volume, or a folder of the machine."""
    frozen_later: bool = False
    """Whether a container that is paused when it is hit shows that only when it goes on."""
    mend: DockerCommand | None = None
    """Run when all else is undone, until it succeeds, in the run it was planned for alone, or that was hit in its
    place; the engine makes anew for each run what it puts back.
    """

    def left(self) -> Undo:
        """The same where somebody else has undone what was done: nothing is owed but what is mended. Whatever comes
        after, as the same state once more, is not ours.
        """
        return self.model_copy(update={"needed_in": (), "attaches": "", "any_run": False})

    def shown(self) -> tuple[str, ...]:
        """Its commands for a person, in their order."""
        commands = (self.command if self.needed_in else None, self.mend)
        return tuple(command.shown() for command in commands if command is not None)

    def to_mend(self, container: ContainerFacts | None, unseen_since: str | None) -> bool:
        """Whether `mend` has something to put back in the container as it is; `unseen_since` as of `need`."""
        if self.mend is None or container is None or container.state not in UP:
            return False
        return container.started_at == self.started_at or began_by(container.started_at, unseen_since)

    def run_over(self, container: ContainerFacts) -> bool:
        """Whether what it takes back was the run's that it was planned for, and that is over."""
        of_run = not self.looked_at and bool(self.needed_in) and ContainerState.EXITED not in self.needed_in
        return of_run and (container.state not in UP or container.started_at != self.started_at)

    @property
    def looked_at(self) -> bool:
        """Whether a look at the container tells that it is done; else only the exit code of the command does."""
        return self.restores is not None or bool(self.attaches)


def thaws(undos: Iterable[Undo]) -> bool:
    """Whether these let containers go on that are paused.

    Their turn is before all others': what a frozen container was hit by comes about only when it goes on, and only then
    is it seen and undone.
    """
    return any(undo.needed_in == (ContainerState.PAUSED,) for undo in undos)


def need(undo: Undo, container: ContainerFacts | None, *, attempted: bool, unseen_since: str | None = None) -> Need:
    """Whether an undo still has to run: the rule is `needs.judge`.

    `attempted`: our own undo was run. `unseen_since` is until when a run may have begun to be ours as well (RFC 3339),
    given only where nobody has seen the inject's effect yet.
    """
    if undo.outlives and container is None:
        return Need.NEEDED
    if undo.any_run and container is not None:
        return Need.NEEDED if container.state in undo.needed_in else Need.SUPERSEDED
    if undo.attaches and container is not None:
        # Networks are the container's: no restart gives one back.
        return Need.DONE if attached(container, undo.attaches) else Need.NEEDED
    return judge(
        state=None if container is None else container.state,
        run="" if container is None else container.started_at,
        planned_run=undo.started_at,
        needed_in=undo.needed_in,
        restores=undo.restores,
        attempted=attempted,
        hit_until=unseen_since,
        lost=container is not None and container.lost,
    )
