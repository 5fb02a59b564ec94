"""Keeping a disk busy, on a file of the test's own folder."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from actors.docker.programs import churning, inside, strays
from actors.docker.programs.limits import Failed


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is quickly written."""
    for name, size in (("FILE", 1 << 16), ("AT_ONCE", 1 << 14), ("CHUNK", 1 << 12), ("LEFT", 1)):
        monkeypatch.setattr(churning, name, size)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file system that knows no files without a name; where it is taken to be mounted."""
    opened = os.open

    def refuse(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such thing")
        return opened(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(churning, "top", lambda _: inside.straight(str(tmp_path)))
    (tmp_path / "in").mkdir()
    return tmp_path


def names(folder: Path) -> list[str]:
    """Of the files below it."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("small", "refusing")
def test_a_file_with_a_name_loses_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a scan was faster."""
    unlink = os.unlink

    def late(path: str, *, dir_fd: int) -> None:
        unlink(path, dir_fd=dir_fd)
        unlink(path, dir_fd=dir_fd)

    for removing in (unlink, late):
        monkeypatch.setattr(os, "unlink", removing)
        file = churning.nameless(f"{tmp_path}/in")
        assert (names(tmp_path), os.fstat(file).st_nlink) == ([], 0)
        os.close(file)


@pytest.mark.usefixtures("small")
def test_what_is_killed_before_leaves_what_a_scan_finds(refusing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file, where the file system is mounted: there a scan looks, and removes it."""
    if (pid := os.fork()) == 0:
        monkeypatch.setattr(os, "unlink", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        churning.nameless(f"{refusing}/in")
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    (found,) = strays.files([str(refusing)], strays.guessed)
    assert (names(refusing), found["mark"]) == ([found["name"]], "")
    strays.unlinked(found, strays.guessed)
    assert names(refusing) == []


@pytest.mark.usefixtures("small")
def test_where_only_the_folder_can_be_written_it_is_made_there(refusing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder of a disk that is mounted read-only further up."""
    monkeypatch.setattr(churning, "top", lambda _: inside.straight("/proc"))
    os.close(churning.nameless(f"{refusing}/in"))
    with pytest.raises(Failed, match="nothing can be written to /proc"):
        churning.nameless("/proc")


@pytest.mark.parametrize(("folder", "expected"), [("/proc/self/fd", "/proc"), ("/proc", "/proc"), ("/", "/")])
def test_the_top_of_a_file_system(folder: str, expected: str) -> None:
    """The last folder on the way up that is of the same, or the root."""
    where = os.open(folder, os.O_RDONLY)
    found = churning.top(where)
    assert os.path.samestat(os.fstat(found), Path(expected).stat())
    os.close(found)
    os.close(where)


@pytest.mark.usefixtures("small")
def test_its_file_has_no_name(tmp_path: Path) -> None:
    """Its whole room is taken at once."""
    file = churning.nameless(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert (os.fstat(file).st_size, os.fstat(file).st_nlink) == (churning.FILE, 0)
    os.close(file)


@pytest.mark.usefixtures("small")
def test_it_works_until_it_is_told_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes all of the file and reads it again; that there is an effect is told once, after the disk has some."""
    counts = iter([0, 5, 5, 5])
    monkeypatch.setattr(churning, "written", lambda _: next(counts))
    read = []
    monkeypatch.setattr(os, "pread", lambda _file, _size, place: read.append(place))
    told: list[bool] = []
    turns = iter([True] * 40)
    file = churning.nameless(str(tmp_path))
    churning.work(file, -1, lambda: next(turns, False), lambda: told.append(True))
    assert told == [True]
    assert read == list(range(0, churning.FILE, churning.CHUNK))


@pytest.mark.usefixtures("small")
def test_where_nothing_reaches_a_disk_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel counts."""
    monkeypatch.setattr(churning, "written", lambda _: 7)
    file = churning.nameless(str(tmp_path))
    with pytest.raises(Failed, match="kept in memory"):
        churning.work(file, -1, lambda: True, lambda: None)
    os.close(file)


def test_a_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must stay free is said; a folder that is none as well."""
    monkeypatch.setattr(churning, "LEFT", 1 << 60)
    with pytest.raises(Failed, match="would stay free"):
        churning.nameless(str(tmp_path))
    with pytest.raises(Failed, match="there is no folder"):
        churning.nameless(str(tmp_path / "nowhere"))


def test_the_kernels_count_is_read() -> None:
    """Of this very process."""
    with Path("/proc/self/io").open() as file:
        assert churning.written(file.fileno()) >= 0
