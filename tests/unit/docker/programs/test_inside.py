"""The way into a mount namespace, as far as it goes without being root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from actors.docker.programs import inside
from actors.docker.programs.crash import started
from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Process


def test_a_folder_is_one(tmp_path: Path) -> None:
    """What is not there, what is a file and what is a link is told apart."""
    os.close(inside.straight(str(tmp_path)))
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="is no folder"):
        inside.straight(str(tmp_path / "file"))
    with pytest.raises(Failed, match="there is no folder"):
        inside.straight(str(tmp_path / "nowhere"))
    (tmp_path / "link").symlink_to("/proc/1/root")
    with pytest.raises(Failed, match="leads through a link, link to /proc/1/root: give the path without it"):
        inside.straight(str(tmp_path / "link" / "tmp"))


def test_where_the_engine_is_nobody_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's process that has no mounts of its own yet is at the root of whoever started it. One that nobody
    here has started is not taken for that.
    """
    monkeypatch.setattr(inside, "join", lambda _: None)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        main = Process(process.pid, started(process.pid))
        with pytest.raises(Failed, match="it is only starting"):
            inside.enter(main)
        monkeypatch.setattr(main, "parent", lambda: 0)
        inside.enter(main)


def test_who_starts_containers_and_ends_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its children are another's then, whose root is the engine's as well."""
    nobody = 2**22 + 1
    main = Process(os.getpid(), started(os.getpid()))
    parents = iter([nobody, os.getpid(), os.getpid()])
    monkeypatch.setattr(main, "parent", lambda: next(parents, nobody))
    assert inside.root_of_starter(main) == inside.root("/")
    with pytest.raises(Failed, match="who started it cannot be seen: No such file or directory"):
        inside.root_of_starter(main)


def test_without_rights_nobody_gets_in() -> None:
    """In a process of its own: it gives up what it may, and is then refused."""
    heard, said = os.pipe()
    if os.fork() == 0:
        inside.drop_rights()
        rights = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
        try:
            inside.join(Process(os.getpid(), started(os.getpid())))
            told = "it got in"
        except Failed as error:
            told = str(error)
        os.write(said, f"{rights.split()[1]} {told}".encode())
        os._exit(0)
    os.close(said)
    with os.fdopen(heard, encoding="utf-8") as file:
        rights, _, told = file.read().partition(" ")
    os.wait()
    assert int(rights, 16) == 0
    assert told == "its mount namespace cannot be entered: Operation not permitted"
