"""Hosts and URLs that a probe may be pointed at: any but link-local ones. Resolves no name."""

from __future__ import annotations

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


def _url(text: str) -> str:
    try:
        url = AnyUrl(text)
    except ValidationError:
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.host:
        message = "a URL like http://127.0.0.1:8000/health"
        raise ValueError(message)
    _not_link_local(url.host)
    return text


def _host(text: str) -> str:
    if not text or any(character in text for character in "/@% \t\n"):
        message = "a host name or an address, without scheme, port and zone"
        raise ValueError(message)
    _not_link_local(text)
    return text


Url = Annotated[str, AfterValidator(_url), Field(json_schema_extra={"pattern": "^https?://.+"})]
Host = Annotated[str, AfterValidator(_host)]
