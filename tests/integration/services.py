"""A Postgres and a Redis of the tests' own, on free loopback ports; those of the machine are left alone."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

READY_WITHIN_S = 30
STOP_WITHIN_S = 15


class ServerUnavailable(Exception):
    """A server's program is missing or did not get ready; the message says what to do or ends with its log."""


def program(name: str, package: str) -> str:
    """The path of a program on PATH or among Debian's Postgres versions. Raises ServerUnavailable."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = shutil.which(name) or (str(debian[0]) if debian else None)
    if found is None:
        raise ServerUnavailable(f"{name} is missing: tools/provision.sh {package}")
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _holds(process: psutil.Process) -> bool:
    """Whether it still has what it had: a zombie has not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class Server(ABC):
    """A server process that a test may take down and up again; its port and its data stay."""

    def __init__(self, user: str | None) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tc-test-"))
        # Postgres refuses to run as root; elsewhere the user is whoever runs the tests.
        self._user = user if user is not None and os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, pwd.getpwnam(self._user).pw_gid)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def argv(self) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server serves clients now."""

    def start(self) -> None:
        """Start it unless it runs, and return when it answers. Raises ServerUnavailable."""
        if self._process is not None:
            return
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise ServerUnavailable(f"{self.argv()[0]}: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as its operator would; clients are cut off. Nothing happens if it is down."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(2)  # SIGINT: Postgres' fast shutdown, Redis' ordinary one
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL it with all its children. Nothing happens if it is down."""
        process, self._process = self._process, None
        if process is not None:
            held = self._processes(process.pid)
            for each in held:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            # One that has not ended yet still holds the memory they share, and the next does not start beside it.
            deadline = time.monotonic() + STOP_WITHIN_S
            while any(map(_holds, held[1:])):
                if time.monotonic() > deadline:
                    raise ServerUnavailable(f"{self.argv()[0]}: its processes do not end")
                time.sleep(0.01)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It holds its connections and takes new ones, but answers nobody, as behind a network that swallows all."""
        if self._process is None:
            raise ServerUnavailable("it is down")
        held = self._processes(self._process.pid)
        for each in held:
            each.suspend()
        try:
            yield
        finally:
            for each in held:
                # One whose client left meanwhile ends as soon as it may.
                with suppress(psutil.NoSuchProcess):
                    each.resume()

    @staticmethod
    def _processes(pid: int) -> list[psutil.Process]:
        """The parent first, so that it starts no more."""
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.folder)


class PostgresServer(Server):
    """A fresh cluster; durability is off, as it lives for a test run."""

    def __init__(self) -> None:
        super().__init__("postgres")
        self._data = str(self.folder / "data")
        initdb = [program("initdb", "postgres"), "-D", self._data, "-U", "tester", "-A", "trust", "--no-sync"]
        done = subprocess.run(
            initdb,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        if done.returncode != 0:
            raise ServerUnavailable(f"initdb: {done.stderr[-2000:]}")

    @property
    def url(self) -> str:
        """The address as POSTGRES_URL takes it."""
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def argv(self) -> list[str]:
        """Loopback only, a Unix socket in its own folder."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 50,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [program("postgres", "postgres"), "-D", self._data, *options]

    def answers(self) -> bool:
        """As pg_isready says."""
        ask = [program("pg_isready", "postgres"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0


class RedisServer(Server):
    """An empty Redis that writes nothing to disk."""

    def __init__(self) -> None:
        super().__init__(None)

    @property
    def url(self) -> str:
        """The address as REDIS_URL takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def argv(self) -> list[str]:
        """Loopback only, no persistence."""
        network = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [program("redis-server", "redis"), *network, "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        """Whether it answers PING with PONG."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
