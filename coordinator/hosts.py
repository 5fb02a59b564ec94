"""Hosts and URLs that a probe may be pointed at: any but link-local ones. Resolves no name."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from pydantic import AfterValidator, AnyUrl, Field, ValidationError


def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address a host is, in any spelling (hexadecimal, one number, IPv4 within IPv6); None for a name."""
    plain = host.strip("[]").partition("%")[0]
    try:
        # The URL parser knows the odd spellings of IPv4 that resolvers accept.
        normal = AnyUrl(f"http://[{plain}]/" if ":" in plain else f"http://{plain}/").host or ""
        found = ip_address(normal.strip("[]"))
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _not_link_local(host: str) -> None:
    """Cloud metadata services live at link-local addresses: no probe may be pointed there."""
    address = ip_of(host)
    if address is not None and address.is_link_local:
        message = "any address but link-local ones (169.254.0.0/16, fe80::/10)"
        raise ValueError(message)


def is_loopback(host: str) -> bool:
    """Whether it is the machine's own address or name."""
    plain = host.lower().rstrip(".")
    address = ip_of(plain)
    if address is None:
        return plain == "localhost" or plain.endswith(".localhost")
    return address.is_loopback or address == ip_address("0.0.0.0")  # noqa: S104  # compared with, not listened on


def host_of(url: str) -> str | None:
    """The host of a URL; None where it has none, or is no URL."""
    try:
        return AnyUrl(url).host
    except ValidationError:
        return None


def _url_of(example: str, *schemes: str) -> Callable[[str], str]:
    """A check that a text is a URL of one of these schemes to a host."""

    def check(text: str) -> str:
        host = host_of(text)
        if not host or text.partition("://")[0].lower() not in schemes:
            message = f"a URL like {example}"
            raise ValueError(message)
        _not_link_local(host)
        return text

    return check


def _host(text: str) -> str:
    if not text or any(character in text for character in "/@% \t\n"):
        message = "a host name or an address, without scheme, port and zone"
        raise ValueError(message)
    _not_link_local(text)
    return text


Url = Annotated[
    str,
    AfterValidator(_url_of("http://127.0.0.1:8000/health", "http", "https")),
    Field(json_schema_extra={"pattern": "^https?://.+"}),
]
PostgresUrl = Annotated[
    str,
    AfterValidator(_url_of("postgresql://user@db:5432/shop", "postgresql", "postgres")),
    Field(json_schema_extra={"pattern": "^postgres(ql)?://.+"}),
]
RedisUrl = Annotated[
    str,
    AfterValidator(_url_of("redis://cache:6379/0", "redis", "rediss")),
    Field(json_schema_extra={"pattern": "^rediss?://.+"}),
]
Host = Annotated[str, AfterValidator(_host)]
