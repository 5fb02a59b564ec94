"""Effects on the real engine as tools that are not ours see them, before, during and after: several at once in one
execution, each on a path of its own.
"""

from __future__ import annotations

import re
import sys

from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker
from tests.integration.test_impairment import inside
from tests.integration.test_limits import begun
from tests.integration.test_names_and_rates import whole
from tests.integration.test_stress import finish

PORTS = RESET, REFUSING, SILENT, OPEN = 8000, 8001, 8002, 8003
SERVER = "cd /srv; for port in 8000 8001 8002 8003; do python3 -m http.server $port & done; wait"
MARK = "/tmp/out-of-order"
CONNECT = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=1).close()
        print()
    except OSError as error:
        print(error.strerror or error)
"""
RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


def heard(source: Container, target: Container) -> list[str]:
    """What a plain socket is told at each of PORTS: nothing where it is let in."""
    return inside(source, sys.executable, "-c", CONNECT, target.address, *map(str, PORTS)).splitlines()


def resolved(container: Container, name: str) -> str:
    """The address that the C library inside finds, or how it says that there is none."""
    once = ("--env", "RES_OPTIONS=timeout:1 attempts:1")
    try:
        return docker("exec", *once, container.id, "python3", "-c", RESOLVE, name)
    except DockerFailed as error:
        return str(error).rpartition("] ")[2]


def written(container: Container) -> str:
    """What the file holds that the command makes; empty where there is none."""
    try:
        return docker("exec", container.id, "cat", MARK)
    except DockerFailed:
        return ""


def echoes(container: Container) -> int:
    """How many pings have come in, by the kernel's own count."""
    table = [line.split() for line in inside(container, "cat", "/proc/self/net/snmp").splitlines()]
    names, values = (line for line in table if line[0] == "Icmp:")
    return int(values[names.index("InEchos")])


def answered(source: Container, target: Container) -> tuple[bool, int]:
    """Whether a ping is answered, and how many of it have come in at the target."""
    before = echoes(target)
    told = inside(source, "ping", "-n", "-c", "1", "-W", "1", target.address)
    return re.search(" 0% packet loss", told) is not None, echoes(target) - before


def test_each_has_its_effect_and_no_other(served: Coordinator, containers: Sandbox) -> None:
    """Three ports of one container reset, refuse and are silent, a fourth answers; one name is not answered, another
    is; a command of the user's writes a file and removes it; a container is restarted. Then one way of a line is cut.
    """
    network = containers.network()
    first = containers.run("a", options=["--network", network])
    second = containers.run("b", options=["--network", network], command=["sh", "-c", SERVER])
    third = containers.run("c")
    eventually(lambda: heard(first, second) == [""] * 4, "the servers")
    before, began, address = (whole(first), whole(second)), third.started_at, second.address

    def untouched() -> None:
        assert heard(first, second) == [""] * 4
        assert (resolved(first, second.name), resolved(first, first.name)) == (address, first.address)
        assert written(first) == ""
        assert (answered(first, second), answered(second, first)) == ((True, 1), (True, 1))

    untouched()
    hole: dict[str, object] = {"type": "network_blackhole", "target": "b", "to": "a"}
    faults: list[dict[str, object]] = [
        {**hole, "ports": [RESET], "answer": "tcp-reset"},
        {**hole, "ports": [REFUSING], "answer": "unreachable"},
        {**hole, "ports": [SILENT]},
        {"type": "dns_failure", "target": "a", "names": [second.name], "mode": "timeout"},
        {
            "type": "exec",
            "target": "a",
            "command": ["sh", "-c", f"echo of-the-users >{MARK}"],
            "undo_command": ["rm", MARK],
        },
        {"type": "container_restart", "target": "c", "grace": "1s"},
    ]
    targets = {name: {"names": [one.name]} for name, one in zip("abc", (first, second, third), strict=True)}
    execution_id = begun(served, scenario(faults, names=[], targets=targets))
    assert heard(first, second) == ["Connection refused", "No route to host", "timed out", ""]
    assert "Temporary failure in name resolution" in resolved(first, second.name)
    assert resolved(first, first.name) == first.address
    assert written(first) == "of-the-users"
    assert third.status == "running"
    restarted = third.started_at
    assert restarted != began

    finish(served, execution_id)
    untouched()
    assert third.started_at == restarted
    assert (whole(first), whole(second)) == before

    one_way: dict[str, object] = {"type": "network_partition", "from": "a", "to": "b", "direction": "out"}
    execution_id = begun(served, scenario([one_way], names=[], targets=targets))
    assert answered(first, second) == (False, 0), "nothing comes in from there"
    assert answered(second, first) == (False, 1), "what is sent there comes in, and the answer is lost on its way back"
    finish(served, execution_id)
    assert (answered(first, second), answered(second, first)) == ((True, 1), (True, 1))
    assert (whole(first), whole(second)) == before
