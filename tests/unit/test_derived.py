"""What follows from the settings, as the assembly reads them."""

from __future__ import annotations

import pytest

from coordinator.assembly.derived import policy_of
from coordinator.settings import Settings


def test_what_the_coordinator_needs_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stores by host and port, and its engine where that is reached over the network."""
    monkeypatch.setenv("POSTGRES_URL", "postgresql://u:p@store/db")
    monkeypatch.setenv("REDIS_URL", "redis://10.0.0.7:6380/0")
    monkeypatch.setenv("DOCKER_HOST", "tcp://socket-proxy:2375")
    policy = policy_of(Settings())
    assert (policy.own_hosts, policy.own_ports) == (("store", "10.0.0.7", "socket-proxy"), (5432, 6380, 2375))


def test_a_socket_is_nobodys_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there that could be a target."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    policy = policy_of(Settings())
    assert (policy.own_hosts, policy.own_ports) == ((), ())
