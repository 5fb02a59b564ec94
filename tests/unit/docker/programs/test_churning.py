"""Keeping a disk busy, on a file of the test's own folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from actors.docker.programs import churning
from actors.docker.programs.limits import Failed


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is quickly written."""
    for name, size in (("FILE", 1 << 16), ("AT_ONCE", 1 << 14), ("CHUNK", 1 << 12), ("LEFT", 1)):
        monkeypatch.setattr(churning, name, size)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("known", [True, False])
def test_its_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool) -> None:
    """Where the file system knows such files, and where it does not; its whole room is taken at once."""
    opened = os.open

    def refusing(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE and not known:
            raise OSError(errno.EOPNOTSUPP, "no such thing")
        return opened(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
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
