"""The one rule by which an undo is needed, done or not ours, on plain texts and times: shared by whoever undoes with
all the program at hand and by the warden, which knows the standard library alone.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

UNDER_WAY: Final = timedelta(seconds=1)
"""From firing until the engine acts: a run that began meanwhile is the one that was hit."""


class Need(StrEnum):
    """What the facts say of an undo."""

    NEEDED = "needed"
    DONE = "undone"
    GONE = "gone"
    SUPERSEDED = "superseded"


def judge(
    *,
    state: str | None,
    run: str,
    planned_run: str,
    needed_in: Collection[str],
    restores: str | None,
    attempted: bool,
    hit_until: str | None = None,
    lost: bool = False,
) -> Need:
    """Whether an undo still has to run.

    `state` is the container's, None when it no longer exists: then it needs none. `run` and `planned_run` are when its
    present run and the run that the undo was planned for began (RFC 3339, as the engine writes it). A later run belongs
    to somebody else, unless our own undo made it (`attempted`, where the undo restores a state: a command inside the
    run makes no other run). Where nobody has seen the effect yet, the run that was up until `hit_until` is ours as
    well, even if it was restarted between arming and firing. A later run that the engine `lost`, by an
    error of its own, was ended by nobody's will: whoever began it wanted the container up, as the undo does.
    """
    if state is None:
        return Need.GONE
    ours = (restores is not None and (attempted or lost)) or run == planned_run
    ours = ours or began_by(run, hit_until)
    if restores is not None and state == restores:
        return Need.DONE
    return Need.NEEDED if ours and state in needed_in else Need.SUPERSEDED


def hit_until(fired: datetime) -> str:
    """Until when a run may have begun to be the one that was hit by what was fired then, in RFC 3339."""
    at = (fired + UNDER_WAY).astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def began_by(run: str, until: str | None) -> bool:
    """Whether a run began at or before a time, both in RFC 3339; not where none is given."""
    return until is not None and _instant(run) <= _instant(until)


def _instant(text: str) -> tuple[str, str]:
    """A time in UTC in a form that compares: the engine leaves out trailing zeros of the fraction."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
