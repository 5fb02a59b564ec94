"""The coordinator as a container of its image, and its HTTP API through a published port."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.integration.coordinator_process import eventually
from tests.integration.sandbox import Container, Sandbox, docker

SOCKET = "/var/run/docker.sock"
HTTP_PORT = 8080
HEALTHY_WITHIN_S = 60.0


@cache
def coordinator_image() -> str:
    """The image of this tree, built if need be: two minutes where nothing is cached, at once where nothing changed."""
    build = [sys.executable, str(ROOT / "tools" / "image.py")]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip().splitlines()[-1]


@dataclass(frozen=True, slots=True)
class CoordinatorContainer(Container):
    """A container of the coordinator's image that was made by a test."""

    @property
    def health(self) -> str:
        """starting, healthy, unhealthy."""
        return self.look("{{.State.Health.Status}}")

    @property
    def logs(self) -> str:
        """What it printed, both streams."""
        done = subprocess.run(
            ["docker", "logs", self.id], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.stdout

    def wait_healthy(self) -> None:
        """Return when the engine finds it healthy; fails with what it printed when it ends instead."""

        def healthy() -> bool:
            assert self.status in {"created", "running", "restarting"}, self.logs[-4000:]
            return self.health == "healthy"

        eventually(healthy, f"health of {self.name}", within_s=HEALTHY_WITHIN_S)

    def run(self, *argv: str) -> str:
        """Standard output of a command inside."""
        return docker("exec", self.id, *argv)

    @property
    def token(self) -> str:
        """The bearer token."""
        return self.run("cat", "/var/lib/test-coordinator/api-token")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request with the token, from outside."""
        url = f"http://127.0.0.1:{self.published(HTTP_PORT)}{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **options)

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

    def wait_active(self, execution_id: str) -> None:
        """Return when every fault of an execution has taken effect."""

        def active() -> bool:
            execution = self.execution(execution_id)
            assert execution["state"] != "finished", json.dumps(execution)
            states = {fault["state"] for fault in execution["faults"]}
            return states == {"active"}

        eventually(active, "the effect")

    def wait_finished(self, execution_id: str) -> dict[str, Any]:
        """The execution once it has its verdict."""
        eventually(lambda: self.execution(execution_id)["state"] == "finished", "the verdict")
        return self.execution(execution_id)


def start(sandbox: Sandbox, *options: str, command: Sequence[str] = ()) -> CoordinatorContainer:
    """A coordinator as an instance of its own, with the engine's socket, its HTTP port published on loopback.

    The sandbox is one of the coordinator's image.
    """
    basics = [
        *("--env", f"SERVICE_INSTANCE_NAME=test-coordinator-T{sandbox.tag}"),
        *("--publish", f"127.0.0.1::{HTTP_PORT}", "--volume", f"{SOCKET}:{SOCKET}"),
    ]
    made = sandbox.run("coordinator", options=[*basics, *options], command=command)
    return CoordinatorContainer(made.id, made.name)
