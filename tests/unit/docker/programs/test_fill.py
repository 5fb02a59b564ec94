"""The program that fills disks, as far as it goes without a container: its file, and what stays when it fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.programs import fill, inside
from actors.docker.programs.limits import FAILED, USAGE, Failed

ID = uuid4().hex * 2
MARK = b"fault=f1 expires=1\n"
MIB = 1 << 20


@pytest.fixture
def where(tmp_path: Path) -> Iterator[int]:
    """An open folder."""
    folder = inside.straight(str(tmp_path))
    yield folder
    os.close(folder)


def test_the_file_has_its_blocks_and_says_whose_it_is(where: int, tmp_path: Path) -> None:
    """Made anew where there was one; removed, there or not."""
    for _ in range(2):
        fill.taken(where, "x.fill", MARK, MIB, exact=True)
        path = tmp_path / "x.fill"
        assert path.stat().st_size == MIB
        assert path.stat().st_blocks * 512 >= MIB
        assert path.read_bytes().startswith(MARK)
    for _ in range(2):
        fill.unlink(where, "x.fill")
        assert list(tmp_path.iterdir()) == []


def full_after(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A disk that has so many bytes."""
    allocate = os.posix_fallocate

    def limited(file: int, at: int, size: int) -> None:
        if at + size > most:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(file, at, size)

    monkeypatch.setattr(os, "posix_fallocate", limited)


def test_a_disk_that_is_full_too_early_leaves_nothing(
    where: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A size is whole or not at all; what went wrong is said."""
    full_after(monkeypatch, MIB)
    with pytest.raises(Failed, match="2097152 bytes could not be taken: it has 1048576, and the disk is full"):
        fill.taken(where, "x.fill", MARK, 2 * MIB, exact=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(Failed, match="could not be taken: I/O error"):
        fill.taken(where, "x.fill", MARK, MIB, exact=True)
    assert list(tmp_path.iterdir()) == []


def test_it_takes_what_there_is(where: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps that grow smaller, to the last block."""
    full_after(monkeypatch, 3 * MIB + fill.BLOCK)
    file = os.open("x", os.O_CREAT | os.O_RDWR, dir_fd=where)
    fill.grow(file, 10 * MIB)
    assert os.fstat(file).st_size == 3 * MIB + fill.BLOCK
    os.close(file)


def test_a_way_without_links(tmp_path: Path) -> None:
    """Whatever a link leads to, it is refused; up again as well. What is not there may be missing."""
    (tmp_path / "there" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/etc")
    os.close(inside.straight(f"{tmp_path}/there/./in/"))
    with pytest.raises(Failed, match="leads through a link, link to /etc"):
        inside.straight(f"{tmp_path}/link/x")
    with pytest.raises(Failed, match="leads up again"):
        inside.straight(f"{tmp_path}/there/../there")
    with pytest.raises(Failed, match="there is no folder"):
        inside.straight(f"{tmp_path}/nowhere")
    assert inside.straight(f"{tmp_path}/nowhere/x", missing=True) is None


def test_what_is_down_is_reached_from_outside(tmp_path: Path) -> None:
    """By the way that is known, through links of the machine and none behind them; a volume that is only mounted in use
    has to wait.
    """
    volume = tmp_path / "shop" / "_data"
    file = volume / "x" / ".tc-f1.fill"
    file.parent.mkdir(parents=True)
    file.touch()
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    (volume / "out").symlink_to("x")
    with pytest.raises(Failed, match="leads through a link, out to x"):
        fill.removed(f"{volume}/./out", file.name)
    fill.removed(f"{tmp_path}/link/_data/./x", file.name)
    assert not file.exists()
    fill.removed(f"{volume}/./x", file.name)
    (tmp_path / "shop" / "opts.json").touch()
    with pytest.raises(Failed, match="its volume shop is mounted only while it runs"):
        fill.removed(f"{volume}/./x", file.name)
    with pytest.raises(Failed, match="can be reached once it runs"):
        fill.removed("?", file.name)


def test_what_is_gone_holds_no_file(tmp_path: Path) -> None:
    """A folder of the machine that a person removed or replaced by a file, a way in it, and a disk in memory."""
    (tmp_path / "file").touch()
    fill.removed("tmpfs", ".tc-f1.fill")
    fill.removed(f"{tmp_path}/gone/in/./x", ".tc-f1.fill")
    fill.removed(f"{tmp_path}/file/./", ".tc-f1.fill")
    fill.removed(f"{tmp_path}/./gone/x", ".tc-f1.fill")


def test_what_fails_apart_is_told(tmp_path: Path) -> None:
    """Or that it was killed."""

    def fails() -> None:
        raise Failed("no")

    with pytest.raises(Failed, match=r"^no$"):
        fill.apart(fails, lambda _: None)
    with pytest.raises(Failed, match="was killed, not the container"):
        fill.apart(lambda: os.kill(os.getpid(), 9), lambda _: None)
    fill.apart((tmp_path / "done").touch, lambda _: None)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "words",
    [
        [], ["put"], ["put", "f1", "x", "1", "/", "m", ID], ["put", "F", "1", "1", "/", "m", ID],
        ["put", "f1", "1", "1", "/", "m", "x"], ["remove", "f1", "/", ID], ["remove", "../x", "?", "/", ID],
    ],
)  # fmt: skip
def test_wrong_usage_is_told(words: list[str]) -> None:
    """With how it is used."""
    argv = [sys.executable, "-I", "-S", fill.__file__, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:6]) == (USAGE, "usage:")


def test_a_container_that_is_not_there_is_refused() -> None:
    """In one line."""
    argv = [sys.executable, "-I", "-S", fill.__file__, "put", "f1", "5%", "9", "/", "m", ID]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (FAILED, 1)
    assert "no process of this container" in done.stderr
