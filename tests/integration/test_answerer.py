"""Spoiled answers of name servers, as the C library's resolver sees them: over UDP, over TCP, from Docker's own one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actors.docker.programs import queue_rules
from actors.docker.programs.traffic import traffic
from tests.integration.namespaces import GENEROUS_S, PROGRAMS, Namespace, add_target, pair, queues_natively, table
from tests.integration.sandbox import Sandbox, docker

RIGHT = "10.1.2.3"
WRONG = "192.0.2.77"
NO_SUCH_NAME, AGAIN = "-2", "-3"
"""EAI_NONAME and EAI_AGAIN, as the C library numbers them."""


class Container(Namespace):
    """A container's network namespace."""

    def argv(self, *argv: str) -> list[str]:
        """The command in there; `name` is the pid of its main process."""
        return ["nsenter", "-t", self.name, "-n", *argv]


@contextmanager
def spoiled(namespace: Namespace, **params: object) -> Iterator[subprocess.Popen[str]]:
    """A DNS fault that is on inside; gone at the end."""
    fault, who = uuid4().hex, traffic(None, "match")
    with namespace.start(sys.executable, "-I", "-S", str(PROGRAMS / "answerer.py")) as process:
        told = ask(process, None), ask(process, {"rules": [{"fault": fault, "slot": 2, "params": params}]})
        assert told == ({"ready": True, "queue": queue_rules.DNS_QUEUE}, {"rules": 1})
        native = queues_natively(namespace)
        chains = queue_rules.dns_chains(2, native=native)
        namespace.run("nft", "-f", "-", given=table("inet", fault, who, "from", chains, 600))
        try:
            if not native:
                add_target(namespace, f"tc_{fault}", queue_rules.DNS_QUEUE)
            yield process
        finally:
            namespace.run("nft", "delete", "table", "inet", f"tc_{fault}")
            process.communicate(timeout=GENEROUS_S)


def ask(process: subprocess.Popen[str], request: object) -> dict[str, Any]:
    """A line to it, where there is one, and the next line of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    if request is not None:
        process.stdin.write(json.dumps(request) + "\n")
    return dict(json.loads(process.stdout.readline()))


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Namespace, Namespace]]:
    """The target, and a peer that serves names over UDP and TCP; every name has the address RIGHT."""
    with pair() as (target, peer):
        folder = Path("/etc/netns") / target.name
        folder.mkdir(parents=True)
        try:
            with peer.start(sys.executable, "-c", SERVER, peer.ipv4) as server:
                assert server.stdout is not None
                assert server.stdout.readline() == "listening\n"
                yield target, peer
                server.communicate("\n", timeout=GENEROUS_S)
        finally:
            (folder / "resolv.conf").unlink(missing_ok=True)
            folder.rmdir()


@pytest.fixture(params=["udp", "tcp"])
def target(both: tuple[Namespace, Namespace], request: pytest.FixtureRequest) -> Namespace:
    """One whose resolver asks the peer, in either way."""
    target, peer = both
    options = "timeout:1 attempts:1" + (" use-vc" if request.param == "tcp" else "")
    text = f"nameserver {peer.ipv4}\noptions {options}\n"
    (Path("/etc/netns") / target.name / "resolv.conf").write_text(text, encoding="ascii")
    return target


def looked_up(namespace: Namespace, name: str) -> str:
    """The address the C library finds, or the number of its error."""
    return namespace.run(sys.executable, "-c", LOOK_UP, name).strip()


def test_names_do_not_exist(target: Namespace) -> None:
    """Those that are meant, and with a star what is inside of them; all others are found as before."""
    assert looked_up(target, "db.shop") == RIGHT
    with spoiled(target, mode="nxdomain", names=["db.shop", "*.web.shop"]) as process:
        assert looked_up(target, "db.shop") == NO_SUCH_NAME
        assert looked_up(target, "DB.shop") == NO_SUCH_NAME
        assert looked_up(target, "one.db.shop") == RIGHT
        assert looked_up(target, "one.web.shop") == NO_SUCH_NAME
        assert looked_up(target, "web.shop") == RIGHT
        assert looked_up(target, "mydb.shop") == RIGHT
        (counted,) = ask(process, {"counters": True})["counters"].values()
        assert counted["packets"] > counted["happened"] >= 3
    assert looked_up(target, "db.shop") == RIGHT


def test_names_have_another_address(target: Namespace) -> None:
    """The one that is given, and not the right one."""
    with spoiled(target, mode="wrong-answer", names=["db.shop"], ipv4=WRONG):
        assert looked_up(target, "db.shop") == WRONG
        assert looked_up(target, "web.shop") == RIGHT
    assert looked_up(target, "db.shop") == RIGHT


@pytest.mark.parametrize("target", ["udp"], indirect=True)
def test_names_time_out(target: Namespace) -> None:
    """After as long as the resolver waits, which is told to be a second; the others are answered at once."""
    with spoiled(target, mode="timeout", names=["db.shop"]):
        began = time.monotonic()
        assert looked_up(target, "db.shop") == AGAIN
        assert time.monotonic() - began >= 1
        assert looked_up(target, "web.shop") == RIGHT


@pytest.mark.parametrize("target", ["tcp"], indirect=True)
def test_over_tcp_the_answer_is_held_back(target: Namespace) -> None:
    """The resolver waits, and gets the right answer when the server repeats it after the fault."""
    with spoiled(target, mode="timeout", names=["db.shop"]) as process:
        waiting = target.start(sys.executable, "-c", LOOK_UP, "db.shop")
        until = time.monotonic() + GENEROUS_S
        while not sum(each["happened"] for each in ask(process, {"counters": True})["counters"].values()):
            assert time.monotonic() < until
        assert waiting.poll() is None
    out, _ = waiting.communicate(timeout=GENEROUS_S)
    assert out.strip() == RIGHT


def test_killed_it_fails_open(target: Namespace) -> None:
    """After SIGKILL names are right again, though the kernel's rules are still there."""
    with spoiled(target, mode="nxdomain", names=["*.shop"]) as process:
        assert looked_up(target, "db.shop") == NO_SUCH_NAME
        process.kill()
        process.wait(GENEROUS_S)
        assert looked_up(target, "db.shop") == RIGHT


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"mode": "x", "names": ["a"]}, "rules[0].params.mode: one of nxdomain, timeout, wrong-answer is due, not 'x'"),
        ({"mode": "timeout", "names": []}, "rules[0].params.names: at least one name is due, and no empty one"),
        ({"mode": "timeout", "names": ["."]}, "rules[0].params.names: at least one name is due, and no empty one"),
        ({"mode": "timeout", "names": ["a"], "ipv4": "1.2.3.4"}, "rules[0].params.ipv4: unknown field"),
        (
            {"mode": "wrong-answer", "names": ["a"], "ipv6": "1.2.3.4"},
            "rules[0].params.ipv6: an IPv6 address is due, not '1.2.3.4'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    both: tuple[Namespace, Namespace], params: dict[str, object], error: str
) -> None:
    """With the field's name, and the rules stay."""
    with spoiled(both[0], mode="timeout", names=["nowhere"]) as process:
        assert ask(process, {"rules": [{"fault": "a", "slot": 0, "params": params}]}) == {"error": error}
        assert len(ask(process, {"counters": True})["counters"]) == 1


def test_dockers_own_name_server_is_spoiled_too(containers: Sandbox) -> None:
    """Inside a container on a network of its own, by the name of a neighbour; Docker's rules stay as they are."""
    network = containers.network("names")
    client = containers.run("client", options=["--network", network])
    neighbour = containers.run("neighbour", options=["--network", network])
    inside = Container(client.look("{{.State.Pid}}"), "", "")
    own = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"

    def found(name: str) -> str:
        return docker("exec", client.id, "python3", "-c", LOOK_UP, name).strip()

    def tables() -> set[str]:
        return set(inside.run("nft", "list", "tables").splitlines())

    before = tables()
    assert found(neighbour.name) == neighbour.look(own)
    with spoiled(inside, mode="wrong-answer", names=[neighbour.name], ipv4=WRONG):
        assert found(neighbour.name) == WRONG
        assert found(client.name) == client.look(own)
    with spoiled(inside, mode="nxdomain", names=[neighbour.name]):
        assert found(neighbour.name) == NO_SUCH_NAME
    assert found(neighbour.name) == neighbour.look(own)
    assert tables() == before


LOOK_UP = """
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
except socket.gaierror as error:
    print(error.errno)
"""
# Every A question has one answer, every other none. The questions come with an OPT record at most, which is cut off.
SERVER = """
import socket, sys, threading
def answer(query):
    end = 12
    while query[end]:
        end += query[end] + 1
    end += 5
    found = query[end - 4:end - 2] == b"\\0\\1"
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + socket.inet_aton("10.1.2.3") if found else b""
    return query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([found]) + bytes(4) + query[12:end] + record
def over_udp():
    while True:
        query, client = udp.recvfrom(2048)
        udp.sendto(answer(query), client)
def over_tcp():
    while True:
        connection, _ = tcp.accept()
        with connection:
            while head := connection.recv(2, socket.MSG_WAITALL):
                reply = answer(connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
                connection.sendall(len(reply).to_bytes(2, "big") + reply)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((sys.argv[1], 53))
tcp = socket.create_server((sys.argv[1], 53))
for serve in (over_udp, over_tcp):
    threading.Thread(target=serve, daemon=True).start()
print("listening", flush=True)
input()
"""
