import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from coordinator.errors import CoordinatorError, InvalidSettings
from coordinator.listeners import Address, Listeners


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two free ports on loopback."""
    opened = Listeners.open("127.0.0.1", 0, 0)
    yield opened
    opened.close()


def adopt(bind: str) -> socket.socket:
    """The socket behind `fd://N`, as a server takes it over."""
    return socket.socket(fileno=int(bind.removeprefix("fd://")))


def test_port_zero_is_any_free_port(listeners: Listeners) -> None:
    """With port 0 both get a real port, and not the same one."""
    assert listeners.http.port > 0
    assert listeners.grpc.port > 0
    assert listeners.http.port != listeners.grpc.port


def test_connections_wait_while_nobody_accepts(listeners: Listeners) -> None:
    """A client that connects between two incarnations is served by the second one."""
    first = adopt(listeners.http_bind())
    first.close()
    with closing(socket.create_connection((listeners.http.host, listeners.http.port), timeout=5)) as client:
        client.sendall(b"hello")
        second = adopt(listeners.http_bind())
        with closing(second):
            second.settimeout(5)
            served, _ = second.accept()
            with closing(served):
                assert served.recv(5) == b"hello"


def test_each_incarnation_gets_a_descriptor_of_its_own(listeners: Listeners) -> None:
    """Closing what was handed out leaves the process's own socket open."""
    descriptors = [adopt(listeners.http_bind()) for _ in range(3)]
    assert len({one.fileno() for one in descriptors}) == 3
    for one in descriptors:
        one.close()
    socket.create_connection((listeners.http.host, listeners.http.port), timeout=5).close()


def test_what_is_handed_out_is_not_inherited_by_commands(listeners: Listeners) -> None:
    """A docker command started meanwhile does not hold the port open."""
    with closing(adopt(listeners.http_bind())) as handed:
        assert not os.get_inheritable(handed.fileno())


@pytest.mark.parametrize("setting", ["HTTP_PORT", "GRPC_PORT"])
def test_a_taken_port_is_an_error_that_names_the_setting(setting: str) -> None:
    """Another program's port is refused with the setting, the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = {"HTTP_PORT": 0, "GRPC_PORT": 0} | {setting: taken}
        with pytest.raises(CoordinatorError, match=rf"^{setting}={taken}: another program .*choose another port$"):
            Listeners.open("127.0.0.1", ports["HTTP_PORT"], ports["GRPC_PORT"])


@pytest.mark.parametrize("serving", [False, True])
def test_two_coordinators_never_share_a_grpc_port(listeners: Listeners, serving: bool) -> None:
    """SO_REUSEPORT lets our own server in and no second coordinator, whether the first one serves or not."""
    server = socket.socket()
    with closing(server):
        if serving:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind((listeners.grpc.host, listeners.grpc.port))
            server.listen()
        with pytest.raises(CoordinatorError, match=r"^GRPC_PORT="):
            Listeners.open("127.0.0.1", 0, listeners.grpc.port)


def test_the_grpc_port_is_held_and_servable(listeners: Listeners) -> None:
    """A server of ours binds the held port with SO_REUSEPORT and gets every connection, again and again."""
    for _ in range(3):
        server = socket.socket()
        with closing(server):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind((listeners.grpc.host, listeners.grpc.port))
            server.listen()
            server.settimeout(5)
            socket.create_connection((listeners.grpc.host, listeners.grpc.port), timeout=5).close()
            server.accept()[0].close()


def test_ports_are_free_again_after_close() -> None:
    """A process started at once after this one gets the same ports."""
    first = Listeners.open("127.0.0.1", 0, 0)
    http, grpc = first.http.port, first.grpc.port
    client = socket.create_connection(("127.0.0.1", http), timeout=5)
    first.close()
    client.close()
    second = Listeners.open("127.0.0.1", http, grpc)
    assert (second.http.port, second.grpc.port) == (http, grpc)
    second.close()


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", r"^HOST=192\.0\.2\.1: not an address of this machine"),
        ("no-such-host.invalid", r"^HOST=no-such-host\.invalid: .*give an IP address of this machine$"),
        ("x" * 300, r"^HOST=x+: .*give an IP address of this machine$"),
    ],
)
def test_a_host_that_is_not_ours_is_told(host: str, told: str) -> None:
    """A foreign or unknown host is a wrong setting, HOST, and no error about a port."""
    with pytest.raises(InvalidSettings, match=told):
        Listeners.open(host, 0, 0)


@pytest.mark.parametrize("host", ["::1", "[::1]", "localhost", "0.0.0.0", "::"])
def test_hosts_of_both_families_are_bound(host: str) -> None:
    """IPv6 literals with and without brackets, names and wildcards can be reached at the address that is told."""
    listeners = Listeners.open(host, 0, 0)
    with closing(listeners):
        where, port = listeners.http.reachable.rsplit(":", 1)
        socket.create_connection((where.strip("[]"), int(port)), timeout=5).close()
        assert listeners.grpc.host == listeners.http.host


def test_addresses_are_written_as_urls_need_them() -> None:
    """IPv6 addresses stand in brackets."""
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"
    assert Address("::", 80).reachable == "[::1]:80"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_closed_server_leaves_the_socket_listening(listeners: Listeners) -> None:
    """An asyncio server closed on a duplicate does not take the process's own socket with it."""
    served = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.set()
        writer.close()
        await writer.wait_closed()

    for _ in range(2):
        served.clear()
        server = await asyncio.start_server(serve, sock=adopt(listeners.http_bind()))
        _, writer = await asyncio.open_connection(listeners.http.host, listeners.http.port)
        await asyncio.wait_for(served.wait(), 10)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
