"""Draws a round from its seed: what is broken where, what a person has done before, how the coordinator dies, and when.
Touches nothing: the same seed is the same round.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from coordinator.faults.shapes import SHAPES
from tests.torture.by_hand import with_act
from tests.torture.model import (
    ALWAYS_STARTED,
    BY_PLACE,
    ENDS_A_RUN,
    LABELS_ALONE,
    LETTERS,
    LIVES,
    NEEDS_A_START,
    NETWORKED,
    NEVER_ENDED,
    NOT_FROM_LABELS,
    ONE_AT_A_TIME,
    PLACES,
    FaultLine,
    Place,
    Round,
    letters,
)


def draw(seed: int, place: Place | None = None) -> Round:
    """The round of a seed, where `place` is not given at a place of its own choice."""
    dice = random.Random(seed)
    chosen = dice.choice(PLACES)
    place = place or chosen
    death = dice.choice(BY_PLACE[place])
    duration_s = round(dice.uniform(0.6, 1.6), 3)
    forgets = death in LABELS_ALONE
    executions = tuple(
        _faults(dice, duration_s, forgets=forgets) for _ in range(1 if forgets else dice.choice((1, 1, 1, 2)))
    )
    restarted = death in NEEDS_A_START or (death not in LIVES and dice.random() < 0.3)
    twice = restarted and place is Place.HOST and dice.random() < 0.25
    drawn = Round(
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
    return with_act(drawn, random.Random(f"{seed} by hand"))


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
    used = sorted({letter for fault in faults for letter in letters(fault)})
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


def _named(fault: FaultLine, names: Mapping[str, str]) -> dict[str, object]:
    network = fault.get("network")
    return {**fault, "network": names[str(network)]} if network is not None else dict(fault)
