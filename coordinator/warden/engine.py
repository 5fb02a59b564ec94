"""The engine as the warden sees it: a few looks by plain HTTP, and docker commands as processes. Judges nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

LOOK_S: Final = 5.0
"""How long the engine may keep one answer."""

COMMAND_S: Final = 10.0
EACH_S: Final = 1.0
LONGEST_S: Final = 30.0
"""How long a command may take, with so much more for each further container, and at most; then it is killed. A start
waits as long for the lock, so what takes longer is the recovery's.
"""

NEVER: Final = "0001-01-01T00:00:00Z"
_OK: Final = 200
_NOT_FOUND: Final = 404
_ERROR_TEXT: Final = 300


class EngineAway(OSError):
    """The engine did not answer, or not as an engine does."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A container at one look: its state, None when it is gone, when its run began, and whether the engine lost it."""

    state: str | None
    run: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended; `exit_code` is None when it was killed at its deadline or could not start."""

    argv: tuple[str, ...]
    exit_code: int | None
    duration_s: float
    error: str = ""


class Engine:
    """One engine at `endpoint`: unix:///path or tcp://host:port."""

    def __init__(self, endpoint: str, environ: Mapping[str, str] = os.environ) -> None:
        """Ask nothing yet."""
        self._endpoint = endpoint
        # As for every command of the coordinator: no context or host of somebody's shell counts.
        self._environ = {
            name: value for name, value in environ.items() if name not in {"DOCKER_HOST", "DOCKER_CONTEXT"}
        }

    def id(self) -> str:
        """Which engine it is. Raises EngineAway, as every look does."""
        return str(self._asked("/info")["ID"])

    def look(self, container_id: str) -> Seen:
        """One container now."""
        status, body = self._get(f"/containers/{container_id}/json")
        if status == _NOT_FOUND:
            return Seen(None)
        state = self._parsed(status, body)["State"]
        run = "" if state["StartedAt"] == NEVER else str(state["StartedAt"])
        return Seen(str(state["Status"]), run, lost=bool(state.get("Error")))

    def run(self, commands: Sequence[tuple[str, ...]]) -> list[Ran]:
        """Run docker commands side by side, each to its end or its deadline."""
        started = [(argv, time.monotonic(), self._started(argv)) for argv in commands]
        return [_ended(argv, begun, process) for argv, begun, process in started]

    def _started(self, argv: tuple[str, ...]) -> subprocess.Popen[bytes] | OSError:
        try:
            return subprocess.Popen(
                ["docker", "-H", self._endpoint, *argv], env=self._environ, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as failed:
            return failed

    def _asked(self, path: str) -> dict[str, Any]:
        return self._parsed(*self._get(path))

    def _parsed(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError as garbled:
            raise EngineAway(f"Docker engine at {self._endpoint}: no answer that could be read") from garbled
        if status != _OK or not isinstance(answer, dict):
            raise EngineAway(f"Docker engine at {self._endpoint}: status {status}")
        return answer

    def _get(self, path: str) -> tuple[int, bytes]:
        """Status and body. HTTP/1.0, so that the answer ends with the connection and is never in chunks."""
        deadline = time.monotonic() + LOOK_S
        received = b""
        try:
            with self._connected() as connection:
                connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
                while chunk := connection.recv(65536):
                    received += chunk
                    connection.settimeout(max(0.001, deadline - time.monotonic()))
        except OSError as failed:
            raise EngineAway(f"Docker engine at {self._endpoint}: {failed}") from failed
        head, _, body = received.partition(b"\r\n\r\n")
        words = head.split(b"\r\n")[0].split()
        if len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004  # HTTP/1.0 and a status
            raise EngineAway(f"Docker engine at {self._endpoint}: hung up")
        return int(words[1]), body

    def _connected(self) -> socket.socket:
        parts = urlsplit(self._endpoint)
        if parts.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(LOOK_S)
            try:
                connection.connect(parts.path)
            except OSError:
                connection.close()
                raise
            return connection
        return socket.create_connection((parts.hostname, parts.port), LOOK_S)


def _ended(argv: tuple[str, ...], begun: float, process: subprocess.Popen[bytes] | OSError) -> Ran:
    if isinstance(process, OSError):
        return Ran(argv, None, 0.0, str(process))
    deadline_s = min(COMMAND_S + EACH_S * max(0, len(argv) - 2), LONGEST_S)
    try:
        _, stderr = process.communicate(timeout=max(0.0, deadline_s - (time.monotonic() - begun)))
        error = stderr.decode(errors="replace").strip()[-_ERROR_TEXT:]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Ran(argv, None, time.monotonic() - begun, f"killed at its deadline after {deadline_s:g} s")
    return Ran(argv, process.returncode, time.monotonic() - begun, error)
