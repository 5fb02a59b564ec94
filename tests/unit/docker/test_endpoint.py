from collections.abc import Mapping

import pytest
import requests

from actors.docker.endpoint import causes, resolve_endpoint, unreachable
from coordinator.errors import InvalidSettings

SOCKET = "unix:///run/docker.sock"


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "", "DOCKER_SOCKET": ""}, "unix:///var/run/docker.sock"),
        ({"DOCKER_SOCKET": "/run/docker.sock"}, SOCKET),
        ({"DOCKER_SOCKET": SOCKET}, SOCKET),
        ({"DOCKER_HOST": "tcp://10.0.0.1:2375/", "DOCKER_SOCKET": "/x"}, "tcp://10.0.0.1:2375"),
        ({"DOCKER_HOST": "tcp://[::1]:2375", "DOCKER_CONTEXT": "other"}, "tcp://[::1]:2375"),
    ],
)
def test_the_endpoint_is_resolved_once(environ: Mapping[str, str], endpoint: str) -> None:
    """DOCKER_HOST wins over DOCKER_SOCKET, a path becomes a socket, and a docker context is ignored."""
    assert resolve_endpoint(environ) == endpoint


@pytest.mark.parametrize(
    "wrong", ["unix://run/docker.sock", "unix:///", "tcp://host", "tcp://:2375", "tcp://h:99999", "ssh://h", "h:2375"]
)
def test_an_endpoint_that_cannot_be_reached_both_ways_is_refused(wrong: str) -> None:
    """What commands and facts cannot both use is refused with the variable, the value and what is allowed."""
    with pytest.raises(InvalidSettings) as refused:
        resolve_endpoint({"DOCKER_HOST": wrong})
    assert str(refused.value) == f"DOCKER_HOST: {wrong!r}; allowed: unix:///path/to/docker.sock or tcp://host:port"


@pytest.mark.parametrize(
    ("endpoint", "error", "advice"),
    [
        (SOCKET, FileNotFoundError(2, "No such file"), "no such socket: start Docker"),
        (SOCKET, PermissionError(13, "denied"), "add the user to the docker group"),
        (SOCKET, ConnectionRefusedError(111, "refused"), "the socket refuses connections"),
        ("tcp://h:1", ConnectionRefusedError(111, "refused"), "connection refused: start Docker there"),
        (SOCKET, requests.ReadTimeout("slow"), "no answer within 2.5 s"),
        (SOCKET, requests.ConnectionError("broken\npipe"), "broken: see `docker version`"),
        (SOCKET, EOFError(), "EOFError: see `docker version`"),
    ],
)
def test_the_message_says_what_to_do(endpoint: str, error: Exception, advice: str) -> None:
    """Each way of not answering gets one line with the endpoint and its own advice, however deep it is wrapped."""
    for wrapped in (error, requests.ConnectionError("Connection aborted.", error)):
        text = str(unreachable(endpoint, wrapped, 2.5))
        assert text.startswith(f"Docker engine at {endpoint}: ")
        assert "\n" not in text
    assert advice in str(unreachable(endpoint, error, 2.5))


def test_causes_end_in_a_circle() -> None:
    """Errors that name each other as their cause are each seen once."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    assert list(causes(one)) == [one, two]
