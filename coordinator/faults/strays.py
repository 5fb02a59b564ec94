"""What faults may have left in containers that run, as a helper finds it there: stressors, and files that fill disks.
The commands that look for it and remove it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from pydantic import TypeAdapter

from coordinator.faults.commands import HELPER_IMAGE, HELPER_PROGRAMS, DockerCommand
from coordinator.faults.disk import INSIDE, INTO
from coordinator.faults.facts import Value
from coordinator.faults.leftovers import DEADLINE_S, Mark, seconds
from coordinator.identity import LABEL_ROLE

STRAYS_PROGRAM: Final = f"{HELPER_PROGRAMS}/strays.py"

_MARK: Final = re.compile(r"fault=(\S+) execution=(\S+) instance=(\S+) expires=(\d+(?:\.\d+)?)")
_RIGHTS: Final = tuple(part for each in INSIDE for part in ("--cap-add", each))
_STRAYS: Final = (
    "run", "--rm", "--pull", "never", "--label", f"{LABEL_ROLE}=scan", "--log-driver", "none", "--no-healthcheck",
    "--read-only", "--network", "none", "--pid", "host", "--userns", "host", "--user", "0:0", "--cap-drop", "ALL",
    *_RIGHTS, "--security-opt", "apparmor=unconfined", "--entrypoint", "python3", HELPER_IMAGE, "-I", "-S",
    STRAYS_PROGRAM,
)  # fmt: skip
"""Not of the role of a helper: it is nobody's leftover while it looks for some."""


class Stray(Value):
    """A process by its id and start time, or a file by its folder, name and inode. `error`, told after a removal: why
    it is still there.
    """

    kind: Literal["stressor", "file"]
    container: str
    mark: str
    folder: str = ""
    name: str
    number: int
    error: str = ""

    @property
    def inert(self) -> bool:
        """Whether nobody can have any use for it: an empty file, of a stressor that was about to unname it."""
        return self.kind == "file" and self.name.endswith(".io") and not self.mark

    @property
    def shown(self) -> str:
        """What it is, for a person."""
        return f"process {self.name}" if self.kind == "stressor" else f"{self.folder.rstrip('/')}/{self.name}"

    def by_hand(self, pid: int) -> str:
        """What removes it, for a person who is root on the engine's machine; `pid` is the container's main process."""
        if self.kind == "stressor":
            return shlex.join(["kill", "-KILL", self.name])
        if INTO in self.folder:
            return shlex.join(["rm", self.shown])
        return shlex.join(["nsenter", "-t", str(pid), "-m", "rm", self.shown])


class StraySight(Value):
    """What was seen in containers, and what could not be looked at. `looked`: the containers of which all was seen that
    anybody knows to look for; of one that does not run, what its lock tells.
    """

    strays: tuple[Stray, ...] = ()
    unable: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()


_REMOVED: Final = TypeAdapter(tuple[Stray, ...])


def look_for_strays(folders: Mapping[str, Iterable[str]]) -> DockerCommand:
    """Look into every container that runs, in these folders of theirs as well, and where these say for those that do
    not run; prints a StraySight.
    """
    asked = json.dumps({container: sorted(paths) for container, paths in sorted(folders.items())})
    return DockerCommand(argv=(*_STRAYS, "look", asked), deadline_s=DEADLINE_S)


def remove_strays(strays: Sequence[Stray]) -> DockerCommand:
    """Remove these; prints them with what became of each."""
    asked = [each.model_dump(exclude={"error"}) for each in strays]
    return DockerCommand(argv=(*_STRAYS, "remove", json.dumps(asked)), deadline_s=DEADLINE_S)


def parse_strays(text: str) -> StraySight:
    """What `look_for_strays` printed. Raises ValueError."""
    return StraySight.model_validate_json(text)


def parse_removed(text: str) -> tuple[Stray, ...]:
    """What `remove_strays` printed. Raises ValueError."""
    return _REMOVED.validate_json(text)


def mark_of(stray: Stray) -> Mark:
    """Whose it says that it is; empty where that does not read."""
    found = _MARK.fullmatch(stray.mark)
    if found is None:
        return Mark()
    return Mark(fault=found[1], execution=found[2], instance=found[3], expires=seconds(found[4]))
