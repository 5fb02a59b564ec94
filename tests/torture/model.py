"""What a round of the torture is: where it is played, what is broken, how the coordinator dies, what a person does.

Touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FaultLine = Mapping[str, object]
"""A fault as a scenario file writes it, with the letter of a container where a target's name goes."""

ONE_AT_A_TIME: Final = frozenset({"cpu_limit", "memory_limit", "pid_exhaustion", "clock_skew"})
"""Of these a container has one at a time."""

ENDS_A_RUN: Final = frozenset(
    {"container_kill", "service_kill", "container_crash", "container_stop", "container_restart", "service_restart"}
)
"""After these a container's run is another one, so that what belongs to a run may differ."""

NETWORKS: Final = ("front", "back")
LETTERS: Final = ("api", "web", "job", "old", "own", "lone")
"""The containers of a stage, described there."""

RENEWS: Final = ENDS_A_RUN | {"network_disconnect"}
"""After these a container has another network namespace, or another end of a network in it."""

NOT_FROM_LABELS: Final = frozenset({"exec", "network_disconnect", "disk_fill"})
"""Their undos are in the ledger alone."""

ENDS_BY_HAND: Final = frozenset({"stop", "kill", "start"})
"""Of what a person does, that after which a container's run is another one."""

NEVER_ENDED: Final = frozenset({"own"})
"""Its network namespace holds rules of a person's own, which would end with its run."""

ALWAYS_STARTED: Final = "web"
"""With restart policy always: an engine that starts starts it too, whoever stopped it before."""

NETWORKED: Final = ("api", "web", "job", "old", "own")


class Place(StrEnum):
    """Where the coordinator runs."""

    HOST = "host"
    IMAGE = "image"
    ENGINE = "engine"


class Death(StrEnum):
    """What happens to it. Those of an engine leave it alive, but where they say otherwise."""

    NONE = "none"
    KILL = "SIGKILL"
    TERM = "SIGTERM"
    INT = "SIGINT"
    HUP = "SIGHUP"
    FROZEN = "SIGSTOP, SIGKILL"
    GROUP = "SIGKILL of the group"
    WARDEN_FIRST = "warden, then serve"
    WARDEN_REPLACED = "warden, then serve with the next"
    POWER = "warden and serve at once"
    DAMAGED = "SIGSTOP, ledger damaged, SIGKILL"
    FOLDER_LOST = "both at once, DATA_DIR deleted"
    DOCKER_KILL = "docker kill"
    DOCKER_STOP = "docker stop"
    DOCKER_REMOVE = "docker rm, a new container"
    CHILD_KILL = "SIGKILL of serve in its container"
    ENGINE_RESTART = "engine restarted"
    ENGINE_KILL = "engine killed and started"
    ENGINE_AND_SERVE = "engine and serve killed"
    ENGINE_AND_ALL = "engine, warden and serve killed"


BY_PLACE: Final[Mapping[Place, tuple[Death, ...]]] = {
    Place.HOST: (
        *(Death.NONE, Death.KILL, Death.KILL, Death.TERM, Death.INT, Death.HUP, Death.FROZEN, Death.GROUP),
        *(Death.WARDEN_FIRST, Death.WARDEN_REPLACED, Death.POWER, Death.POWER, Death.FOLDER_LOST),
        Death.DAMAGED,
    ),
    Place.IMAGE: (Death.DOCKER_KILL, Death.DOCKER_STOP, Death.DOCKER_REMOVE, Death.CHILD_KILL),
    Place.ENGINE: (Death.ENGINE_RESTART, Death.ENGINE_KILL, Death.ENGINE_AND_SERVE, Death.ENGINE_AND_ALL),
}
PLACES: Final = (Place.HOST,) * 14 + (Place.IMAGE, Place.ENGINE)

NEEDS_A_START: Final = frozenset(
    {
        *(Death.POWER, Death.FOLDER_LOST, Death.DOCKER_KILL, Death.DOCKER_STOP, Death.DOCKER_REMOVE),
        *(Death.CHILD_KILL, Death.ENGINE_AND_ALL, Death.WARDEN_FIRST),
    }
)
"""Nobody is left who could put anything back, or the verdict can only be asked for after another start."""

LIVES: Final = frozenset({Death.NONE, Death.ENGINE_RESTART, Death.ENGINE_KILL})
"""The coordinator goes on, and is ended when nothing is outstanding."""

FORGETS: Final = frozenset({Death.FOLDER_LOST, Death.DOCKER_REMOVE})
"""No ledger survives: there is no verdict to ask for, and the next coordinator is asked to scan. Of what a lock says it
runs `unpause` and `start` alone.
"""


LABELS_ALONE: Final = FORGETS | {Death.DAMAGED}
"""What was in the ledger is lost; after one that is damaged whoever comes scans without being asked."""

IN_ORDER: Final = frozenset({Death.NONE, Death.TERM, Death.INT, Death.HUP})
"""The coordinator learns of each of its commands how it ended."""


class Kind(StrEnum):
    """When a person acts in a round, so that what must be there afterwards is certain: the person's last word."""

    APART = "where no fault hits"
    BEFORE = "before a fault is due"
    AGAIN = "undoes a pause, then pauses"
    MEANWHILE = "pauses when a pause is due"
    RENAMED = "renames under faults"
    BACK = "takes back what was done before"


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does by hand to one container, one `verbs` after the other."""

    kind: Kind
    letter: str
    verbs: tuple[str, ...]
    at_s: float
    """The first, after the first submission has begun; of AGAIN after the pause was seen."""
    gap_s: float = 0.0
    """Between two verbs."""
    leaves: str = ""
    """What they come to, beside what the container was like before; one verb, or none."""
    by_s: float | None = None
    """When it must be done, after the first submission has begun: later it is not certain what must be there."""

    @property
    def first(self) -> bool:
        """Whether nothing dies before it is done: what nobody saw being undone by hand is taken for what was left."""
        return self.kind is Kind.AGAIN

    @property
    def refusable(self) -> bool:
        """Whether the engine may refuse the first verb, as the fault is there or is not: then nothing was done."""
        return self.kind in {Kind.AGAIN, Kind.MEANWHILE}


@dataclass(frozen=True, slots=True)
class Round:
    """One round. `executions` are lists of faults, submitted one after the other; times are seconds."""

    seed: int
    place: Place
    death: Death
    executions: tuple[tuple[FaultLine, ...], ...]
    duration_s: float
    """Of each execution's phase."""
    after_s: float
    """From the last submission to the death."""
    gap_s: float
    """Between the two blows of a death that has two."""
    restarted: bool
    """Whether a new start follows at once, beside whoever else may be putting things back."""
    again_s: float | None
    """When that start is killed as well, with its warden, before a last one."""
    person: Mapping[str, str]
    """What a person has done to containers beforehand: `pause` or `stop`."""
    act: Act | None = None
    """What a person does meanwhile."""

    def renewed(self) -> frozenset[str]:
        """The containers whose run, or whose end of a network, a fault of this round or a person may end."""
        by_faults = {str(fault["target"]) for faults in self.executions for fault in faults if fault["type"] in RENEWS}
        by_hand = {self.act.letter} if self.act is not None and ENDS_BY_HAND & {*self.act.verbs} else set()
        return frozenset(by_faults | by_hand)


def letters(fault: FaultLine) -> tuple[str, ...]:
    """The containers that a fault names."""
    between = fault.get("between")
    if isinstance(between, list):
        return tuple(between)
    return tuple(str(fault[name]) for name in ("target", "from", "to") if name in fault)


def aims(fault: FaultLine) -> tuple[str, ...]:
    """The containers that a fault hits, so that it locks them."""
    return (str(fault["target"]),) if "target" in fault else letters(fault)
