import socket

import anyio
import pytest

from actors.prober.connect import LinkLocalAddress, allowed_addresses, first_answering, first_of
from tests.unit.prober.scene import serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "fe80::1",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        # What the resolver understands as 169.254.169.254.
        "2852039166",
        "0xa9.0xfe.0xa9.0xfe",
    ],
)
async def test_link_local_is_refused_however_it_is_written(host: str) -> None:
    """A link-local address is refused as a literal, wrapped in IPv6, and as what a name resolves to."""
    with pytest.raises(LinkLocalAddress, match="link-local"):
        await allowed_addresses(host, 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.1.2.3", "172.17.0.2"])
async def test_other_addresses_are_allowed(host: str) -> None:
    """Loopback and private addresses are where what is probed lives."""
    assert await allowed_addresses(host, 80) == [host]


async def test_a_name_without_an_address_is_an_unknown_name() -> None:
    """A name that does not resolve raises the resolver's own error."""
    with pytest.raises(socket.gaierror):
        await allowed_addresses("no-such-host.invalid", 80)


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    """A name with several addresses is reached over the one that answers, within the time that is left."""
    tried: list[str] = []
    hung = anyio.Event()

    async def attempt(address: str) -> str:
        tried.append(address)
        if len(tried) == 1:
            await hung.wait()
        return address

    with anyio.fail_after(2):
        assert await first_of(["10.0.0.1", "10.0.0.2"], attempt) == "10.0.0.2"
    assert tried == ["10.0.0.1", "10.0.0.2"]


async def test_the_last_error_is_the_one_raised() -> None:
    """When no address answers, the last attempt's error comes out."""

    async def attempt(address: str) -> None:
        raise ConnectionRefusedError(address)

    with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.2"):
        await first_of(["10.0.0.1", "10.0.0.2"], attempt)


async def test_localhost_reaches_a_server_on_ipv4_alone() -> None:
    """A name that stands for both families reaches a server on one of them."""
    async with serving(lambda _: b"") as server:
        stream = await first_answering("localhost", server.port, lambda a: anyio.connect_tcp(a, server.port))
        await stream.aclose()
