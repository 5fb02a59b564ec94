"""The sockets that outlive the actors that serve on them, so that a restart refuses no connection and keeps its port.
Knows nothing of HTTP and gRPC: it hands out a listening socket, and holds a port.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from coordinator.errors import CoordinatorError, InvalidSettings

BACKLOG: Final = 1024
"""Connections that wait while nobody accepts; the kernel's own limit (somaxconn) may be lower."""


TAKEN_WITHIN_MS: Final = 30_000
"""How long a client may take nothing of what was sent to it before its connection is given up."""
SILENT_FOR_S: Final = 60
"""After so long without a word a client is asked whether it is there: three times, 10 s apart."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is bound: an IP address and a port that is never 0."""

    host: str
    port: int

    def __str__(self) -> str:
        """`127.0.0.1:8080`, `[::1]:8080`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable(self) -> str:
        """As `str`, but a wildcard address becomes the loopback one, which a client on this machine can use."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
        return str(Address(loopback.get(self.host, self.host), self.port))


class Listeners:
    """The process's two ports, bound once by `open`. Close it after the actors have stopped."""

    def __init__(self, http: socket.socket, grpc: socket.socket) -> None:
        """Take over a listening socket for HTTP and a bound one that fixes the port of gRPC."""
        self._http = http
        self._grpc = grpc

    @classmethod
    def open(cls, host: str, http_port: int, grpc_port: int) -> Listeners:
        """Bind both ports on `host`, an IP address or a name of this machine; port 0 takes any free one.

        Raises CoordinatorError, naming the setting, when a port is taken; InvalidSettings when the host is not this
        machine's or the port is not for this user.
        """
        http = _bind(host, http_port, "HTTP_PORT")
        try:
            # The address HTTP got, not the name: both then agree where a name has several addresses.
            grpc = _bind(_host_of(http), grpc_port, "GRPC_PORT")
        except CoordinatorError:
            http.close()
            raise
        try:
            _give_up_the_dead(http)
            http.listen(BACKLOG)
        except OSError as error:  # two that bind at once: the first to listen has the port
            http.close()
            grpc.close()
            raise _refused(host, http_port, "HTTP_PORT", error) from error
        # Set after binding: a socket that binds with SO_REUSEPORT would share the port with another coordinator.
        # Without SO_REUSEADDR a later one is refused although nobody listens here.
        grpc.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        grpc.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return cls(http, grpc)

    @property
    def http(self) -> Address:
        """Where HTTP is served."""
        return _address(self._http)

    @property
    def grpc(self) -> Address:
        """Where gRPC is served; a server binds it with SO_REUSEPORT."""
        return _address(self._grpc)

    def http_bind(self) -> str:
        """A duplicate of the listening socket as `fd://N`; whoever gets it closes it."""
        return f"fd://{os.dup(self._http.fileno())}"

    def close(self) -> None:
        """Give both ports back. Connections that nobody accepted are refused."""
        self._http.close()
        self._grpc.close()


def _bind(host: str, port: int, setting: str) -> socket.socket:
    """The first of the host's addresses that can be bound."""
    failure: OSError | None = None
    for family, address in _addresses(host, port):
        try:
            return _bound(family, address)
        except OSError as error:
            failure = error
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                break  # another address of the same name would hide the conflict
    raise _refused(host, port, setting, failure) from failure


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier process that linger in TIME_WAIT do not hold the port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):  # some systems fix this; then IPv6 alone is served
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _give_up_the_dead(listening: socket.socket) -> None:
    """Have the kernel end connections whose peer is gone or takes nothing; accepted ones inherit what is set here.

    Otherwise a client that never reads holds its connection, and what waits to be sent, for ever.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_USER_TIMEOUT": TAKEN_WITHIN_MS, "TCP_KEEPIDLE": SILENT_FOR_S, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3,
    }  # fmt: skip
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:  # not every system has each
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


def _addresses(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, tuple[str, int]]]:
    literal = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(literal, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise InvalidSettings(
            f"HOST={host}: {getattr(error, 'strerror', None) or 'not a host name'}; give an IP address of this machine"
        ) from error
    for family, _, _, _, address in found:
        if family in {socket.AF_INET, socket.AF_INET6}:
            yield family, (str(address[0]), port)


def _refused(host: str, port: int, setting: str, failure: OSError | None) -> CoordinatorError:
    """A port in use may be free tomorrow; what no waiting mends is a wrong setting."""
    match failure and failure.errno:
        case errno.EADDRINUSE:
            return CoordinatorError(
                f"{setting}={port}: another program already uses this port on {host}; stop it or choose another port"
            )
        case errno.EACCES:
            return InvalidSettings(f"{setting}={port}: this user may not use this port; choose one above 1023")
        case errno.EADDRNOTAVAIL:
            return InvalidSettings(f"HOST={host}: not an address of this machine; use one that is, or 127.0.0.1")
        case _:
            why = failure or "the host has no IP address"
            return CoordinatorError(f"{setting}={port}: cannot be bound on {host}: {why}")


def _host_of(bound: socket.socket) -> str:
    return str(bound.getsockname()[0])


def _address(bound: socket.socket) -> Address:
    host, port = bound.getsockname()[:2]
    with suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    return Address(str(host), int(port))
