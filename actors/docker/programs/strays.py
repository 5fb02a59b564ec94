"""Finds what faults may have left in containers of this machine: stressors in their cgroups, and files.

    strays.py look FOLDERS    what of ours is where, as JSON; FOLDERS: {CONTAINER_ID: [PATH, ...]} to look into as well,
                              of a container that does not run only those that outside.py knows a way to
    strays.py remove JSON     these, each as `look` told it and still the same; tells what became of each

Runs in the host's process namespace. Files are looked for where they were put as far as anybody knows, at the root of
each mount and in the usual folders for temporary files, from inside the container's own mount namespace; last where a
server or a program has to answer, and no longer than that may take. Knows no engine and decides nothing. Standard
library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import json
import re
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from actors.docker.programs import inside, outside, running
from actors.docker.programs.crash import cgroups, send, started
from actors.docker.programs.limits import OK, USAGE, Failed
from actors.docker.programs.load_target import Process

FILE = re.compile(r"\.tc-[0-9a-f-]{1,64}\.(fill|io)")
"""What takes a disk's room; and what a stressor was killed over before it took its name off."""

CONTAINER = re.compile(r"[0-9a-f]{64}")
USUAL = ("/", "/tmp", "/var/tmp", "/data", "/srv")  # noqa: S108  # folders of containers
KERNELS_OWN = frozenset({
    "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "nsfs", "autofs",
})  # fmt: skip
"""File systems in which nobody can have put a file; a look at the last one would mount another."""

ANSWERED = re.compile(
    r"autofs|nfs4?|cifs|smb3|smbfs|ceph|9p|afs|lustre|gpfs|beegfs|ocfs2|gfs2|virtiofs|fuse(blk|\..*)?"
)
"""File systems that a server or a program answers for, which may not: who looks there then hangs."""

EACH_S = 5.0
"""How long a look into one container may take."""

ALL_S = 40.0
"""How long all of them may: whoever asked waits no longer than a minute."""

MARKED = 512
"""How many bytes of a file its mark is in, which ends with the first line."""

Json = dict[str, Any]


class Whose(NamedTuple):
    """Whose files are meant; a process that sees them, and how to go to where it is."""

    container: str
    process: Process
    enter: Callable[[Process], None]


def main() -> int:
    """0 when it was done, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["look", text]:
            told: object = look(json.loads(text))
        case ["remove", text]:
            told = remove(json.loads(text))
        case _:
            sys.stderr.write("usage: strays.py look FOLDERS | remove JSON\n")
            return USAGE
    json.dump(told, sys.stdout)
    return OK


def look(folders: dict[str, list[str]]) -> Json:
    """What of ours is where. `unable`: what could not be looked at, and why; `looked`: the containers of which nothing
    is hidden, as far as anybody knows where to look.
    """
    found, unable, looked = stressors(), set(), []
    end = time.monotonic() + ALL_S
    here = mains()
    for container in {**here, **folders}:
        until = min(end, time.monotonic() + EACH_S)
        known = folders.get(container, [])
        if container in here:
            own = [folder for folder in known if is_own(folder)]
            whose = Whose(container, here[container], inside.enter)
            act = partial(files, places(own, mounts(whose.process)), guessed)
        else:
            ways = [folder for folder in known if not is_own(folder)]
            whose, act = engine_for(container), partial(files, ways, partial(led, container))
        seen, why = inside_of(whose, act, until)
        found += seen
        if why:
            unable.add(f"files of containers: {why}")
        elif whose.process.runs():
            # One that has ended meanwhile may have done so before anything was seen.
            looked.append(container)
    return {"strays": found, "unable": sorted(unable), "looked": looked}


def stressors() -> list[Json]:
    """Every process that is a stressor of ours, or starts one."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib takes long to import
        asked = running.asked(int(name)) if name.isdigit() else None
        if asked is None:
            continue
        try:
            since = started(int(name))
        except OSError:  # it has just ended
            continue
        found.append(stray("stressor", asked.container, asked.mark, name=name, number=since))
    return found


def stray(kind: str, container: str, mark: str, *, name: str, number: int, folder: str = "") -> Json:
    """A process by its id and start, or a file by its folder, name and inode."""
    return {"kind": kind, "container": container, "mark": mark, "folder": folder, "name": name, "number": number}


# ---------------------------------------------------------------- files


def mains() -> dict[str, Process]:
    """The main process of each container."""
    oldest: dict[str, tuple[int, int]] = {}
    for pid, text in cgroups().items():
        for container in set(CONTAINER.findall(text)):
            try:
                since = started(pid)
            except OSError:
                continue
            oldest[container] = min(oldest.get(container, (since, pid)), (since, pid))
    found = {}
    for container, (since, pid) in oldest.items():
        try:
            found[container] = Process(pid, since)
        except OSError:
            continue
    return found


def engine_for(container: str) -> Whose:
    """The engine's machine, where the files of a container are that does not run. Raises Failed."""
    return Whose(container, outside.engine(), inside.join)


def inside_of(whose: Whose, act: Callable[[], Iterable[Json]], until: float) -> tuple[list[Json], str]:
    """What `act` tells in the mount namespace of a container, as far as it comes to that until then (monotonic); and
    why that is not all. Done by a process that ends there.
    """
    container, process, enter = whose
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(said, "wb", 0) as pipe:
            try:
                enter(process)
                for each in act():
                    pipe.write(json.dumps({**each, "container": container}).encode() + b"\n")
                error = ""
            except Failed as failed:
                error = str(failed) if process.runs() else ""
            pipe.write(json.dumps({"error": error}).encode() + b"\n")
        os._exit(OK)
    os.close(said)
    text, ended = b"", False
    while not ended and (left := until - time.monotonic()) > 0 and select.select([heard], [], [], left)[0]:
        chunk = os.read(heard, 65536)
        text, ended = text + chunk, not chunk
    os.close(heard)
    told = [json.loads(line) for line in text.split(b"\n")[:-1]]
    if not ended:
        # It is not waited for: what hangs in the kernel may not be killed either.
        os.kill(pid, signal.SIGKILL)
        return told, f"{container[:12]}: it takes too long, as where a file system does not answer"
    os.waitpid(pid, 0)
    if not told or "error" not in told[-1]:
        return told, "who looked there was killed"
    return told[:-1], told[-1]["error"]


def is_own(folder: str) -> bool:
    """Whether it is as the container itself sees it; else it is a way to it, or says that there is none."""
    return folder.startswith("/") and outside.INTO not in folder


def guessed(folder: str) -> int | None:
    """A descriptor of a folder of the container's, if it is one."""
    try:
        return inside.straight(folder)
    except Failed:
        return None


def led(container: str, way: str) -> int | None:
    """A descriptor of a folder of a container's that does not run; None where it is gone. Raises Failed."""
    try:
        return outside.reached(way)
    except Failed as failed:
        raise Failed(f"{container[:12]}: {failed}") from None


def files(folders: Iterable[str], reach: Callable[[str], int | None]) -> Iterator[Json]:
    """Ours, in these folders. Raises Failed."""
    met = set()
    for folder in folders:
        where = reach(folder)
        if where is None:
            continue
        for name in names(where):
            try:
                device, number, mark = identity(where, name)
            except OSError:  # gone meanwhile, a link, or not to be read
                continue
            if (device, number) not in met:
                met.add((device, number))
                yield stray("file", "", mark, name=name, number=number, folder=folder)
        os.close(where)


def names(where: int) -> list[str]:
    """Of files that may be ours, in a folder that is open; none where it cannot be read."""
    try:
        return list(filter(FILE.fullmatch, os.listdir(where)))  # pathlib takes no descriptor
    except OSError:
        return []


def mounts(process: Process) -> str:
    """What is mounted where, as the kernel tells it of a process; nothing where it has just ended."""
    try:
        return process.read("mountinfo")
    except OSError:
        return ""


def places(known: list[str], text: str) -> list[str]:
    """The folders to look into, those last where something has to answer: what is known, what is usual, and where file
    systems are mounted that can hold files, as `text` tells.
    """
    lines = [line.split() for line in text.splitlines()]
    kinds = {
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[4]): words[words.index("-") + 1]
        for words in lines
    }

    def answered(folder: str) -> bool:
        over = [point for point in kinds if f"{folder}/".startswith(f"{point.rstrip('/')}/")]
        return bool(over) and ANSWERED.fullmatch(kinds[max(over, key=len)]) is not None

    roots = [point for point, kind in kinds.items() if kind not in KERNELS_OWN]
    return sorted(dict.fromkeys([*known, *USUAL, *roots]), key=answered)


def identity(where: int, name: str) -> tuple[int, int, str]:
    """Device and inode of a regular file, and the mark at its beginning. Raises OSError."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=where)
    try:
        status = os.fstat(file)
        mark = os.pread(file, MARKED, 0).partition(b"\n")[0].decode(errors="replace")
    finally:
        os.close(file)
    return status.st_dev, status.st_ino, mark


# ---------------------------------------------------------------- remove


def remove(asked: list[Json]) -> list[Json]:
    """End or remove each of these, where it is still what it was; `error` is empty when it is gone."""
    here = mains()
    told = []
    end = time.monotonic() + ALL_S
    for each in asked:
        error, container, until = "", each["container"], min(end, time.monotonic() + EACH_S)
        try:
            if each["kind"] == "stressor":
                kill(each)
            elif not is_own(each["folder"]):
                _, error = inside_of(engine_for(container), partial(unlinked, each, outside.reached), until)
            elif container in here:
                whose = Whose(container, here[container], inside.enter)
                _, error = inside_of(whose, partial(unlinked, each, inside.straight), until)
            else:
                error = "its container does not run any more"
        except (Failed, OSError) as failed:
            error = str(failed)
        told.append({**each, "error": error})
    return told


def kill(each: Json) -> None:
    """A stressor, if it is still this very process. Raises OSError."""
    pid = int(each["name"])

    def still() -> bool:
        asked = running.asked(pid)
        try:
            return asked is not None and asked.mark == each["mark"] and started(pid) == each["number"]
        except OSError:  # it has just ended
            return False

    send(pid, signal.SIGKILL, still)


def unlinked(each: Json, reach: Callable[[str], int | None]) -> list[Json]:
    """Remove a file, if it is still this very one. Raises Failed."""
    try:
        where = reach(each["folder"])
        if where is None:
            return []
        if FILE.fullmatch(each["name"]) and identity(where, each["name"])[1:] == (each["number"], each["mark"]):
            os.unlink(each["name"], dir_fd=where)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failed(f"{each['folder']}/{each['name']} could not be removed: {error.strerror}") from None
    return []


if __name__ == "__main__":
    sys.exit(main())
