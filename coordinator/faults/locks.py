"""The lock on a target: a labelled volume on the target's own engine. Pure text both ways; runs and asks nothing.

The first creator's labels stay when the same volume is created again, so creating it and reading it back decides who
holds it, and the labels tell a coordinator without its data folder what has to be undone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import TargetLock
from coordinator.identity import LABEL_EXECUTION, LABEL_EXPIRES, LABEL_FAULT, LABEL_INSTANCE, LABEL_PREFIX, LABEL_ROLE

ROLE: Final = "lock"
LABEL_UNDO: Final = f"{LABEL_PREFIX}undo"
"""A JSON list of the undo commands as a person would paste them."""
NAME_PREFIX: Final = "tc-"
DEADLINE_S: Final = 15.0


def lock_command(
    container_id: str, instance: str, execution: str, fault: str, expires: float, undo: Sequence[str]
) -> DockerCommand:
    """The command that takes the lock unless another has it. `expires` is seconds since the epoch."""
    labels = {
        LABEL_ROLE: ROLE,
        LABEL_INSTANCE: instance,
        LABEL_EXECUTION: execution,
        LABEL_FAULT: fault,
        LABEL_EXPIRES: f"{expires:.3f}",
        LABEL_UNDO: json.dumps(list(undo)),
    }
    options = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    return DockerCommand(argv=("volume", "create", *options, NAME_PREFIX + container_id), deadline_s=DEADLINE_S)


def unlock_command(container_id: str) -> DockerCommand:
    """The command that releases the lock; it fails harmlessly when there is none."""
    return DockerCommand(argv=("volume", "rm", NAME_PREFIX + container_id), deadline_s=DEADLINE_S)


def parse_lock(name: str, labels: Mapping[str, str]) -> TargetLock | None:
    """The lock that a volume is, or None when it is none of ours.

    Labels that do not read (written by a later version, or by hand) leave their field empty: a lock is a lock.
    """
    if labels.get(LABEL_ROLE) != ROLE or not name.startswith(NAME_PREFIX):
        return None
    return TargetLock(
        container_id=name.removeprefix(NAME_PREFIX),
        instance=labels.get(LABEL_INSTANCE, ""),
        execution=labels.get(LABEL_EXECUTION, ""),
        fault=labels.get(LABEL_FAULT, ""),
        expires=_seconds(labels.get(LABEL_EXPIRES, "")),
        undo=_commands(labels.get(LABEL_UNDO, "")),
    )


def holder_text(lock: TargetLock) -> str:
    """Who holds a lock and until when, in a few words for a person."""
    until = ""
    if lock.expires:
        until = (
            f" until {datetime.fromtimestamp(lock.expires, UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}"
        )
    return f"held by {lock.instance or 'an unnamed coordinator'}, execution {lock.execution or 'unknown'}{until}"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return 0.0
    return seconds


def _commands(text: str) -> tuple[str, ...]:
    try:
        commands = json.loads(text)
    except ValueError:
        return ()
    return tuple(str(command) for command in commands) if isinstance(commands, list) else ()
