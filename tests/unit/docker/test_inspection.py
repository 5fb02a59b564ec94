from typing import Any

import pytest

from actors.docker.inspection import container_facts, engine_event
from coordinator.faults.facts import ContainerState, Mount, PublishedPort

ID = "0123456789abcdef" * 4


def inspected(**state: object) -> dict[str, Any]:
    """What inspect says of a container that was never started, but for its state."""
    never = "0001-01-01T00:00:00Z"
    return {
        "Id": ID,
        "Name": "/web",
        "RestartCount": 0,
        "State": {"Status": "created", "StartedAt": never, "FinishedAt": never, "ExitCode": 0, "Pid": 0} | state,
        "Config": {"Image": "busybox", "Labels": None},
        "HostConfig": {"NetworkMode": "default", "RestartPolicy": None},
        "NetworkSettings": {"Networks": None, "Ports": None},
    }


def test_a_container_that_never_ran_has_no_times() -> None:
    """Before its first start a container has neither times nor an exit code, and absent objects are empty."""
    facts = container_facts(inspected())

    assert (facts.name, facts.state, facts.started_at, facts.finished_at) == ("web", ContainerState.CREATED, "", "")
    assert (facts.exit_code, facts.labels, facts.networks, facts.ports, facts.restart_policy) == (None, {}, (), (), "")


def test_the_exit_code_is_that_of_an_ended_run() -> None:
    """A running container shows exit code 0 in inspect, which means nothing and is left out."""
    assert container_facts(inspected(Status="running", ExitCode=0)).exit_code is None
    assert container_facts(inspected(Status="exited", ExitCode=0)).exit_code == 0


def test_a_run_that_the_engine_lost_is_told_apart() -> None:
    """By the error that the engine keeps with it; the next start that succeeds empties it."""
    assert container_facts(inspected(Status="exited", ExitCode=255, Error="id already in use")).lost
    assert not container_facts(inspected(Status="exited", ExitCode=255, Error="")).lost
    assert not container_facts(inspected(Status="exited", ExitCode=255)).lost


def test_a_run_that_ended_for_want_of_memory_says_so() -> None:
    """While it is down: what is said of a run that goes on is about a process beside its first."""
    assert container_facts(inspected(Status="exited", ExitCode=137, OOMKilled=True)).out_of_memory
    assert not container_facts(inspected(Status="exited", ExitCode=137, OOMKilled=False)).out_of_memory
    assert not container_facts(inspected(Status="running", OOMKilled=True)).out_of_memory


@pytest.mark.parametrize(
    ("host", "limits"),
    [
        ({}, (0, 0)),
        ({"NanoCpus": 1_500_000_000, "Memory": 4096}, (1.5, 4096)),
        ({"NanoCpus": 0, "CpuQuota": 50_000, "CpuPeriod": 0}, (0.5, 0)),
        ({"CpuQuota": 50_000, "CpuPeriod": 25_000}, (2, 0)),
        ({"CpuQuota": -1, "Memory": -1}, (0, 0)),
    ],
)
def test_its_limits_are_those_the_engine_has_on_record(host: dict[str, int], limits: tuple[float, int]) -> None:
    """None is 0, however it is written."""
    told = inspected()
    told["HostConfig"] |= host
    facts = container_facts(told)
    assert (facts.cpus, facts.memory) == limits


def test_the_start_is_the_engines_own_text() -> None:
    """The start time keeps its nanoseconds, as it tells one run from the next."""
    facts = container_facts(inspected(Status="running", StartedAt="2026-01-01T00:00:00.123456789Z"))

    assert facts.started_at == "2026-01-01T00:00:00.123456789Z"


def test_its_files_are_found_where_the_engine_keeps_them() -> None:
    """Its layer, and what it has of volumes and of the machine's folders; what is in memory is nowhere."""
    assert (container_facts(inspected()).layer, container_facts(inspected()).mounts) == ("", ())
    raw = inspected()
    raw["GraphDriver"] = {"Name": "overlay2", "Data": {"UpperDir": "/l/diff"}}
    raw["Mounts"] = [
        {"Type": "tmpfs", "Source": "", "Destination": "/memory"},
        {"Type": "volume", "Name": "v", "Source": "/volumes/v/_data", "Destination": "/data"},
    ]
    facts = container_facts(raw)
    assert facts.layer == "/l/diff"
    assert facts.mounts == (Mount(path="/data", source="/volumes/v/_data"), Mount(path="/memory", in_memory=True))
    assert container_facts(raw | {"GraphDriver": None, "Mounts": None}).mounts == ()


def test_networks_keep_what_a_reconnect_needs() -> None:
    """Each network has its addresses and aliases, without the short id that the engine adds by itself."""
    raw = inspected(Status="running")
    network = {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "", "MacAddress": "02:42", "Aliases": ["api", ID[:12]]}
    raw["NetworkSettings"]["Networks"] = {"b": network, "a": {"IPAddress": "", "Aliases": None}}

    first, second = container_facts(raw).networks

    assert (first.name, first.aliases) == ("a", ())
    assert (second.name, second.ip, second.mac, second.aliases) == ("b", "172.18.0.2", "02:42", ("api",))
    assert container_facts(raw).address == "172.18.0.2"
    assert (second.wanted_ip, second.wanted_ipv6) == ("", "")


def test_an_address_that_was_asked_for_is_told_from_one_that_was_given() -> None:
    """Only what the container was told to have stands in the engine's own wish list."""
    raw = inspected(Status="running")
    wish = {"IPv4Address": "172.18.0.9", "IPv6Address": "fd00::9"}
    raw["NetworkSettings"]["Networks"] = {"a": {"IPAddress": "172.18.0.9", "IPAMConfig": wish}, "b": {"IPAMConfig": {}}}

    first, second = container_facts(raw).networks

    assert (first.wanted_ip, first.wanted_ipv6) == ("172.18.0.9", "fd00::9")
    assert (second.wanted_ip, second.wanted_ipv6) == ("", "")


def test_ports_are_told_published_or_exposed() -> None:
    """Each binding of a port is listed, and a port that is only exposed has no host port."""
    raw = inspected(Status="running")
    bindings = [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "8080"}]
    raw["NetworkSettings"]["Ports"] = {"80/tcp": bindings, "53/udp": None}

    assert container_facts(raw).ports == (
        PublishedPort(container_port=53, protocol="udp"),
        PublishedPort(container_port=80, host_ip="127.0.0.1", host_port=8080),
        PublishedPort(container_port=80, host_ip="::1", host_port=8080),
    )


@pytest.mark.parametrize(
    ("kind", "actor", "attributes", "container", "name"),
    [
        ("container", "c1", {"name": "web", "signal": "9", "exitCode": "137"}, "c1", "web"),
        ("network", "n1", {"name": "bridge", "container": "c1"}, "c1", "bridge"),
        ("network", "n1", None, "", ""),
    ],
)
def test_events_name_their_container(
    kind: str, actor: str, attributes: dict[str, str] | None, container: str, name: str
) -> None:
    """A container's event and a network's both name the container they are about."""
    raw = {"Type": kind, "Action": "x", "timeNano": 2_000_000_001, "Actor": {"ID": actor, "Attributes": attributes}}

    event = engine_event(raw)

    assert (event.container_id, event.name, event.at) == (container, name, 2.000000001)
    assert (event.signal, event.exit_code) == (("9", 137) if kind == "container" else ("", None))
