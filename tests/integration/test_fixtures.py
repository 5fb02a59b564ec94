"""The fixtures themselves: what they make is real, and what they made is gone afterwards."""

import socket

import pytest

from tests.integration.sandbox import DockerFailed, Sandbox, docker
from tests.integration.services import PostgresServer, RedisServer


def test_a_sandbox_removes_what_it_made_even_paused(image: str) -> None:
    """Containers and networks of a sandbox are gone after close, a paused one and one already removed included."""
    sandbox = Sandbox(image)
    network = sandbox.network()
    paused = sandbox.run("paused", options=["--network", network])
    removed = sandbox.run("removed")
    docker("pause", paused.id)
    docker("rm", "--force", removed.id)
    assert paused.status == "paused"

    sandbox.close()

    with pytest.raises(DockerFailed, match=r"(?i)no such"):
        paused.look("{{.Id}}")
    assert docker("network", "ls", "--quiet", "--filter", f"label={sandbox.label}") == ""


def test_an_idle_container_ends_on_term(containers: Sandbox) -> None:
    """The idle process exits 0 when asked, so that a stop is told from a kill by its status."""
    container = containers.run()
    docker("stop", "--time", "30", container.id)
    assert container.look("{{.State.ExitCode}}") == "0"


@pytest.mark.parametrize("kind", [PostgresServer, RedisServer])
def test_a_server_can_be_taken_down_and_up(kind: type[PostgresServer | RedisServer]) -> None:
    """Stopped, a server refuses connections; started, it answers on the same port; in the end its folder is gone."""
    server = kind()
    try:
        server.start()
        port = server.port
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        server.start()
        assert server.port == port
        assert server.answers()
    finally:
        server.close()
    assert not server.folder.exists()
