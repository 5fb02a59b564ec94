"""Containers and networks a test may break: made here, labelled, and removed by id at the end. Never touches others."""

import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from tests.conftest import PATIENCE

LABEL = "test-coordinator.sandbox"
DOCKER_TIMEOUT_S = 60 * PATIENCE


class DockerFailed(Exception):
    """A docker command of a test's own ended with a status other than 0; the message holds its standard error."""


def docker(*argv: str, timeout_s: float = DOCKER_TIMEOUT_S) -> str:
    """Standard output of a docker command, stripped. Raises DockerFailed."""
    done = subprocess.run(
        ["docker", *argv], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s
    )
    if done.returncode != 0:
        raise DockerFailed(f"docker {' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Container:
    """A container of this test. Looks are fresh each time."""

    id: str
    name: str

    def look(self, template: str) -> str:
        """One field of `docker inspect`, as a Go template: `{{.State.Status}}`."""
        return docker("inspect", "--type", "container", "--format", template, self.id)

    @property
    def status(self) -> str:
        """running, paused, exited, created, restarting."""
        return self.look("{{.State.Status}}")

    @property
    def started_at(self) -> str:
        """When its main process started, as the engine writes it."""
        return self.look("{{.State.StartedAt}}")

    @property
    def address(self) -> str:
        """Its IPv4 address on the first of its networks."""
        return self.look("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}").split()[0]

    def published(self, port: int) -> int:
        """The port on 127.0.0.1 behind which its TCP `port` is published."""
        ports = json.loads(self.look("{{json .NetworkSettings.Ports}}"))
        return int(ports[f"{port}/tcp"][0]["HostPort"])


@dataclass(slots=True)
class Sandbox:
    """Makes containers and networks and removes exactly those."""

    image: str
    tag: str = field(default_factory=lambda: uuid4().hex[:8])
    _containers: list[str] = field(default_factory=list)
    _networks: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """`key=value` that selects every container of this sandbox and no other."""
        return f"{LABEL}={self.tag}"

    def run(
        self,
        name: str = "target",
        *,
        command: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        started: bool = True,
    ) -> Container:
        """A container from the sandbox image; without a command it idles and ends at once on TERM.

        `name` gets a unique ending; `options` go to `docker create` as they are.
        """
        full_name = f"tc-test-{name}-{self.tag}-{len(self._containers)}"
        labelled = [part for key, value in (labels or {}).items() for part in ("--label", f"{key}={value}")]
        identity = docker(
            "create", "--name", full_name, "--label", self.label, *labelled, *options, self.image, *command
        )
        self._containers.append(identity)
        if started:
            docker("start", identity)
        return Container(identity, full_name)

    def network(self, name: str = "net", *, options: Sequence[str] = ()) -> str:
        """A bridge network with a unique name, which is returned."""
        full_name = f"tc-test-{name}-{self.tag}-{len(self._networks)}"
        self._networks.append(docker("network", "create", "--label", self.label, *options, full_name))
        return full_name

    def renew_network(self, full_name: str) -> None:
        """Another network under the name of one of these, which is removed."""
        docker("network", "rm", full_name)
        self._networks.append(docker("network", "create", "--label", self.label, full_name))

    def close(self) -> None:
        """Remove what was made, whatever state it is in and even if the test removed some of it."""
        for identity in self._containers:
            # Older engines do not remove a paused container.
            with contextlib.suppress(DockerFailed):
                docker("unpause", identity)
        # A coordinator that a test killed for good left its locks on them.
        locks = [f"tc-{identity}" for identity in self._containers]
        made = (
            (("rm", "--force", "--volumes"), self._containers),
            (("network", "rm"), self._networks),
            (("volume", "rm", "--force"), locks),
        )
        # One command for all; it goes on after one that is gone already.
        for kind, ids in made:
            if ids:
                with contextlib.suppress(DockerFailed):
                    docker(*kind, *ids)
        left = docker("ps", "--all", "--quiet", "--filter", f"label={self.label}")
        if left:
            raise DockerFailed(f"containers of a test could not be removed: {left.split()}")


def engine_host() -> str:
    """The endpoint the tests use, as DOCKER_HOST is written."""
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
