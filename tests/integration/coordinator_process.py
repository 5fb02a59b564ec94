"""A real `serve` as a process of its own, and the command line beside it, as a user has them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import PATIENCE

PROGRAM = (sys.executable, "-m", "coordinator")
WITHIN_S = 30.0 * PATIENCE
PHASE = f"{60 * PATIENCE:g}s"
"""How long a phase lasts that is not waited for: longer than what is looked at meanwhile takes."""
LOOK_S = 0.02


def eventually(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Return as soon as it holds; fails with what was awaited. For states of other processes, which send no event."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {within_s:g} s")
        time.sleep(LOOK_S)


def kill(pid: int) -> None:
    """At once, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass(slots=True)
class Coordinator:
    """A coordinator on a DATA_DIR, started as often as a test likes."""

    data_dir: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What `serve` and the commands of this test see."""
        own = {"DATA_DIR": str(self.data_dir), "HTTP_PORT": "0", "GRPC_PORT": "0"}
        return os.environ | own | dict(self.settings)

    @property
    def log_file(self) -> Path:
        """What `serve` printed."""
        return self.data_dir.parent / "serve.log"

    def start(self, *command: str) -> None:
        """Start `serve`, or another command that serves, and wait until it says where it answers."""
        (self.data_dir / "endpoints.json").unlink(missing_ok=True)
        argv = [*PROGRAM, *(command or ("serve",))]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=self.environment, cwd=self.data_dir.parent, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        eventually(self._answers, f"serve ({self.log_file.read_text()[-2000:]})")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.log_file.read_text()[-4000:]}")
        return (self.data_dir / "endpoints.json").exists()

    @property
    def url(self) -> str:
        """Where HTTP answers."""
        return f"http://{json.loads((self.data_dir / 'endpoints.json').read_text())['http']}"

    @property
    def token(self) -> str:
        """The bearer token."""
        return (self.data_dir / "api-token").read_text().strip()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=30, trust_env=False, **options)

    def signal(self, number: int) -> None:
        """Send a signal to `serve` alone."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status."""
        assert self.process is not None
        return self.process.wait(WITHIN_S)

    @property
    def warden(self) -> int:
        """The process that watches over `serve`, as its log says: the latest."""
        lines = [line for line in self.log_file.read_text().splitlines() if '"warden:watches"' in line]
        return int(json.loads(lines[-1])["pid"])

    def kill(self) -> None:
        """SIGKILL of `serve` and its warden at once, as when power fails: only the next start puts anything back."""
        # Stopped first: it would notice the death of its warden, and start another one.
        self.signal(signal.SIGSTOP)
        self._kill_warden()
        self.signal(signal.SIGKILL)
        self.wait()

    def kill_alone(self) -> None:
        """SIGKILL of `serve`: its warden puts back what it left."""
        self.signal(signal.SIGKILL)
        self.wait()

    def _kill_warden(self) -> None:
        with contextlib.suppress(IndexError):
            kill(self.warden)

    def command(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command of the command line, run to its end."""
        return subprocess.run(
            [*PROGRAM, *argv], env=self.environment, cwd=self.data_dir.parent, input=stdin, check=False,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def submit(self, definition: Mapping[str, object]) -> str:
        """Start an execution over HTTP; its id."""
        answer = self.call("POST", "/api/v1/executions", json={"definition": definition})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def execution(self, execution_id: str) -> dict[str, Any]:
        """An execution as the API shows it."""
        answer = self.call("GET", f"/api/v1/executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """End what still runs, with its whole session."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGSTOP)
            self._kill_warden()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(WITHIN_S)


@contextlib.contextmanager
def coordinator(folder: Path, **settings: str) -> Iterator[Coordinator]:
    """A coordinator that is not started yet, ended at the end."""
    made = Coordinator(folder / "data", settings)
    made.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        yield made
    finally:
        made.close()


def scenario(
    faults: list[dict[str, object]], *, names: list[str], duration: str = PHASE, **more: object
) -> dict[str, object]:
    """A definition with one phase that hits the containers of these names, or the targets that a fault names itself."""
    aimed = [fault if "between" in fault or "from" in fault else {"target": "t", **fault} for fault in faults]
    phase = {"name": "fault", "duration": duration, "faults": aimed}
    return {
        "apiVersion": "test-coordinator/v1",
        "kind": "Scenario",
        "metadata": {"name": "test"},
        "targets": {"t": {"names": names}},
        "phases": [phase],
        **more,
    }
