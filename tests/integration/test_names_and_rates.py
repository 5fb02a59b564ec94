"""Names that fail and lines that are narrow on the real engine, through a coordinator: measured by nslookup
and curl, before, during and after.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.coordinator_process import Coordinator, eventually, kill, scenario
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.test_impairment import inside, network_of, played, undo

SERVER = 'python3 -c \'open("/tmp/big", "wb").truncate(1 << 26)\'; cd /tmp; exec python3 -m http.server 8000'
FAST = 100.0
PART_S = "2"


@pytest.fixture
def pair(containers: Sandbox) -> tuple[Container, Container]:
    """`a`, which asks, and `b`, which serves a large file; in one network of their own."""
    network = containers.network()
    first = containers.run("a", options=["--network", network])
    second = containers.run("b", options=["--network", network], command=["sh", "-c", SERVER])
    eventually(lambda: mbit(second) > 0, "the server")
    return first, second


def resolved(container: Container, name: str) -> str:
    """The address that nslookup finds inside; empty where it finds none."""
    found = re.search(rf"^Name:\s+{re.escape(name)}\nAddress(?: 1)?: (\S+)", nslookup(container, name), re.MULTILINE)
    return found[1] if found else ""


def nslookup(container: Container, name: str) -> str:
    """What a program says that asks the name server itself."""
    done = subprocess.run(["docker", "exec", container.id, "busybox", "nslookup", name], check=False,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout + done.stderr


def mbit(server: Container, *options: str, seconds: str = PART_S) -> float:
    """Mbit/s that curl gets of it from this machine in a while."""
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{speed_download} %{size_download}", "-m", seconds, *options,
            "--noproxy", "*", f"http://{server.address}:8000/big"]  # fmt: skip
    told = subprocess.run(argv, check=False, capture_output=True, text=True).stdout.split()
    return float(told[0]) * 8 / 1e6


def whole(container: Container) -> list[str]:
    """Everything in the kernel that these faults could have changed in a container's network."""
    looks = (("nft", "--stateless", "list", "ruleset"), ("tc", "qdisc", "show"), ("ip", "-o", "link"))
    return [inside(container, *look) for look in looks]


def test_names_of_dockers_own_server_fail_and_are_right_again(
    served: Coordinator, pair: tuple[Container, Container]
) -> None:
    """One neighbour does not exist, another name resolves; then it has another address; in the end it is right, and the
    namespace is as it was, byte for byte.
    """
    asker, neighbour = pair
    before = whole(asker)
    assert resolved(asker, neighbour.name) == neighbour.address
    execution_id = played(
        served, pair, {"type": "dns_failure", "target": "a", "names": [neighbour.name, "*.example.com"]}
    )
    assert resolved(asker, neighbour.name) == ""
    assert re.search("NXDOMAIN|can't (find|resolve)", nslookup(asker, neighbour.name))
    assert resolved(asker, asker.name) == asker.address
    assert resolved(neighbour, neighbour.name) == neighbour.address
    undo(served, execution_id, "dns_failure")
    assert resolved(asker, neighbour.name) == neighbour.address

    # It holds the target for as long as it plays.
    assert served.call("DELETE", f"/api/v1/executions/{execution_id}").status_code == 202
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "its end")

    wrong: dict[str, object] = {
        "type": "dns_failure",
        "target": "a",
        "names": ["*"],
        "mode": "wrong-answer",
        "ipv4": "192.0.2.77",
    }
    execution_id = served.submit(scenario([wrong], names=[], targets={"a": {"names": [asker.name]}}))
    eventually(lambda: resolved(asker, neighbour.name) == "192.0.2.77", "the wrong address")
    undo(served, execution_id, "dns_failure")
    assert resolved(asker, neighbour.name) == neighbour.address
    assert neighbour.address in nslookup(asker, neighbour.name)
    eventually(lambda: whole(asker) == before, "the namespace from before")


def test_names_are_right_with_everything_of_ours_dead(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """SIGKILL of coordinator, warden and whoever keeps the namespace: names resolve, with nothing started again."""
    asker, neighbour = pair
    played(served, pair, {"type": "dns_failure", "target": "a", "names": [neighbour.name]})
    assert resolved(asker, neighbour.name) == ""
    helpers = ours_in(asker, "netns.py") + ours_in(asker, "answerer.py")
    served.kill()
    for pid in helpers:
        kill(pid)
    eventually(lambda: resolved(asker, neighbour.name) == neighbour.address, "the right address")


def test_the_line_is_narrow_and_wide_again(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """Curl from beside the target: fast, limited, fast; the namespace is as it was, byte for byte."""
    before = whole(pair[1])
    assert mbit(pair[1]) > FAST
    execution_id = played(served, pair, {"type": "network_bandwidth", "target": "b", "rate": "8mbit"})
    assert 4 < mbit(pair[1]) < 9.5
    undo(served, execution_id, "network_bandwidth")
    assert mbit(pair[1]) > FAST
    eventually(lambda: whole(pair[1]) == before, "the namespace from before")


def test_a_limit_follows_its_peer(served: Coordinator, pair: tuple[Container, Container], containers: Sandbox) -> None:
    """About one neighbour alone, who comes back with another address; others, and this machine, are not slow."""
    asker, server = pair
    network = asker.look("{{.HostConfig.NetworkMode}}")
    played(served, pair, {"type": "network_bandwidth", "target": "b", "rate": "4mbit", "to": "a"})

    def fetched() -> float:
        told = docker("exec", asker.id, "python3", "-c", FETCH, server.address)
        return float(told)

    old = asker.address
    assert fetched() < 6
    assert mbit(server) > FAST
    docker("stop", "--time", "0", asker.id)
    containers.run("in-its-place", options=["--network", network])
    docker("start", asker.id)
    assert asker.address != old
    eventually(lambda: fetched() < 6, "the limit for the new address")


def test_the_limit_ends_with_everything_of_ours_dead(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """After the lease what is left is inert; the next start takes it out without a trace."""
    before = whole(pair[1])
    played(served, pair, {"type": "network_bandwidth", "target": "b", "rate": "4mbit"})
    assert mbit(pair[1]) < 6
    helpers = ours_in(pair[1], "netns.py")
    assert helpers
    for pid in helpers:
        os.kill(pid, signal.SIGSTOP)
    served.kill()
    for pid in helpers:
        kill(pid)
    eventually(lambda: mbit(pair[1], seconds="0.5") > FAST, "the end of the lease")
    assert "tcifb0" in inside(pair[1], "ip", "-o", "link")
    served.start()
    eventually(lambda: whole(pair[1]) == before, "the namespace from before")


def test_losses_come_in_bursts(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """A fifth of the packets, five in a row: far longer runs than chance alone would give."""
    states = {"p": "5%", "r": "20%"}
    played(served, pair, {"type": "network_loss", "target": "b", "gilbert_elliott": states})
    sent = 1000
    told = inside(pair[0], "ping", "-n", "-i", "0.004", "-c", str(sent), "-W", "1", pair[1].address)
    there = {int(each) for each in re.findall(r"icmp_seq=(\d+) ", told)}
    lost = [number for number in range(1, sent + 1) if number not in there]
    runs = sum(number - 1 not in lost for number in lost)
    assert 0.08 < len(lost) / sent < 0.36
    # By chance alone 1.25.
    assert len(lost) / runs > 2.5


def test_a_stopped_emulator_is_on_the_timeline(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """That the fault was not played for a while, and that it is again."""
    execution_id = played(served, pair, {"type": "network_latency", "target": "b", "latency": "50ms"})
    (emulator,) = ours_in(pair[1], "emulator.py")
    os.kill(emulator, signal.SIGSTOP)

    def told() -> dict[str, str]:
        return {each["event"]: each["text"] for each in served.execution(execution_id)["timeline"]}

    eventually(lambda: "fault_reapplied" in told(), "the emulator's return")
    assert "did not answer" in told()["fault_interrupted"]
    assert told()["fault_reapplied"] == "the emulator was started anew"


def ours_in(container: Container, program: str) -> list[int]:
    """Ids of one of our programs in a container's network namespace."""
    namespace = network_of(container.look("{{.State.Pid}}"))
    listed = subprocess.run(["pgrep", "-f", program], check=False, capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in listed if Path(f"/proc/{pid}").exists() and network_of(pid) == namespace]


FETCH = """
import sys, time, urllib.request
began, got = time.monotonic(), 0
with urllib.request.urlopen(f"http://{sys.argv[1]}:8000/big", timeout=20) as answer:
    while time.monotonic() - began < 2 and (part := answer.read1(1 << 16)):
        got += len(part)
print(got * 8 / 1e6 / (time.monotonic() - began))
"""
