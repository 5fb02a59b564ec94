"""Fixtures of the real things: the Docker engine, an image, containers that are removed again, Postgres and Redis.

Where one is missing the test fails with the command that brings it: a skipped test proves nothing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import ROOT
from tests.integration import namespaces
from tests.integration.coordinator_process import Coordinator, coordinator
from tests.integration.held import Held, held, state
from tests.integration.namespaces import Namespace
from tests.integration.private_engine import PrivateEngine
from tests.integration.remembered import command
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker, engine_host
from tests.integration.services import PostgresServer, RedisServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in this folder needs a real service, so it carries the marker."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "integration"):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def engine() -> str:
    """The endpoint of an engine that answers, as DOCKER_HOST is written."""
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout_s=15)
    except (DockerFailed, OSError, subprocess.TimeoutExpired) as error:
        pytest.fail(f"no Docker engine answers at {engine_host()}: run tools/provision.sh docker ({error})")
    return engine_host()


@pytest.fixture(scope="session")
def image(engine: str) -> str:
    """The sandbox image: busybox and Python; idles when given no command."""
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def containers(image: str) -> Iterator[Sandbox]:
    """A factory of containers and networks that are removed when the test ends."""
    sandbox = Sandbox(image)
    try:
        yield sandbox
    finally:
        sandbox.close()


@pytest.fixture
def pair(containers: Sandbox) -> tuple[Container, Container]:
    """Two containers in one network of their own."""
    network = containers.network()
    first, second = (containers.run(name, options=["--network", network]) for name in "ab")
    return first, second


@pytest.fixture
def served(tmp_path: Path, engine: str) -> Iterator[Coordinator]:
    """A coordinator that is up."""
    with coordinator(tmp_path) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Namespace, Namespace]]:
    """Two network namespaces joined by a link: the target and its peer."""
    with namespaces.pair() as made:
        yield made


@pytest.fixture
def holder(both: tuple[Namespace, Namespace]) -> Iterator[Held]:
    """Whoever holds the target; afterwards it is as it was."""
    before = state(both[0])
    with held(both[0]) as made:
        yield made
    assert state(both[0]) == before


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres of the tests' own. A test that stops it starts it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the tests' own. A test that stops it starts it again."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """POSTGRES_URL of a server that runs."""
    postgres.start()
    return postgres.url


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """REDIS_URL of a server that runs."""
    redis_server.start()
    return redis_server.url


@pytest.fixture
def instance(postgres_url: str) -> Iterator[str]:
    """An instance with a schema of its own, which is dropped at the end."""
    name = f"h{uuid4().hex[:8]}"
    yield name
    command(postgres_url, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.fixture(scope="session")
def service_images(engine: str) -> Mapping[str, str]:
    """Postgres, Redis and Prometheus of Debian packages: POSTGRES_IMAGE and so on."""
    environment = os.environ | {"PYTHON": sys.executable}
    program = str(ROOT / "tools" / "service-images.sh")
    build = subprocess.run([program], check=False, capture_output=True, text=True, env=environment)
    assert build.returncode == 0, build.stderr[-4000:]
    return dict(line.split("=", maxsplit=1) for line in build.stdout.splitlines())


@pytest.fixture(scope="module")
def private_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    """An engine of the test's own, which keeps its containers while it restarts."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of one's own needs root and dockerd")
    if shutil.which("ip") is None:
        pytest.fail("`ip` is missing: apt-get install iproute2")
    engine = PrivateEngine(tmp_path_factory.mktemp("engine"))
    try:
        engine.start()
        yield engine
    finally:
        engine.close()
