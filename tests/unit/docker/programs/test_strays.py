"""The program that looks into containers, as far as it goes without entering one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import inside, strays, stressors
from actors.docker.programs.crash import started
from actors.docker.programs.limits import USAGE
from actors.docker.programs.load_target import Process

ID = uuid4().hex * 2
MARK = "fault=f1 execution=e instance=i expires=4000000000"
NAME = ".tc-0123-4567.fill"


def filled(folder: Path, name: str = NAME, mark: str = MARK) -> Path:
    """A file that takes room."""
    path = folder / name
    path.write_bytes(mark.encode() + b"\n" + bytes(2000))
    return path


def test_files_of_ours_are_found_by_name_and_told_by_mark(tmp_path: Path) -> None:
    """Once each, however they are reached; not what only looks like one, and no link."""
    path = filled(tmp_path)
    filled(tmp_path, ".tc-0123.filled")
    (tmp_path / ".tc-99.fill").symlink_to(path)
    (tmp_path / "link").symlink_to(tmp_path)
    (found,) = strays.files([str(tmp_path), str(tmp_path / "link"), str(tmp_path / "nowhere")], strays.guessed)
    assert (found["name"], found["mark"], found["folder"]) == (NAME, MARK, str(tmp_path))
    assert found["number"] == path.stat().st_ino


def test_a_file_that_is_another_by_now_stays(tmp_path: Path) -> None:
    """By its inode and mark; twice is as good as once."""
    path = filled(tmp_path)
    (found,) = strays.files([str(tmp_path)], strays.guessed)
    strays.unlinked({**found, "number": 1}, strays.guessed)
    strays.unlinked({**found, "mark": "?"}, strays.guessed)
    assert path.exists()
    strays.unlinked(found, strays.guessed)
    assert not path.exists()
    strays.unlinked(found, strays.guessed)


def test_a_stressor_is_found_and_killed_if_it_is_still_the_same() -> None:
    """By its start."""
    argv = [sys.executable, "-I", "-S", stressors.__file__, "f1", "cpu", "0.1", MARK, ID]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = [each for each in strays.stressors() if each["container"] == ID]
        assert found == {
            "kind": "stressor", "container": ID, "mark": MARK, "folder": "", "name": str(process.pid),
            "number": started(process.pid),
        }  # fmt: skip
        (told,) = strays.remove([{**found, "number": 1}])
        assert (told["error"], process.poll()) == ("", None)
        (told,) = strays.remove([found])
        assert told == {**found, "error": ""}
        assert process.wait(20) == -9
    assert strays.remove([found])[0]["error"] == ""


def test_a_container_that_is_down_is_said_to_be() -> None:
    """Its files cannot be reached."""
    asked = {"kind": "file", "container": ID, "mark": MARK, "folder": "/", "name": NAME, "number": 1}
    assert strays.remove([asked])[0]["error"] == "its container does not run any more"


MOUNTS = """\
1 0 0:40 / / rw - overlay overlay rw
2 1 0:41 / /proc rw - proc proc rw
3 1 0:42 / /data rw - nfs4 server:/x rw
4 3 0:43 / /data/own\\040disk rw - ext4 /dev/sdb rw
5 1 0:44 / /far rw - fuse.sshfs me@there: rw
6 1 0:45 / /net rw - autofs auto rw
"""


@pytest.mark.usefixtures("anywhere")
def test_what_is_down_is_looked_into_where_its_lock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the engine's machine: found, told with the way, and removed. A folder that is gone holds nothing; where
    nobody knows a way, or a volume is not mounted, it was not looked into.
    """
    monkeypatch.setattr(strays, "mains", dict)
    path, gone, lost, shut = filled(tmp_path), "b" * 64, "c" * 64, "d" * 64
    (tmp_path / "vol" / "_data").mkdir(parents=True)
    (tmp_path / "vol" / "opts.json").touch()
    ways = {
        ID: ["/data", f"{tmp_path}/./", "/nowhere/./x"], gone: [f"{tmp_path}/nowhere/./", "/memory", "tmpfs"],
        lost: ["/data", f"{tmp_path}/./", "?"], shut: [f"{tmp_path}/vol/_data/./x"],
    }  # fmt: skip
    told = strays.look(ways)
    found = [each for each in told["strays"] if each["kind"] == "file"]
    assert [(each["container"], each["folder"], each["name"]) for each in found] == [
        (ID, f"{tmp_path}/./", NAME), (lost, f"{tmp_path}/./", NAME),
    ]  # fmt: skip
    assert told["looked"] == [ID, gone]
    assert [text.partition(": ")[2][:30] for text in told["unable"]] == [
        "cccccccccccc: it is down, and ", "dddddddddddd: it is down, and ",
    ]  # fmt: skip
    assert [each["error"] for each in strays.remove(found)] == ["", ""]
    assert not path.exists()


def test_what_may_not_answer_is_looked_at_last() -> None:
    """File systems of other machines and of programs; where nobody can have put a file, and where a look mounts
    something, it is not looked at all.
    """
    assert strays.places(["/data/x", "/far", "/srv"], MOUNTS) == [
        "/srv", "/", "/tmp", "/var/tmp", "/data/own disk", "/data/x", "/far", "/data",
    ]  # fmt: skip


def own() -> strays.Whose:
    """This process, in a container's place."""
    return strays.Whose(ID, Process(os.getpid(), started(os.getpid())), lambda _: None)


def test_the_mounts_of_a_process_are_read() -> None:
    """Of this one, as it is."""
    assert "/" in strays.places([], strays.mounts(own().process))


@pytest.mark.usefixtures("anywhere")
def test_what_is_only_starting_was_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process at the root of whoever started it: what is there is the engine's, and stays. One that ends before it
    was gone to was not looked into either, and that is nothing to tell.
    """
    path, gone = filled(tmp_path), "b" * 64
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process, subprocess.Popen(["sleep", "60"]) as ended:
        here = {name: Process(each.pid, started(each.pid)) for name, each in ((ID, process), (gone, ended))}
        ended.kill()
        ended.wait()
        monkeypatch.setattr(strays, "mains", lambda: here)
        told = strays.look({ID: [str(tmp_path)]})
        (found,) = strays.files([str(tmp_path)], strays.guessed)
        (left,) = strays.remove([{**found, "container": ID}])
    why = "it is only starting: what it sees yet are the files of the engine's machine"
    assert [each for each in told["strays"] if each["kind"] == "file"] == []
    assert (told["unable"], told["looked"], left["error"]) == ([f"files of containers: {why}"], [], why)
    assert path.exists()


def test_a_look_that_does_not_come_back_ends_in_time() -> None:
    """With what was found before, and where it was; who looked is killed."""
    pids = os.pipe()

    def hangs() -> Iterator[dict[str, object]]:
        yield {"name": "first"}
        os.write(pids[1], str(os.getpid()).encode())
        signal.pause()

    found, why = strays.inside_of(own(), hangs, time.monotonic() + 2)
    assert found == [{"name": "first", "container": ID}]
    assert why == f"{ID[:12]}: it takes too long, as where a file system does not answer"
    os.waitid(os.P_PID, pid := int(os.read(pids[0], 20)), os.WEXITED)
    assert not Path(f"/proc/{pid}").exists()


def test_a_look_that_is_killed_is_told() -> None:
    """It saw not everything."""

    def killed() -> list[dict[str, object]]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    assert strays.inside_of(own(), killed, time.monotonic() + 60) == ([], "who looked there was killed")


def test_a_look_that_ends_is_whole(tmp_path: Path) -> None:
    """All that there is, and nothing to say."""
    for number in range(300):
        filled(tmp_path, f".tc-{number}.fill")
    found, why = strays.inside_of(own(), lambda: strays.files([str(tmp_path)], strays.guessed), time.monotonic() + 60)
    assert (len(found), why) == (300, "")


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mount namespace is this one."""
    monkeypatch.setattr(inside, "join", lambda _: None)


@pytest.mark.parametrize("words", [[], ["look"], ["remove"], ["x", "{}"]])
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    argv = [sys.executable, "-I", "-S", strays.__file__, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (USAGE, "usage:")


def test_removing_nothing_is_no_error() -> None:
    """It tells nothing."""
    argv = [sys.executable, "-I", "-S", strays.__file__, "remove", "[]"]
    assert json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout) == []
