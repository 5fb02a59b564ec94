"""Who may ask at all: Host, Origin, token and kind of body, judged from a request's head alone. Knows no route's work.

The Host check stops DNS rebinding, the Origin check other sites' pages, the token everybody else.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pydantic import SecretStr
from quart import Response
from werkzeug.datastructures import Headers

from actors.http_api.problems import RequestRejected

MAX_BODY_BYTES: Final = 1024 * 1024
OPEN_PATHS: Final = frozenset(
    {"/", "/metrics", "/api/v1/health", "/api/v1/ready", "/api/v1/docs", "/api/v1/docs/style.css"}
)
"""Answered without the token."""
OPEN_PREFIX: Final = "/static/"
"""The dashboard's own files, which hold nothing of this coordinator, are as open."""
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?")
_SECURITY: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Head:
    """What is judged of a request."""

    path: str
    headers: Headers


class Guard:
    """Turns requests away. The token is compared in constant time and shown nowhere."""

    def __init__(self, token: SecretStr, allowed_hosts: Collection[str] = ()) -> None:
        """Raises ValueError for an empty token: it would let everybody in."""
        if not token.get_secret_value():
            message = "the API token is empty; set API_TOKEN or let one be made"
            raise ValueError(message)
        self._token = token.get_secret_value().encode()
        self._hosts = frozenset(host.lower() for host in allowed_hosts) | {"localhost"}

    def check(self, head: Head) -> None:
        """Raises RequestRejected: 421, 403, 401, 415 or 413, in this order."""
        self._check_host(head.headers)
        _check_origin(head.headers)
        if head.path not in OPEN_PATHS and not head.path.startswith(OPEN_PREFIX):
            self._check_token(head.headers)
        _check_body(head.headers)

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("Host")
        if not hosts or not all(self._is_ours(host) for host in hosts):
            raise RequestRejected(
                HTTPStatus.MISDIRECTED_REQUEST,
                "the Host header must be an IP address, localhost or a name in ALLOWED_HOSTS",
            )

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        return name in self._hosts or _is_address(name)

    def _check_token(self, headers: Headers) -> None:
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized("send the token as `Authorization: Bearer …`", 'Bearer realm="test-coordinator"')
        if not hmac.compare_digest(given.strip().encode(), self._token):
            raise _unauthorized("this is not the token", 'Bearer realm="test-coordinator", error="invalid_token"')


def secured(response: Response) -> Response:
    """The response with the headers that keep browsers from doing more with it than show it; a stricter one stays."""
    for name, value in _SECURITY.items():
        response.headers.setdefault(name, value)
    return response


def is_json(headers: Headers) -> bool:
    """Whether the body is said to be JSON."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


def not_json() -> RequestRejected:
    """415."""
    return RequestRejected(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON, sent with `Content-Type: application/json`"
    )


def _check_origin(headers: Headers) -> None:
    # A page of ours names as its origin the host it asks; anything else is another site's, `null` included.
    own = {f"{scheme}://{host.lower()}" for scheme in ("http", "https") for host in headers.getlist("Host")}
    if any(origin.lower() not in own for origin in headers.getlist("Origin")):
        raise RequestRejected(HTTPStatus.FORBIDDEN, "pages of other origins may not use this API")


def has_body(headers: Headers) -> bool:
    """Whether the head announces a body."""
    return headers.get("Content-Length", "0").strip() != "0" or "Transfer-Encoding" in headers


def _check_body(headers: Headers) -> None:
    if not has_body(headers):
        return
    if not is_json(headers):
        raise not_json()
    length = headers.get("Content-Length", "0").strip()
    if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES:
        raise RequestRejected(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {length} bytes; at most {MAX_BODY_BYTES} are taken"
        )


def _unauthorized(detail: str, challenge: str) -> RequestRejected:
    return RequestRejected(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
