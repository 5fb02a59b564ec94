"""A look into a real container in which a file system does not answer."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.docker.programs import inside, strays
from actors.docker.programs.load_target import Process
from tests.integration.sandbox import Container, Sandbox, docker

FUSE = Path("/dev/fuse")
NAME = ".tc-0123.fill"


def hang(process: Process, fuse: int, folder: str) -> None:
    """Mount there, in the container, what nobody answers for."""
    pid = os.fork()
    if pid == 0:
        inside.enter(process)
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
        os._exit(ctypes.CDLL(None).mount(b"hung", folder.encode(), b"fuse", 0, options))
    assert os.waitpid(pid, 0)[1] == 0


@pytest.fixture
def hanging(containers: Sandbox) -> Iterator[tuple[Container, Process]]:
    """A container in whose /data, a usual folder, every look hangs; and its main process."""
    if not FUSE.exists():
        pytest.fail(f"{FUSE} is missing, of which the file system that hangs is made: modprobe fuse, as root")
    target = containers.run("hanging", options=["--tmpfs", "/srv"])
    docker("exec", target.id, "mkdir", "/data")
    process = strays.mains()[target.id]
    fuse = os.open(FUSE, os.O_RDWR)
    hang(process, fuse, "/data")
    try:
        yield target, process
    finally:
        # Whoever still waits for an answer is told that there will be none.
        os.close(fuse)


def test_a_hung_file_system_hides_nothing_else(
    hanging: tuple[Container, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is elsewhere in the container is found, and removed; that the look was not whole is told."""
    target, process = hanging
    mark = "fault=f execution=e instance=i expires=1"
    docker("exec", target.id, "sh", "-c", f"echo {mark} | tee /srv/{NAME} /{NAME}")
    monkeypatch.setattr(strays, "mains", lambda: {target.id: process})
    monkeypatch.setattr(strays, "EACH_S", 3.0)
    sight = strays.look({target.id: ["/data/x"]})
    found = [each for each in sight["strays"] if each["kind"] == "file"]
    assert sorted((each["folder"], each["mark"]) for each in found) == [("/", mark), ("/srv", mark)]
    late = f"files of containers: {target.id[:12]}: it takes too long, as where a file system does not answer"
    assert sight["unable"] == [late]
    assert [each["error"] for each in strays.remove(found)] == ["", ""]
    assert docker("exec", target.id, "sh", "-c", "ls -A /srv; ls -d /.tc-*; true") == ""
