"""One HTTP request on a fresh connection, and what its answer says. Knows no proxy, no cookie and no environment: what
a probe sends is what its scenario says.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import httpcore

from actors.prober.connect import CheckedBackend
from actors.prober.failures import shortened, wrong_answer
from actors.prober.secret_texts import SecretSource, revealed
from actors.prober.url import Url, parse_url
from coordinator.record import Reading
from coordinator.scenarios.probes import HttpExpect, HttpProbe
from coordinator.secret_text import SecretRef

MAX_BODY: Final = 1 << 20
"""Bytes of an answer that are read; what comes after is not looked at."""

MAX_REDIRECTS: Final = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_BACKEND = CheckedBackend()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `complete` is False when the body went on after MAX_BODY bytes."""

    status: int
    body: bytes
    complete: bool
    location: str | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request on its way, with secrets resolved: never shown, never kept."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} …)"


async def look(probe: HttpProbe, url: str, secrets: SecretSource, tls: Callable[[], ssl.SSLContext]) -> Reading:
    """Ask once. The latency is from the start of the look, name and connection included, to the end of the body.

    Raises what httpcore raises, OSError, ValueError, LinkLocalAddress, MissingSecret.
    """
    request = request_of(probe, parse_url(url), secrets)
    private = {name for name, value in probe.headers.items() if isinstance(value, SecretRef)}
    began = anyio.current_time()
    answer = await fetch(request, tls)
    if probe.follow_redirects:
        for _ in range(MAX_REDIRECTS):
            following = redirected(request, answer, private)
            if following is None:
                break
            request = following
            answer = await fetch(request, tls)
    return judged(probe, answer, anyio.current_time() - began)


def request_of(probe: HttpProbe, url: Url, secrets: SecretSource) -> HttpRequest:
    """The request of a probe. Raises MissingSecret."""
    headers = {
        "User-Agent": "test-coordinator",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if url.user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{url.user}:{url.password}".encode()).decode()
    given = {name: revealed(value, secrets) for name, value in probe.headers.items()}
    names = {name.lower() for name in given}
    return HttpRequest(
        method=probe.method,
        url=url,
        headers=(*((n, v) for n, v in headers.items() if n.lower() not in names), *given.items()),
        body=None if probe.body is None else probe.body.encode(),
    )


def redirected(request: HttpRequest, answer: Answer, private: set[str]) -> HttpRequest | None:
    """The request a redirect asks for, or None when it is none. Credentials stay with the origin they are for."""
    if answer.status not in _REDIRECTS or answer.location is None:
        return None
    url = request.url.join(answer.location)
    headers, method, body = request.headers, request.method, request.body
    if url.origin != request.url.origin:
        dropped = _CREDENTIALS | {name.lower() for name in (*private, "host")}
        headers = tuple((name, value) for name, value in headers if name.lower() not in dropped)
    if answer.status == HTTPStatus.SEE_OTHER or (answer.status in {301, 302} and method == "POST"):
        method, body = ("HEAD" if method == "HEAD" else "GET"), None
    return HttpRequest(method=method, url=url, headers=headers, body=body)


async def fetch(request: HttpRequest, tls: Callable[[], ssl.SSLContext]) -> Answer:
    """Send it on a connection of its own: a server that died a moment ago must not hide behind a kept one."""
    url, headers = request.url, list(request.headers)
    if all(name.lower() != "host" for name, _ in headers):
        headers.insert(0, ("Host", url.host_header))
    if request.body is not None:
        headers.append(("Content-Length", str(len(request.body))))
    target = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
    connection = httpcore.AsyncHTTPConnection(
        target.origin, ssl_context=tls() if url.scheme == "https" else None, network_backend=_BACKEND
    )
    async with (
        connection,
        connection.stream(
            request.method,
            target,
            headers=[(name.encode(), value.encode()) for name, value in headers],
            content=request.body,
        ) as response,
    ):
        body = bytearray()
        try:
            async for part in response.aiter_stream():
                body += part
                if len(body) > MAX_BODY:
                    # Ends the stream from below: httpcore's nested generators, left half-way, stay open.
                    await connection.aclose()
        except httpcore.ReadError:
            if len(body) <= MAX_BODY:
                raise
        location = next(
            (value.decode("latin-1") for name, value in response.headers if name.lower() == b"location"), None
        )
        return Answer(response.status, bytes(body[:MAX_BODY]), len(body) <= MAX_BODY, location)


def judged(probe: HttpProbe, answer: Answer, latency_s: float) -> Reading:
    """The reading of an answer: its status, then its text, then the value the probe asks for."""
    value: float | str | None = float(answer.status) if probe.json_path is None else None
    if not status_fits(probe.expect, answer.status):
        return wrong_answer(
            f"status {answer.status}, expected {_expected(probe.expect)}", latency_s=latency_s, value=value
        )
    wanted = probe.expect.body_contains
    if wanted is not None and wanted.encode() not in answer.body:
        return wrong_answer(f"{wanted!r} is not in the body", latency_s=latency_s, value=value)
    if probe.json_path is not None:
        if not answer.complete:
            return wrong_answer(f"a body above {MAX_BODY} bytes, too long to read JSON from", latency_s=latency_s)
        try:
            value = json_value(json.loads(answer.body), probe.json_path)
        except (LookupError, ValueError) as error:
            return wrong_answer(f"nothing at {probe.json_path!r} of the body: {error}", latency_s=latency_s)
    return Reading(ok=True, latency_s=latency_s, value=value)


def status_fits(expect: HttpExpect, status: int) -> bool:
    """Whether the status is one of the expected; without any, 2xx are."""
    if expect.status is None:
        return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    return status in (expect.status if isinstance(expect.status, tuple) else (expect.status,))


def _expected(expect: HttpExpect) -> str:
    if expect.status is None:
        return "2xx"
    return " or ".join(map(str, expect.status)) if isinstance(expect.status, tuple) else str(expect.status)


def json_value(document: object, path: str) -> float | str:
    """What stands at `a.b.0`: keys of objects and places in lists. Numbers stay numbers, all else becomes text.

    Raises LookupError when there is nothing.
    """
    at = document
    for step in path.split("."):
        if isinstance(at, dict) and step in at:
            at = at[step]
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            raise LookupError(f"no {step!r} there")
    if isinstance(at, int | float) and not isinstance(at, bool):
        return float(at)
    return shortened(at if isinstance(at, str) else json.dumps(at))
