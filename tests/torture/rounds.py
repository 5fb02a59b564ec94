"""One round: a coordinator breaks the stage, dies, and afterwards everything must be as it was before."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.integration.private_engine import PrivateEngine
from tests.integration.sandbox import DockerFailed
from tests.torture import leftovers
from tests.torture.draw import definition
from tests.torture.hand import Hand
from tests.torture.model import LIVES, Death, Kind, Place, Round
from tests.torture.snapshot import Snapshot, differences, look
from tests.torture.stage import Stage
from tests.torture.victims import HostVictim, ImageVictim, Victim
from tests.torture.waiting import happens

SETTLED_WITHIN_S: Final = 20.0
"""For what the engine has still to do by itself when nothing is outstanding any more: a restart by policy."""

LOOKS_AGAIN_WITHIN_S: Final = 90.0
"""A coordinator that lives looks for locks that it could not release at least every minute."""

MENDS_ITSELF: Final = frozenset({Death.CHILD_KILL, Death.DOCKER_STOP})
"""Of the deaths that a start follows: those after which all is put back before it."""

ALREADY: Final = "already exists"
"""In what an engine says that has lost track of a container."""

LATE: Final = "the person acted too late for anything to be certain"

UNEXPECTED: Final = (
    *(AssertionError, DockerFailed, httpx.HTTPError, subprocess.SubprocessError, OSError, psutil.Error),
    sqlite3.Error,
)
"""What a round may meet when the coordinator or the engine does not do what it must."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a round went. `violations` is empty where all was as before, or where the round is void."""

    drawn: Round
    violations: tuple[str, ...]
    took_s: float
    void: str = ""
    """Why what is left is not the coordinator's to put back; empty where it is."""
    refused: bool = False
    """Whether the engine refused what a person was to do meanwhile."""

    @property
    def command(self) -> str:
        """What replays it."""
        return f"python -m tests.torture --seed {self.drawn.seed} --place {self.drawn.place.value}"


def play(drawn: Round, stage: Stage, folder: Path, engine: PrivateEngine | None = None) -> Result:
    """Play it; `engine` is the stage's own, where it has one."""
    begun = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    victim: Victim = ImageVictim(drawn) if drawn.place is Place.IMAGE else HostVictim(drawn, stage, folder, engine)
    hand = Hand(drawn.act, stage)
    found: list[str] = []
    lost = ""
    shown: dict[str, Snapshot] = {}
    try:
        if drawn.act is not None and drawn.act.kind is Kind.BACK:
            shown["before"] = look(stage, drawn.renewed())
        with stage.touched(drawn.person):
            _foreseen(drawn, stage, hand, shown)
            found = _played(drawn, stage, victim, hand, shown)
            lost = lost_by_the_engine(stage) if found and drawn.place is Place.ENGINE else ""
            hand.close()
    except UNEXPECTED as error:
        found.append(f"{type(error).__name__}: {error}")
    finally:
        hand.close()
        victim.close()
    if found:
        _keep(drawn, folder, found, shown)
    void = lost if owned_up(found) else LATE if hand.late and _of_the_act(drawn, found) else ""
    return Result(drawn, () if void else tuple(found), time.monotonic() - begun, void, hand.refused)


def lost_by_the_engine(stage: Stage) -> str:
    """A container that nobody can start any more, and what the engine says when asked to; empty where there is none.

    An engine that is killed while it starts a container may find that container's own task in its way ever after.
    """
    for letter, identity in stage.ids.items():
        try:
            stage.docker("start", identity)
        except DockerFailed as error:
            if ALREADY in str(error):
                return f"the engine cannot start {letter} any more: {str(error).strip().splitlines()[0]}"
    return ""


def owned_up(found: list[str]) -> bool:
    """Whether the coordinator says itself that something is not put back."""
    return any(line.startswith("fault ") for line in found)


def _of_the_act(drawn: Round, found: list[str]) -> bool:
    """Whether nothing differs but the container on which a person acted."""
    return drawn.act is not None and bool(found) and all(line.startswith(f"{drawn.act.letter}: ") for line in found)


def _foreseen(drawn: Round, stage: Stage, hand: Hand, shown: dict[str, Snapshot]) -> None:
    """How all must be in the end, as `before`; where what a person is about to do is refused, as `refused`."""
    if "before" in shown:
        return
    shown["before"] = look(stage, drawn.renewed())
    if drawn.act is not None and drawn.act.leaves:
        shown["refused"] = shown["before"]
        with hand.done():
            shown["before"] = look(stage, drawn.renewed())


def _played(drawn: Round, stage: Stage, victim: Victim, hand: Hand, shown: dict[str, Snapshot]) -> list[str]:
    victim.start()
    accepted: list[str] = []
    hand.begin(lambda event, name: bool(accepted) and victim.told(accepted[0], event, name))
    accepted.extend(victim.submit(definition(drawn, number, stage.names)) for number in range(len(drawn.executions)))
    hand.first()
    time.sleep(drawn.after_s)
    victim.die()
    found: list[str] = []
    if drawn.death in MENDS_ITSELF:
        found += [f"before the next start: {line}" for line in compared(drawn, stage, victim.instance, shown)]
    if drawn.restarted:
        victim.come_back()
    hand.wait()
    if hand.refused:
        shown["before"] = shown["refused"]
    if drawn.death in LIVES or drawn.restarted:
        # Before it is asked to end: what it could not do while its engine was away it does within a minute.
        compared(drawn, stage, victim.instance, shown, within_s=LOOKS_AGAIN_WITHIN_S)
    found += victim.mended(accepted)
    return found + compared(drawn, stage, victim.instance, shown)


def compared(
    drawn: Round, stage: Stage, instance: str, shown: dict[str, Snapshot], within_s: float = SETTLED_WITHIN_S
) -> list[str]:
    """What is not as in `shown["before"]`, once the engine has had `within_s` for what is its own doing."""
    found: list[str] = []

    def as_before() -> bool:
        shown["after"] = look(stage, drawn.renewed())
        rest = leftovers.on_the_engine(stage, instance) + leftovers.in_namespaces(shown["after"])
        found[:] = differences(shown["before"], shown["after"]) + rest
        return not found

    happens(as_before, within_s)
    return found


def _keep(drawn: Round, folder: Path, found: list[str], shown: Mapping[str, Snapshot]) -> None:
    """All there is to know of a round that failed, beside the logs and the ledger."""
    told = {"round": asdict(drawn), "violations": found, **shown}
    (folder / "round.json").write_text(json.dumps(told, indent=1, default=str))
