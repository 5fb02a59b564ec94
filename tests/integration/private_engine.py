"""A Docker engine of a test's own, in a network namespace and folders of its own, so that it may be restarted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from tests.integration.coordinator_process import eventually
from tests.integration.sandbox import DockerFailed, docker

UP_WITHIN_S = 60.0


class PrivateEngine:
    """An engine with live-restore: its containers go on while it is down. Without it, they end with it."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet. The socket lies apart, since its path must be short."""
        self.live_restore = True
        self._folder = folder
        self._tag = uuid4().hex[:8]
        self._namespace = f"tc-test-{self._tag}"
        self._run = Path(f"/run/tc-test-{self._tag}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Its socket file."""
        return self._run / "docker.sock"

    def docker(self, *argv: str) -> str:
        """Standard output of a docker command against it."""
        return docker("--host", f"unix://{self.socket}", *argv)

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._run.mkdir(mode=0o700, exist_ok=True)
        if not Path("/run/netns", self._namespace).exists():
            subprocess.run(["ip", "netns", "add", self._namespace], check=True)
            subprocess.run(["ip", "-n", self._namespace, "link", "set", "lo", "up"], check=True)
        # Not `ip netns exec`: it mounts /sys anew, and the engine then misses its cgroups.
        argv = [
            *("nsenter", f"--net=/run/netns/{self._namespace}", "dockerd"),
            *(("--live-restore",) if self.live_restore else ()),
            *("--data-root", str(self._folder / "data"), "--exec-root", str(self._run / "exec")),
            *("--pidfile", str(self._run / "pid"), "--host", f"unix://{self.socket}"),
        ]
        environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        eventually(self._answers, "the private engine", within_s=UP_WITHIN_S)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        ask = ["docker", "--host", f"unix://{self.socket}", "version"]
        return subprocess.run(ask, check=False, capture_output=True).returncode == 0

    def load(self, *images: str) -> None:
        """Copy images from the ordinary engine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
            load = ["docker", "--host", f"unix://{self.socket}", "load", "--quiet"]
            subprocess.run(load, check=True, stdin=saving.stdout, stdout=subprocess.DEVNULL)
        assert saving.returncode == 0

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """It accepts and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It is away, and comes back."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def restart(self) -> None:
        """End it as its operator would, and start it again."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End it without warning; its containers go on."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None
        # Its containerd dies with it. Until the first process reaps that, the next engine takes it for a living one.
        (self._run / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it; its containers go on."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(UP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Remove its containers, end it, and take away its namespace, mounts and folders."""
        with contextlib.suppress(DockerFailed, subprocess.TimeoutExpired):
            self._remove_containers()
        self.stop()
        for folder in (self._folder, self._run):
            self._unmount(folder)
            subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)
        subprocess.run(["ip", "netns", "delete", self._namespace], check=False)

    def _remove_containers(self) -> None:
        for identity in self.docker("ps", "--all", "--quiet").split():
            # Older engines do not remove a paused container, and none unpauses one that runs.
            with contextlib.suppress(DockerFailed):
                self.docker("unpause", identity)
            self.docker("rm", "--force", identity)

    def _unmount(self, folder: Path) -> None:
        """What an engine mounts for its containers and does not take away when it ends."""
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounted if path.startswith(f"{folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", path], check=False)
