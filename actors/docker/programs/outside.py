"""The way to files of a container that is down or gone: folders of the engine's machine, as the engine sees that.

A way is such a folder, `/./`, and what leads on in it. `tmpfs` stands for what is gone with the run; `?`, or anything
else without `/./`, is no way. Links of the machine are followed, those behind `/./` are not. Standard library only.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from actors.docker.programs import inside
from actors.docker.programs.crash import started
from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Process

INTO: Final = "/./"
WITH_RUN: Final = "tmpfs"
VOLUMES_FILES: Final = "/_data"
GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


def engine() -> Process:
    """Whoever started this program: it mounts what containers are given, so that folders of the machine are to it what
    the engine says. Raises Failed.
    """
    starter = os.getppid()
    try:
        return Process(starter, started(starter))
    except OSError:
        raise Failed("who started this has ended") from None


def reached(way: str) -> int | None:
    """A descriptor of the folder it leads to, None where that is gone. From where the engine is. Raises Failed."""
    if way == WITH_RUN:
        return None
    folder, into, rest = way.partition(INTO)
    if not into:
        raise Failed("it is down, and where its files are is not known: they can be reached once it runs")
    volume = folder.removesuffix(VOLUMES_FILES)
    if volume != folder and os.path.exists(f"{volume}/opts.json"):  # noqa: PTH110  # pathlib takes long to import
        shown = volume.rpartition("/")[2]
        raise Failed(f"it is down, and its volume {shown} is mounted only while it runs")
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise Failed(f"{folder} cannot be looked into: {error.strerror}") from None
    return inside.straight(rest, missing=True, top=top)
