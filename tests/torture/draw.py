"""Draws a round from its seed: what is broken where, what a person has done before, how the coordinator dies, and when.
Touches nothing: the same seed is the same round.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.faults.shapes import SHAPES

FaultLine = Mapping[str, object]
"""A fault as a scenario file writes it, with the letter of a container where a target's name goes."""

ONE_AT_A_TIME: Final = frozenset({"cpu_limit", "memory_limit", "pid_exhaustion", "clock_skew"})
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

    def renewed(self) -> frozenset[str]:
        """The containers whose run, or whose end of a network, a fault of this round may end."""
        return frozenset(
            str(fault["target"]) for faults in self.executions for fault in faults if fault["type"] in RENEWS
        )


def draw(seed: int, place: Place | None = None) -> Round:
    """The round of a seed, where `place` is not given at a place of its own choice."""
    dice = random.Random(seed)
    chosen = dice.choice(PLACES)
    place = place or chosen
    death = dice.choice(BY_PLACE[place])
    duration_s = round(dice.uniform(0.6, 1.6), 3)
    forgets = death in FORGETS
    executions = tuple(
        _faults(dice, duration_s, forgets=forgets) for _ in range(1 if forgets else dice.choice((1, 1, 1, 2)))
    )
    restarted = death in NEEDS_A_START or (death not in LIVES and dice.random() < 0.3)
    twice = restarted and place is Place.HOST and dice.random() < 0.25
    return Round(
        seed=seed,
        place=place,
        death=death,
        executions=executions,
        duration_s=duration_s,
        after_s=round(dice.uniform(0, duration_s + 0.3), 3),
        gap_s=round(dice.uniform(0, 0.5), 3),
        restarted=restarted,
        again_s=round(dice.uniform(0.2, 2.5), 3) if twice else None,
        person=_person(dice, place) if dice.random() < 0.3 else {},
    )


def _person(dice: random.Random, place: Place) -> dict[str, str]:
    letter, verb = dice.choice(LETTERS[:4]), dice.choice(("pause", "stop"))
    if place is Place.ENGINE and (letter, verb) == (ALWAYS_STARTED, "stop"):
        return {"old": verb}
    return {letter: verb}


def _faults(dice: random.Random, duration_s: float, *, forgets: bool) -> tuple[FaultLine, ...]:
    drawn = _playable([_fault(dice, duration_s, forgets=forgets) for _ in range(dice.randint(1, 4))])
    if not forgets:
        return tuple(drawn)
    # A lock names the run that was there when it was made: a later one that is down is taken for a person's doing.
    ended: set[object] = set()
    kept: list[FaultLine] = []
    for fault in drawn:
        if fault["type"] in ENDS_A_RUN:
            if fault["target"] in ended:
                continue
            ended.add(fault["target"])
        kept.append(fault)
    return tuple(kept)


def _playable(drawn: list[FaultLine]) -> list[FaultLine]:
    """Without those of which a container has one at a time: such a plan would be refused."""
    first = {(fault["type"], fault.get("target")): fault for fault in reversed(drawn)}
    return [
        fault for fault in drawn
        if fault["type"] not in ONE_AT_A_TIME or first[fault["type"], fault.get("target")] is fault
    ]  # fmt: skip


def _fault(dice: random.Random, duration_s: float, *, forgets: bool) -> FaultLine:
    kinds = [kind for kind in DRAWN if not (forgets and kind in NOT_FROM_LABELS)]
    kind = dice.choice(kinds)
    fault: dict[str, object] = {"type": kind, **DRAWN[kind](dice)}
    begins = dice.choice((0.0, 0.0, round(dice.uniform(0, duration_s / 2), 3)))
    fault["at"] = f"{begins * 1000:.0f}ms"
    if not forgets and kind != "container_restart" and dice.random() < 0.2:
        fault["on_target_restart"] = "reapply"
    if dice.random() < 0.5:
        fault["for"] = f"{dice.uniform(0.001, duration_s - begins) * 1000:.0f}ms"
    return fault


def _anyone(dice: random.Random) -> dict[str, object]:
    return {"target": dice.choice(LETTERS)}


def _mortal(dice: random.Random) -> dict[str, object]:
    return {"target": dice.choice([letter for letter in LETTERS if letter not in NEVER_ENDED])}


def _killed(dice: random.Random) -> dict[str, object]:
    return {**_mortal(dice), "signal": dice.choice(("SIGKILL", "SIGKILL", "SIGTERM", "SIGHUP"))}


def _graceful(dice: random.Random) -> dict[str, object]:
    return {**_mortal(dice), "grace": dice.choice(("0s", "1s"))}


def _command(dice: random.Random) -> dict[str, object]:
    # On a file system that is the run's own: an undo is owed to the run alone.
    path = f"/dev/shm/off-{dice.randrange(100)}"
    if dice.random() < 0.5:
        begin, end = f"echo off > {path}", f"rm -f {path}"
    else:
        begin = f"sleep 86399 > /dev/null 2>&1 & echo $! > {path}"
        end = f"[ ! -f {path} ] || {{ kill $(cat {path}); rm -f {path}; }}"
    return {**_anyone(dice), "command": ["sh", "-c", begin], "undo_command": ["sh", "-c", end]}


def _cut_off(dice: random.Random) -> dict[str, object]:
    one, other, third = dice.sample(NETWORKED, 3)
    if dice.random() < 0.3:
        return {"between": [one, other, third], "shape": dice.choice(SHAPES)}
    if dice.random() < 0.5:
        return {"between": dice.choice(([one, other], [one, other, third]))}
    return {"from": one, "to": other, "direction": dice.choice(("both", "in", "out"))}


def _swallowed(dice: random.Random) -> dict[str, object]:
    whom: tuple[dict[str, object], ...] = ({}, {"ports": [80, 443]}, {"hosts": ["192.0.2.0/24", "2001:db8::1"]})
    ways = {
        "direction": dice.choice(("both", "in", "out")),
        "answer": dice.choice(("drop", "tcp-reset", "unreachable")),
    }
    return {**_connected(dice), **dice.choice(whom), **ways}


def _connected(dice: random.Random) -> dict[str, object]:
    target, other = dice.sample(NETWORKED, 2)
    return {"target": target, "to": other} if dice.random() < 0.3 else {"target": target}


def _late(dice: random.Random) -> dict[str, object]:
    return {**_connected(dice), "latency": "50ms", "jitter": dice.choice(("0ms", "20ms"))}


def _some(dice: random.Random) -> dict[str, object]:
    return {**_connected(dice), "percent": f"{dice.randint(1, 60)}%"}


def _reordered(dice: random.Random) -> dict[str, object]:
    return {**_some(dice), "delay": "20ms"}


def _stopped(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "name": dice.choice(("sleep", "sh"))}


def _skewed(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "offset": dice.choice(("1h", "-90s", "250ms"))}


def _disconnected(dice: random.Random) -> dict[str, object]:
    target, network = dice.choice((("api", "front"), ("api", "back"), ("web", "front"), ("job", "back")))
    return {"target": target, "network": network}


def _crammed(dice: random.Random) -> dict[str, object]:
    on_disk, in_memory = {"path": "/", "size": "4m"}, {"path": "/dev/shm", "percent": "20%"}
    return {**_anyone(dice), **dice.choice((on_disk, on_disk, in_memory))}


def _throttled(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "cpus": dice.choice((0.1, 0.3))}


def _confined(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "limit": dice.choice(("32m", "48m"))}


def _crowded(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "leave": dice.randint(0, 3)}


def _busy(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "workers": dice.choice((1, 2)), "load": "20%"}


def _full(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "size": dice.choice(("4m", "16m"))}


def _writing(dice: random.Random) -> dict[str, object]:
    return {**_anyone(dice), "path": dice.choice(("/", "/dev/shm"))}


def _narrow(dice: random.Random) -> dict[str, object]:
    return {**_connected(dice), "rate": "10mbit", "direction": dice.choice(("both", "in", "out"))}


def _nameless(dice: random.Random) -> dict[str, object]:
    mode = dice.choice(("nxdomain", "timeout", "wrong-answer"))
    return {"target": dice.choice(NETWORKED), "names": ["*.shop"], "mode": mode}


DRAWN: Final[Mapping[str, Callable[[random.Random], dict[str, object]]]] = {
    "container_kill": _killed,
    "container_crash": _mortal,
    "container_stop": _graceful,
    "container_restart": _graceful,
    "container_pause": _anyone,
    "process_freeze": _stopped,
    "clock_skew": _skewed,
    "exec": _command,
    "network_disconnect": _disconnected,
    "network_partition": _cut_off,
    "network_blackhole": _swallowed,
    "network_latency": _late,
    "network_loss": _some,
    "network_duplication": _some,
    "network_corruption": _some,
    "network_reordering": _reordered,
    "network_bandwidth": _narrow,
    "dns_failure": _nameless,
    "cpu_stress": _busy,
    "memory_stress": _full,
    "disk_io_stress": _writing,
    "disk_fill": _crammed,
    "cpu_limit": _throttled,
    "memory_limit": _confined,
    "pid_exhaustion": _crowded,
}
"""Every fault there is but NOT_DRAWN, with its parameters."""

NOT_DRAWN: Final = frozenset({"process_kill", "http_call"})
"""Tried by tests of their own alone."""


def definition(drawn: Round, execution: int, names: Mapping[str, str]) -> dict[str, object]:
    """An execution as the API takes it, on containers and networks of these names."""
    faults = drawn.executions[execution]
    used = sorted({letter for fault in faults for letter in _letters(fault)})
    phase = {
        "name": "torture",
        "duration": f"{drawn.duration_s * 1000:.0f}ms",
        "faults": [_named(fault, names) for fault in faults],
    }
    return {
        "apiVersion": "test-coordinator/v1",
        "kind": "Scenario",
        "metadata": {"name": f"torture-{drawn.seed}"},
        "targets": {letter: {"names": [names[letter]]} for letter in used},
        "phases": [phase],
    }


def _letters(fault: FaultLine) -> tuple[str, ...]:
    between = fault.get("between")
    if isinstance(between, list):
        return tuple(between)
    return tuple(str(fault[name]) for name in ("target", "from", "to") if name in fault)


def _named(fault: FaultLine, names: Mapping[str, str]) -> dict[str, object]:
    network = fault.get("network")
    return {**fault, "network": names[str(network)]} if network is not None else dict(fault)
