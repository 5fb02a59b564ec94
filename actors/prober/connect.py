"""Opens TCP connections for probes, and never to a link-local address: neither written, nor by name, nor by redirect.
Knows no HTTP.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
from anyio.abc import ByteStream

from actors.prober.sockets import Plain, connected, encrypted
from coordinator.errors import CoordinatorError

T = TypeVar("T")


class LinkLocalAddress(CoordinatorError):
    """A probe would go to 169.254.0.0/16 or fe80::/10, where clouds keep the credentials of their machines."""


async def first_answering(host: str, port: int, attempt: Callable[[str], Awaitable[T]]) -> T:
    """Resolve `host` and try its addresses in the resolver's order; what is checked is what is connected to.

    Raises LinkLocalAddress, gaierror, and what the last attempt raised.
    """
    return await first_of(await allowed_addresses(host, port), attempt)


async def first_of(addresses: Sequence[str], attempt: Callable[[str], Awaitable[T]]) -> T:
    """The first attempt that succeeds; each has an even share of the time the caller's scope leaves."""
    for left, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
        try:
            with anyio.fail_after((anyio.current_effective_deadline() - anyio.current_time()) / left):
                return await attempt(address)
        except OSError:
            continue
    return await attempt(addresses[-1])


async def allowed_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises LinkLocalAddress if any of them is link-local, gaierror if there is none."""
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses:
        if _is_link_local(address):
            shown = address if address == host else f"{host} is {address}, and that"
            raise LinkLocalAddress(f"{shown} is a link-local address: probes do not go there")
    return addresses


def _is_link_local(address: str) -> bool:
    """Whether it is link-local, also when an IPv4 address is wrapped in an IPv6 one."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        return parsed.is_link_local or (inner is not None and inner.is_link_local)
    return parsed.is_link_local


async def opened(host: str, port: int, tls: Callable[[], ssl.SSLContext] | None = None) -> ByteStream:
    """A connection to the first of a host's addresses that answers, encrypted if certificates are given to go by.

    Raises as `first_answering`, and SSLError.
    """

    async def attempt(address: str) -> socket.socket:
        return await connected(address, port)

    plain = Plain(await first_answering(host, port, attempt))
    return plain if tls is None else await encrypted(plain, host, tls())


async def listening(host: str, port: int, tls: Callable[[], ssl.SSLContext] | None = None) -> str:
    """The first of a host's addresses that takes a connection, which is closed at once, and shakes hands.

    For libraries that connect by themselves and tell nobody why they could not. Raises as `opened`.
    """

    async def attempt(address: str) -> str:
        plain = Plain(await connected(address, port))
        await anyio.aclose_forcefully(plain if tls is None else await encrypted(plain, host, tls()))
        return address

    return await first_answering(host, port, attempt)
