"""The lock on a target: a labelled volume on the target's own engine. Pure text both ways; runs and asks nothing.

The first creator's labels stay when the same volume is created again, so creating it and reading it back decides who
holds it, and the labels tell a coordinator without its data folder what has to be undone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import ValidationError

from coordinator.faults.clock import ClockSkew
from coordinator.faults.commands import NETNS_PROGRAM, STRESS_PROGRAM, DockerCommand
from coordinator.faults.disk import filled_folder
from coordinator.faults.facts import ContainerState, LockedUndo, TargetLock, Value
from coordinator.faults.limits import ALL, CgroupFault, CpuLimit, beside_cgroups
from coordinator.faults.looks import Undo
from coordinator.faults.processes import ProcessFreeze
from coordinator.identity import LABEL_EXECUTION, LABEL_EXPIRES, LABEL_FAULT, LABEL_INSTANCE, LABEL_PREFIX, LABEL_ROLE

ROLE: Final = "lock"
LABEL_UNDO: Final = f"{LABEL_PREFIX}undo"
"""A JSON list of the undo commands as a person would paste them."""
LABEL_OWED: Final = f"{LABEL_PREFIX}owed"
"""The same as data: a JSON object with a version, for whoever has no ledger."""
NAME_PREFIX: Final = "tc-"
CURL: Final = ("curl",)
"""Begins an undo that is a request."""
DEADLINE_S: Final = 15.0
TORN: Final = "made by an engine that died before it kept whose it is"

_ID: Final = re.compile(r"[0-9a-f]{12,64}")
_NAME: Final = re.compile(rf"{NAME_PREFIX}[0-9a-f]{{64}}")
_STATES: Final[Mapping[str, frozenset[ContainerState]]] = {
    "unpause": frozenset({ContainerState.PAUSED}),
    "start": frozenset({
        ContainerState.EXITED, ContainerState.CREATED, ContainerState.DEAD, ContainerState.RESTARTING,
    }),
}  # fmt: skip
"""The undos that may be run from labels, each on the lock's own container, and the states that may call for it."""
SWEPT: Final[Mapping[str, type[CgroupFault]]] = {spec.program: spec for spec in (CpuLimit, ProcessFreeze, ClockSkew)}
"""Programs that keep with the container itself what they have done to it, by a fault that has them do it."""


class _Owed(Value):
    """What LABEL_OWED holds. A later version is not guessed at."""

    v: Literal[1]
    undos: tuple[LockedUndo, ...]


def lock_command(
    container_id: str, instance: str, execution: str, fault: str, expires: float, undos: Sequence[Undo]
) -> DockerCommand:
    """The command that takes the lock unless another has it. `expires` is seconds since the epoch."""
    shown = tuple(dict.fromkeys(undo.command.shown() for undo in undos))
    owed = _Owed(v=1, undos=tuple(dict.fromkeys(_locked(undo) for undo in undos)))
    labels = {
        LABEL_ROLE: ROLE,
        LABEL_INSTANCE: instance,
        LABEL_EXECUTION: execution,
        LABEL_FAULT: fault,
        LABEL_EXPIRES: f"{expires:.3f}",
        LABEL_UNDO: json.dumps(list(shown)),
        LABEL_OWED: owed.model_dump_json(),
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
    if not labels and _NAME.fullmatch(name):
        return TargetLock(container_id=name.removeprefix(NAME_PREFIX), instance="", execution="", torn=True)
    if labels.get(LABEL_ROLE) != ROLE or not name.startswith(NAME_PREFIX):
        return None
    return TargetLock(
        container_id=name.removeprefix(NAME_PREFIX),
        instance=labels.get(LABEL_INSTANCE, ""),
        execution=labels.get(LABEL_EXECUTION, ""),
        fault=labels.get(LABEL_FAULT, ""),
        expires=_seconds(labels.get(LABEL_EXPIRES, "")),
        undo=_commands(labels.get(LABEL_UNDO, "")),
        undos=_owed(labels.get(LABEL_OWED, "")),
    )


def undo_from_labels(container_id: str, locked: LockedUndo) -> Undo | None:
    """The undo that a lock's labels hold, or None where it is not one of the few that may be run from labels.

    Whoever can create a volume wrote them: so only what brings this very container back into its running state.
    """
    verb = locked.argv[0] if locked.argv else ""
    allowed = _STATES.get(verb, frozenset())
    exact = locked.argv == (verb, container_id) and _ID.fullmatch(container_id) is not None
    if not exact or locked.restores is not ContainerState.RUNNING or not allowed.issuperset(locked.needed_in):
        return None
    return Undo(
        container_id=container_id,
        name=locked.name,
        started_at=locked.run,
        command=DockerCommand(argv=locked.argv),
        needed_in=locked.needed_in,
        restores=locked.restores,
        settle_s=locked.settle_s,
        lingers_s=locked.lingers_s,
    )


def takes_rules_out(locked: LockedUndo) -> bool:
    """Whether this undo takes a fault's rules out of a network namespace, or ends its stressors.

    Such a command is never run from labels, where the fault may not even have had its id: whoever finds the rules, by
    their own marks, removes them.
    """
    if locked.argv[:1] != ("run",):
        return False
    *_, program, what, _fault = ("", "", "", *locked.argv)
    *_, loader, end, _fault, _container = ("", "", "", "", *locked.argv)
    return (program, what) == (NETNS_PROGRAM, "remove") or (loader, end) == (STRESS_PROGRAM, "remove")


def sweep(container_id: str, locked: LockedUndo) -> DockerCommand | None:
    """What takes back all that the program of this undo has done to the container, by its own records there; None for
    the undo of any other program.

    The command is ours, and nothing of it but the program's name is from the labels.
    """
    *_, program, what, _fault, container = ("", "", "", "", *locked.argv)
    spec = SWEPT.get(program)
    if spec is None or (what, container) != ("remove", container_id) or _ID.fullmatch(container_id) is None:
        return None
    return beside_cgroups(program, "remove", ALL, container_id, capabilities=spec.capabilities)


def outlives_runs(locked: LockedUndo) -> bool:
    """Whether this undo is owed to the container, whichever run of it is up: its place in a network, its disk, what its
    own chaos API was told.
    """
    return locked.argv[:1] == CURL or locked.argv[:2] == ("network", "connect") or bool(filled_folder(locked.argv))


def shown(lock: TargetLock, locked: LockedUndo) -> tuple[str, ...]:
    """The command as a person would paste it. Of requests all there are: only as texts can they be pasted."""
    if locked.argv[:1] == CURL:
        return tuple(text for text in lock.undo if text.startswith("curl ")) or (shlex.join(locked.argv),)
    return (DockerCommand(argv=locked.argv).shown(),)


def holder_text(lock: TargetLock) -> str:
    """Who holds a lock and until when, in a few words for a person."""
    if lock.torn:
        return f"held by nobody, {TORN}: recovery removes it, and so does `{unlock_command(lock.container_id).shown()}`"
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


def _locked(undo: Undo) -> LockedUndo:
    return LockedUndo(
        name=undo.name, run=undo.started_at, argv=undo.command.argv, needed_in=undo.needed_in, restores=undo.restores,
        settle_s=min(undo.settle_s, 3600.0), lingers_s=min(undo.lingers_s, 3600.0),
    )  # fmt: skip


def _owed(text: str) -> tuple[LockedUndo, ...] | None:
    try:
        return _Owed.model_validate_json(text).undos
    except ValidationError:
        return None


def _commands(text: str) -> tuple[str, ...]:
    try:
        commands = json.loads(text)
    except ValueError:
        return ()
    return tuple(str(command) for command in commands) if isinstance(commands, list) else ()
