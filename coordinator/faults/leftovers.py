"""What a coordinator may have left on an engine, as the engine itself shows it, and whose it is. Pure judgement; the
commands that look into the network namespaces of the engine's machine and take out what is there.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from pydantic import TypeAdapter

from coordinator.faults.commands import HELPER_IMAGE, HELPER_PROGRAMS, DockerCommand
from coordinator.faults.facts import Value
from coordinator.identity import LABEL_EXECUTION, LABEL_EXPIRES, LABEL_FAULT, LABEL_INSTANCE, LABEL_ROLE

SCAN_PROGRAM: Final = f"{HELPER_PROGRAMS}/scan.py"
DEADLINE_S: Final = 60.0
HELPER: Final = "helper"
"""The role of a helper container."""

_SCAN: Final = (
    "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=scan", "--log-driver", "none", "--no-healthcheck",
    "--read-only", "--network", "none", "--pid", "host", "--userns", "host", "--user", "0:0", "--cap-drop", "ALL",
    "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "NET_ADMIN",
    "--security-opt", "apparmor=unconfined", "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S", SCAN_PROGRAM,
)  # fmt: skip
"""It enters the namespaces of others, which takes the first two capabilities, and changes them, which takes the third.
Not of the role of a helper: it is nobody's leftover while it looks for some.
"""
_MARK: Final = re.compile(r"exec=(\S+) of=(\S+) until=(\d+(?:\.\d+)?)")
_BARE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Trace(Value):
    """Something in a network namespace that bears our name. `comment` is what it says of itself."""

    kind: Literal["table", "qdisc", "device", "rule"]
    name: str
    family: str = ""
    device: str = ""
    parent: str = ""
    comment: str = ""


class Namespace(Value):
    """A network namespace with traces. `outside`: a process of no container is in it, as in the machine's own."""

    inode: int
    pid: int
    outside: bool
    containers: tuple[str, ...]
    traces: tuple[Trace, ...]


class Sight(Value):
    """What was seen in the network namespaces, and what could not be looked at."""

    namespaces: tuple[Namespace, ...] = ()
    unable: tuple[str, ...] = ()


class Placed(Value):
    """A trace in its namespace. `error`, told after a removal: why it is still there."""

    inode: int
    trace: Trace
    error: str = ""


_PLACED: Final = TypeAdapter(tuple[Placed, ...])


def look_command() -> DockerCommand:
    """Look into every network namespace; prints a Sight."""
    return DockerCommand(argv=(*_SCAN, "look"), deadline_s=DEADLINE_S)


def remove_command(placed: Sequence[Placed]) -> DockerCommand:
    """Take these out; prints them with what became of each."""
    asked = [{"inode": each.inode, "trace": each.trace.model_dump()} for each in placed]
    return DockerCommand(argv=(*_SCAN, "remove", json.dumps(asked)), deadline_s=DEADLINE_S)


def parse_sight(text: str) -> Sight:
    """What `look_command` printed. Raises ValueError."""
    return Sight.model_validate_json(text)


def parse_placed(text: str) -> tuple[Placed, ...]:
    """What `remove_command` printed. Raises ValueError."""
    return _PLACED.validate_json(text)


class Mark(Value):
    """Whose something is, as far as it says so. `expires`: seconds since the epoch, 0 where it does not."""

    instance: str = ""
    execution: str = ""
    fault: str = ""
    expires: float = 0.0


def mark_of_labels(labels: Mapping[str, str]) -> Mark:
    """Of a labelled container."""
    return Mark(
        instance=labels.get(LABEL_INSTANCE, ""),
        execution=labels.get(LABEL_EXECUTION, ""),
        fault=labels.get(LABEL_FAULT, ""),
        expires=seconds(labels.get(LABEL_EXPIRES, "")),
    )


def mark_of_comment(comment: str, table: str = "") -> Mark:
    """Of a table, whose name holds the fault; empty where it does not read. A comment has room for 128 characters."""
    found = _MARK.fullmatch(comment)
    if found is None:
        return Mark()
    fault = _with_dashes(table.removeprefix("tc_"))
    return Mark(fault=fault, execution=_with_dashes(found[1]), instance=found[2], expires=seconds(found[3]))


def _with_dashes(text: str) -> str:
    """A UUID as it is written elsewhere."""
    return str(UUID(text)) if _BARE_ID.fullmatch(text) else text


def seconds(text: str) -> float:
    """Of a text that says so, since the epoch; 0 where it does not read."""
    try:
        seconds = float(text)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return 0.0
    return seconds


class Claim(StrEnum):
    """Whose something is."""

    OURS = "ours"
    EXPIRED = "expired"
    """Its deadline is past, so that its owner cannot be at work on it any more."""
    BUSY = "busy"
    """Of an execution that is running here."""
    OTHERS = "others"
    NAMELESS = "nameless"


def claim(mark: Mark, instances: Collection[str], now: float, *, busy: bool) -> Claim:
    """Whose it is for a coordinator that answers for these instances, at `now` (seconds since the epoch)."""
    if busy:
        return Claim.BUSY
    if not mark.instance:
        return Claim.NAMELESS
    if 0 < mark.expires < now:
        return Claim.EXPIRED
    return Claim.OURS if mark.instance in instances else Claim.OTHERS


def claim_text(how: Claim, mark: Mark) -> str:
    """Why it is, or is not, ours to put back: for a person."""
    until = f" until {_time(mark.expires)}" if mark.expires else ""
    match how:
        case Claim.OURS:
            return f"of {mark.instance}, execution {mark.execution or 'unknown'}, which is not running"
        case Claim.EXPIRED:
            return f"of {mark.instance}, deadline past since {_time(mark.expires)}"
        case Claim.BUSY:
            return f"execution {mark.execution} is running"
        case Claim.OTHERS:
            return f"of {mark.instance}{until}; --instance {mark.instance} if it is gone"
        case Claim.NAMELESS:
            return "it does not say whose it is"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def by_hand(trace: Trace, pid: int) -> str:
    """The command that takes a trace out, for a person who is root on the engine's machine."""
    match trace.kind:
        case "table":
            inside = ["nft", "delete", "table", trace.family, trace.name]
        case "qdisc":
            inside = ["tc", "qdisc", "del", "dev", trace.device, "root"]
        case "device":
            inside = ["ip", "link", "delete", trace.name]
        case _:
            inside = [trace.family, "-t", trace.device, "-D", *shlex.split(trace.name)[1:]]
    return shlex.join(["nsenter", "-t", str(pid), "-n", *inside])


class LeftoverState(StrEnum):
    """What became of something that was found."""

    UNDONE = "undone"
    """It is put back, or gone."""
    KEPT = "kept"
    """It is somebody else's, or at work."""
    LEFT = "left"
    """It is still there and a person has to act."""


class Leftover(Value):
    """Something of a coordinator's that was found on the engine. `where` is a container's name, or a namespace."""

    kind: Literal["lock", "helper", "table", "qdisc", "device", "rule", "stressor", "file"]
    name: str
    where: str
    instance: str = ""
    execution: str = ""
    why: str
    state: LeftoverState
    text: str = ""
    """What was done, or why it was not."""
    commands: tuple[str, ...] = ()
    """What a person may run; empty when there is nothing left to do."""


class ScanReport(Value):
    """What a scan found and did. `unable`: where it could not look, and why."""

    found: tuple[Leftover, ...] = ()
    unable: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[Leftover, ...]:
        """What a person has to act on."""
        return tuple(each for each in self.found if each.state is LeftoverState.LEFT)
