"""Addresses and networks as a person writes them, read once and written in the usual form. Resolves no name."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator

_ZONE: Final = "%"


def _read(kind: Callable[[str], object], allowed: str) -> AfterValidator:
    """Reads a text as this kind. A zone (fe80::1%eth0) names an interface of this machine: nobody else knows it."""

    def read(text: str) -> str:
        try:
            if _ZONE not in text:
                return str(kind(text))
        except ValueError:
            pass
        raise ValueError(allowed)

    return AfterValidator(read)


def _network(text: str) -> object:
    """An address, or a network, whose bits behind its length do not matter. IPv4 within IPv6 is IPv4 on the wire."""
    if "/" not in text:
        found = ipaddress.ip_address(text)
        return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
    return ipaddress.ip_network(text, strict=False)


Ipv4 = Annotated[str, _read(ipaddress.IPv4Address, "an IPv4 address like 192.0.2.1")]
Ipv6 = Annotated[str, _read(ipaddress.IPv6Address, "an IPv6 address like 2001:db8::1, without a zone")]
Network = Annotated[str, _read(_network, "an address like 192.0.2.1 or a network like 192.0.2.0/24 or 2001:db8::/64")]
