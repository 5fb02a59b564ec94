from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.data_dir_lock import DataDirLock
from coordinator.errors import DataDirInUse, InvalidSettings, WardenAtWork
from tests.conftest import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from coordinator.data_dir_lock import DataDirLock
DataDirLock(Path(sys.argv[1]), "test-coordinator-Chaos1").acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_second_holder_is_told_who_holds(tmp_path: Path) -> None:
    """Another process is refused with pid and instance; after its SIGKILL the kernel has let go."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirInUse, match=rf"serve of test-coordinator-Chaos1 \(pid {holder.pid}\)"):
            DataDirLock(tmp_path, "test-coordinator").acquire()
        holder.send_signal(signal.SIGKILL)
    mine = DataDirLock(tmp_path, "test-coordinator")
    mine.acquire()
    mine.release()


def test_lock_names_its_holder(tmp_path: Path) -> None:
    """The lock file tells a person who holds the folder, also after a longer text of an earlier holder."""
    (tmp_path / "lock").write_text("x" * 1000)
    lock = DataDirLock(tmp_path, "test-coordinator", role="warden")
    lock.acquire()
    said = json.loads((tmp_path / "lock").read_text())
    lock.release()
    assert said == {"pid": os.getpid(), "instance": "test-coordinator", "role": "warden"}


def test_a_warden_that_holds_it_is_told_apart(tmp_path: Path) -> None:
    """Who finds the warden there can wait for it, and is told that nothing has to be stopped."""
    warden = DataDirLock(tmp_path, "test-coordinator", role="warden")
    warden.acquire()
    with pytest.raises(WardenAtWork, match=rf"warden of test-coordinator \(pid {os.getpid()}\) is putting back"):
        DataDirLock(tmp_path, "test-coordinator").acquire()
    warden.release()


UNREADABLE = ["", "{", "[1]", '{"pid": 1}']


@pytest.mark.parametrize("text", [*UNREADABLE, '{"pid": 1, "instance": "a", "role": "warden"}'])
def test_an_unreadable_holder_is_another_coordinator(tmp_path: Path, text: str) -> None:
    """A lock file that says nothing (a full disk), or what one before said, still refuses, and names nobody."""
    holder = DataDirLock(tmp_path, "test-coordinator")
    holder.acquire()
    (tmp_path / "lock").write_text(text)
    with pytest.raises(DataDirInUse, match="in use by another coordinator") as refused:
        DataDirLock(tmp_path, "test-coordinator").acquire()
    assert not isinstance(refused.value, WardenAtWork)
    holder.release()


@pytest.mark.parametrize("text", [*UNREADABLE, '{"pid": 1, "instance": "a", "role": "serve"}'])
def test_a_warden_is_known_before_it_has_said_so(tmp_path: Path, text: str) -> None:
    """It holds the lock a moment before its name is in the file, and for good on a full disk: it is waited for."""
    warden = DataDirLock(tmp_path, "test-coordinator", role="warden")
    warden.acquire()
    (tmp_path / "lock").write_text(text)
    with pytest.raises(WardenAtWork, match="a warden is putting back"):
        DataDirLock(tmp_path, "test-coordinator").acquire()
    warden.release()


def test_released_lock_is_free(tmp_path: Path) -> None:
    """Within one process too a second holder is refused until the first lets go; letting go twice does no harm."""
    first, second = DataDirLock(tmp_path, "a"), DataDirLock(tmp_path, "b")
    first.acquire()
    with pytest.raises(DataDirInUse):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_folder_is_the_owners_alone(tmp_path: Path) -> None:
    """DATA_DIR is made with its parents, and neither it nor the lock can be read by others."""
    folder = tmp_path / "state" / "test-coordinator"
    lock = DataDirLock(folder, "test-coordinator")
    lock.acquire()
    lock.release()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "lock").stat().st_mode & 0o777 == 0o600


def test_unusable_folder_is_an_invalid_setting(tmp_path: Path) -> None:
    """A DATA_DIR that is a file is refused in one line that names it."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidSettings, match=f"DATA_DIR: {file}"):
        DataDirLock(file, "test-coordinator").acquire()
