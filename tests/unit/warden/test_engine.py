import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.warden import engine as module
from coordinator.warden.engine import Engine, EngineAway, Seen

INSPECTED = b'{"State": {"Status": "paused", "StartedAt": "2026-01-01T00:00:00.1Z"}}'
LOST = b'{"State": {"Status": "exited", "StartedAt": "2026-01-01T00:00:00.1Z", "Error": "id already in use"}}'
NEVER_STARTED = b'{"State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}}'


@contextmanager
def answering(folder: Path, answer: bytes) -> Iterator[tuple[str, list[str]]]:
    """An engine that gives one answer to whatever it is asked; its endpoint and the paths asked for."""
    asked: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "engine.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(4096).decode().split()[1])
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{folder}/engine.sock", asked
        thread.join()


def response(body: bytes, status: str = "200 OK") -> bytes:
    """An answer as an engine gives it to a client of HTTP/1.0."""
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (response(INSPECTED), Seen("paused", "2026-01-01T00:00:00.1Z")),
        (response(NEVER_STARTED), Seen("created", "")),
        (response(LOST), Seen("exited", "2026-01-01T00:00:00.1Z", lost=True)),
        (response(b'{"message": "no such container"}', "404 Not Found"), Seen(None)),
    ],
)
def test_a_container_is_seen_as_it_is(tmp_path: Path, answer: bytes, seen: Seen) -> None:
    """State and run as the engine writes them; none that never ran; gone is no error."""
    with answering(tmp_path, answer) as (endpoint, asked):
        assert Engine(endpoint).look("c1") == seen
    assert asked == ["/containers/c1/json"]


def test_the_engine_is_known_by_its_id(tmp_path: Path) -> None:
    """The same id as the ledger's rows hold."""
    with answering(tmp_path, response(b'{"ID": "ABCD"}')) as (endpoint, _):
        assert Engine(endpoint).id() == "ABCD"


@pytest.mark.parametrize(
    "answer", [b"", b"garbage", response(b"{"), response(b"[]"), response(b"{}", "500 Internal Server Error")]
)
def test_no_sensible_answer_is_an_engine_away(tmp_path: Path, answer: bytes) -> None:
    """Whatever is not an engine's answer is told as one that does not answer, with the endpoint."""
    with answering(tmp_path, answer) as (endpoint, _), pytest.raises(EngineAway, match=r"engine\.sock"):
        Engine(endpoint).look("c1")


def test_no_socket_is_an_engine_away(tmp_path: Path) -> None:
    """Neither a missing socket nor a closed port is anything else."""
    with pytest.raises(EngineAway, match=r"nothing\.sock"):
        Engine(f"unix://{tmp_path}/nothing.sock").id()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(EngineAway):
            Engine(f"tcp://127.0.0.1:{reserved.getsockname()[1]}").id()


def docker_in(folder: Path, script: str) -> dict[str, str]:
    """An environment whose `docker` is this shell script."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "DOCKER_CONTEXT": "another", "DOCKER_HOST": "tcp://another:1"}


def test_commands_run_side_by_side_on_this_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets the endpoint and nobody's context; exit code and error are told in the order of the commands."""
    environ = docker_in(tmp_path, 'echo "$* $DOCKER_CONTEXT$DOCKER_HOST" >&2; [ "$3" = unpause ]')
    monkeypatch.setenv("PATH", environ["PATH"])
    good, bad = Engine("unix:///e.sock", environ).run([("unpause", "a", "b"), ("start", "c")])
    assert (good.argv, good.exit_code, good.error) == (("unpause", "a", "b"), 0, "-H unix:///e.sock unpause a b")
    assert (bad.exit_code, bad.error) == (1, "-H unix:///e.sock start c")


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its deadline it is over, whatever it started."""
    environ = docker_in(tmp_path, "sleep 60 & echo $! >$0.pid; wait")
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.setattr(module, "COMMAND_S", 2.0)
    (ran,) = Engine("unix:///e.sock", environ).run([("unpause", "a")])
    assert ran.exit_code is None
    assert "deadline" in ran.error
    child = int((tmp_path / "docker.pid").read_text())
    deadline = time.monotonic() + 30
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_without_docker_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that cannot start is an outcome like any other."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (ran,) = Engine("unix:///e.sock", {"PATH": str(tmp_path)}).run([("unpause", "a")])
    assert ran.exit_code is None
    assert "docker" in ran.error
