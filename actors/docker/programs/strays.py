"""Finds what faults may have left in containers of this machine: stressors in their cgroups, files that fill disks.

    strays.py look FOLDERS    what of ours is where, as JSON; FOLDERS: {CONTAINER_ID: [PATH, ...]} to look into as well
    strays.py remove JSON     these, each as `look` told it and still the same; tells what became of each

Runs in the host's process namespace. Files are looked for where they were put as far as anybody knows, at the root of
each mount and in the usual folders for temporary files, from inside the container's own mount namespace. Knows no
engine and decides nothing. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import json
import re
import signal
from collections.abc import Callable
from typing import Any

from actors.docker.programs import inside, running
from actors.docker.programs.crash import cgroups, send, started
from actors.docker.programs.limits import OK, USAGE, Failed
from actors.docker.programs.load_target import Process

FILE = re.compile(r"\.tc-[0-9a-f-]{1,64}\.fill")
CONTAINER = re.compile(r"[0-9a-f]{64}")
USUAL = ("/", "/tmp", "/var/tmp", "/data", "/srv")  # noqa: S108  # folders of containers
KERNELS_OWN = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "nsfs"})
"""File systems in which nobody can have put a file."""

MARKED = 512
"""How many bytes of a file its mark is in, which ends with the first line."""

Json = dict[str, Any]


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
    """What of ours is where. `unable`: what could not be looked at, and why."""
    found, unable = stressors(), set()
    for container, process in mains().items():
        try:
            known = folders.get(container, [])
            found += inside_of(process, lambda: files([*known, *USUAL, *mounts(process[1])]))  # noqa: B023  # at once
        except Failed as error:
            unable.add(f"files of containers: {error}")
    return {"strays": found, "unable": sorted(unable)}


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


def mains() -> dict[str, tuple[str, Process]]:
    """The main process of each container, with its id once more."""
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
            found[container] = (container, Process(pid, since))
        except OSError:
            continue
    return found


def inside_of(whose: tuple[str, Process], act: Callable[[], list[Json]]) -> list[Json]:
    """What `act` tells in the mount namespace of a container; done by a process that ends there. Raises Failed."""
    container, process = whose
    heard, said = os.pipe()
    if os.fork() == 0:
        try:
            inside.enter(process)
            told: Json = {"found": [{**each, "container": container} for each in act()]}
        except Failed as error:
            told = {"error": "" if not process.runs() else str(error)}
        with os.fdopen(said, "wb") as pipe:
            pipe.write(json.dumps(told).encode())
        os._exit(OK)
    os.close(said)
    with os.fdopen(heard, "rb") as answer:
        text = answer.read()
    os.wait()
    told = json.loads(text or b'{"error": "who looked there was killed"}')
    if told.get("error"):
        raise Failed(told["error"])
    found: list[Json] = told.get("found", [])
    return found


def files(folders: list[str]) -> list[Json]:
    """Ours, in these folders."""
    found: dict[tuple[int, int], Json] = {}
    for folder in dict.fromkeys(folders):
        try:
            where = inside.straight(folder)
        except Failed:
            continue
        for name in names(where):
            try:
                device, number, mark = identity(where, name)
            except OSError:  # gone meanwhile, a link, or not to be read
                continue
            told = stray("file", "", mark, name=name, number=number, folder=folder)
            found.setdefault((device, number), told)
        os.close(where)
    return list(found.values())


def names(where: int) -> list[str]:
    """Of files that may be ours, in a folder that is open; none where it cannot be read."""
    try:
        return list(filter(FILE.fullmatch, os.listdir(where)))  # pathlib takes no descriptor
    except OSError:
        return []


def mounts(process: Process) -> list[str]:
    """Where file systems are mounted that can hold files, as the container sees it."""
    try:
        lines = [line.split() for line in process.read("mountinfo").splitlines()]
    except OSError:  # it has just ended
        return []
    return [
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[4])
        for words in lines
        if words[words.index("-") + 1] not in KERNELS_OWN
    ]


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
    for each in asked:
        error = ""
        try:
            if each["kind"] == "stressor":
                kill(each)
            elif each["container"] in here:
                inside_of(here[each["container"]], lambda: unlinked(each))  # noqa: B023  # called at once
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


def unlinked(each: Json) -> list[Json]:
    """Remove a file, if it is still this very one. Raises Failed."""
    try:
        where = inside.straight(each["folder"])
        if FILE.fullmatch(each["name"]) and identity(where, each["name"])[1:] == (each["number"], each["mark"]):
            os.unlink(each["name"], dir_fd=where)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failed(f"{each['folder']}/{each['name']} could not be removed: {error.strerror}") from None
    return []


if __name__ == "__main__":
    sys.exit(main())
