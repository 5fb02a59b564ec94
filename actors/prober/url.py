"""URLs of http probes: taken apart, checked, joined. The standard library's parser with the rules a request needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

PORTS: Final = {"http": 80, "https": 443}
_KEPT: Final = "/%:@!$&'()*+,;=~-._?"
"""Characters of path and query that are sent as they are; `%` because the text may be quoted already."""


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL. `text` is what it was made from; `host` is as sent: lower case, IDNA, no brackets."""

    text: str
    scheme: str
    host: str
    port: int
    target: bytes
    user: str | None = None
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom credentials are for."""
        return self.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """Host with its port, unless that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def join(self, location: str) -> Url:
        """Where a redirect leads. Raises ValueError."""
        return parse_url(urljoin(self.text, location))


def parse_url(text: str) -> Url:
    """Take a URL apart. Raises ValueError, which says what is wrong with it."""
    parts = urlsplit(text)
    if parts.scheme not in PORTS:
        raise ValueError(f"{parts.scheme or 'no scheme'}: only http and https")
    if not parts.hostname:
        raise ValueError("no host in the URL")
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    target = quote(parts.path or "/", safe=_KEPT) + (f"?{quote(parts.query, safe=_KEPT)}" if parts.query else "")
    return Url(
        text=text,
        scheme=parts.scheme,
        host=host,
        port=PORTS[parts.scheme] if parts.port is None else parts.port,
        target=target.encode("ascii"),
        user=None if parts.username is None else unquote(parts.username),
        password=unquote(parts.password or ""),
    )
