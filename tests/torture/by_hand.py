"""What a person does by hand while a round is played. Touches nothing.

Only acts are drawn after which it is certain what must be there, whatever dies when: the person's last word. Where two
wills meet within one command of the engine's nobody can tell whose came first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tests.torture.model import (
    ENDS_BY_HAND,
    IN_ORDER,
    LABELS_ALONE,
    LETTERS,
    NEVER_ENDED,
    Act,
    FaultLine,
    Kind,
    Place,
    Round,
    aims,
)

SHARE: Final = 0.4
"""Of the rounds on the machine's engine."""
BACK: Final[Mapping[str, str]] = {"pause": "unpause", "stop": "start", "kill": "start"}
"""What takes back what a person did."""

LASTING: Final = ("pause", "stop", "kill")
BEFORE_S: Final = 0.3
"""A person who acts before a fault is due has done so by then, with a command that takes long included."""
COMMAND_S: Final = 0.5
NOTICED_S: Final = 1.2
"""After what was undone by hand: the coordinator has seen it, and written it down."""
AGAIN_S: Final = 4.0
"""How long a phase lasts in which a person undoes something and does it again."""


def with_act(drawn: Round, dice: random.Random) -> Round:
    """The round with what a person does meanwhile, in a share of those on the machine's engine; else as it is."""
    if drawn.place is not Place.HOST or dice.random() >= SHARE:
        return drawn
    # Only deaths in order let a person act at that instant.
    kinds = [*DRAWN, *[Kind.MEANWHILE] * 2]
    dice.shuffle(kinds)
    for kind in kinds:
        acted = DRAWN[kind](drawn, dice)
        if acted is not None:
            return acted
    return drawn


def _hit(drawn: Round) -> list[str]:
    """The containers that faults of the round hit, but those that a person has paused or stopped before."""
    hit = {letter for faults in drawn.executions for fault in faults for letter in aims(fault)}
    return sorted(hit - drawn.person.keys())


def _apart(drawn: Round, dice: random.Random) -> Round | None:
    free = sorted({*LETTERS} - {*_hit(drawn)} - drawn.person.keys())
    if not free:
        return None
    letter = dice.choice(free)
    verb = dice.choice((*_lasting(letter), "rename"))
    and_back = verb in BACK and dice.random() < 0.5
    verbs = (verb, BACK[verb]) if and_back else (verb,)
    at_s, gap_s = dice.uniform(0, drawn.duration_s + 0.8), dice.uniform(0, 1)
    return replace(drawn, act=Act(Kind.APART, letter, verbs, at_s, gap_s, leaves="" if and_back else verb))


def _lasting(letter: str) -> tuple[str, ...]:
    return tuple(verb for verb in LASTING if not (verb in ENDS_BY_HAND and letter in NEVER_ENDED))


def _before(drawn: Round, dice: random.Random) -> Round | None:
    """All faults on the container come late in their phase, and find it as the person left it."""
    hit = _hit(drawn)
    if not hit or drawn.death in LABELS_ALONE:
        return None
    letter = dice.choice(hit)
    duration_s = max(drawn.duration_s, 1.5)
    due_s = duration_s - dice.uniform(0.1, 0.3)

    def late(fault: FaultLine) -> FaultLine:
        kept = {name: value for name, value in fault.items() if name != "for"}
        return {**kept, "at": f"{due_s * 1000:.0f}ms"} if letter in aims(fault) else fault

    verb = dice.choice(_lasting(letter))
    by_s = due_s - BEFORE_S
    act = Act(Kind.BEFORE, letter, (verb,), dice.uniform(0, by_s - COMMAND_S), leaves=verb, by_s=by_s)
    executions = tuple(tuple(late(fault) for fault in faults) for faults in drawn.executions)
    return replace(drawn, executions=executions, duration_s=duration_s, act=act)


def _again(drawn: Round, dice: random.Random) -> Round | None:
    """Paused by a fault, unpaused and later paused by a person, all before the end of the fault."""
    if drawn.death in LABELS_ALONE:
        return None
    letter = dice.choice(sorted({*LETTERS} - drawn.person.keys()))
    pause: FaultLine = {"type": "container_pause", "target": letter, "at": "0ms"}
    act = Act(Kind.AGAIN, letter, ("unpause", "pause"), dice.uniform(0, 0.3), NOTICED_S, leaves="pause")
    return replace(drawn, executions=_with(drawn, pause), duration_s=AGAIN_S, act=act)


def _meanwhile(drawn: Round, dice: random.Random) -> Round | None:
    """Of two pauses the engine refuses the later one: whose it was is known by who was refused."""
    if drawn.death not in IN_ORDER:
        return None
    letter = dice.choice(sorted({*LETTERS} - drawn.person.keys()))
    due_s = dice.uniform(0.2, 0.6)
    pause: FaultLine = {"type": "container_pause", "target": letter, "at": f"{due_s * 1000:.0f}ms"}
    act = Act(Kind.MEANWHILE, letter, ("pause",), dice.uniform(due_s, due_s + 1), leaves="pause")
    return replace(drawn, executions=_with(drawn, pause), duration_s=max(drawn.duration_s, 1.2), act=act)


def _with(drawn: Round, fault: FaultLine) -> tuple[tuple[FaultLine, ...], ...]:
    """The executions with this fault first, and no other on its container."""
    first, *others = (
        tuple(each for each in faults if fault["target"] not in aims(each)) for faults in drawn.executions
    )
    return ((fault, *first), *(faults for faults in others if faults))


def _renamed(drawn: Round, dice: random.Random) -> Round | None:
    hit = _hit(drawn)
    if not hit:
        return None
    act = Act(Kind.RENAMED, dice.choice(hit), ("rename",), dice.uniform(0, drawn.duration_s + 0.8), leaves="rename")
    return replace(drawn, act=act)


def _back(drawn: Round, dice: random.Random) -> Round | None:
    """Faults may find it down or up; in the end it is up."""
    hit = [letter for letter in _hit(drawn) if letter in LETTERS[:4]]
    if not hit or drawn.death in LABELS_ALONE:
        return None
    letter, verb = dice.choice(hit), dice.choice(("pause", "stop"))
    act = Act(Kind.BACK, letter, (BACK[verb],), dice.uniform(0, drawn.duration_s + 0.6))
    return replace(drawn, person={letter: verb}, act=act)


DRAWN: Final[Mapping[Kind, Callable[[Round, random.Random], Round | None]]] = {
    Kind.APART: _apart,
    Kind.BEFORE: _before,
    Kind.AGAIN: _again,
    Kind.MEANWHILE: _meanwhile,
    Kind.RENAMED: _renamed,
    Kind.BACK: _back,
}
"""None where the round has no container for it."""
