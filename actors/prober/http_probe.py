"""One HTTP request on a fresh connection, and what its answer says. Knows no proxy, no cookie and no environment: what
a probe sends is what its scenario says.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import h11
from anyio.abc import ByteStream

from actors.prober.connect import opened
from actors.prober.failures import shortened, wrong_answer
from actors.prober.secret_texts import SecretSource, revealed
from actors.prober.url import Url, parse_url
from coordinator.record import Reading
from coordinator.scenarios.probes import HttpExpect, HttpProbe
from coordinator.secret_text import SecretRef

MAX_BODY: Final = 1 << 20
"""Bytes of an answer that are read; what comes after is not looked at."""

MAX_HEAD: Final = 100 * 1024
"""Bytes of an answer's status and headers; a longer head is no answer."""

MAX_REDIRECTS: Final = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


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

    Raises h11's errors, OSError, ValueError, LinkLocalAddress, MissingSecret.
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
    """Send it on a connection of its own: a server that died a moment ago must not hide behind a kept one.

    Raises OSError, SSLError, LinkLocalAddress, and h11's errors of protocol.
    """
    url, headers = request.url, list(request.headers)
    if all(name.lower() != "host" for name, _ in headers):
        headers.insert(0, ("Host", url.host_header))
    if request.body is not None:
        headers.append(("Content-Length", str(len(request.body))))
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    sent = http.send(h11.Request(method=request.method, target=url.target, headers=pairs)) or b""
    sent += http.send(h11.Data(data=request.body or b"")) or b""
    sent += http.send(h11.EndOfMessage()) or b""
    stream = await opened(url.host, url.port, tls if url.scheme == "https" else None)
    try:
        # Whoever refuses a body may have answered and closed before all of it was sent.
        with suppress(BrokenPipeError, ConnectionResetError, anyio.BrokenResourceError):
            await stream.send(sent)
        return await _answer(http, stream)
    finally:
        await anyio.aclose_forcefully(stream)


async def _answer(http: h11.Connection, stream: ByteStream) -> Answer:
    """Read as much as is looked at."""
    head: h11.Response | None = None
    body = bytearray()
    while len(body) <= MAX_BODY:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await _received(stream, answered=head is not None))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            break  # the end of the answer, or of HTTP on this connection
    if head is None:
        raise h11.RemoteProtocolError("the server changed to another protocol")
    location = next((value.decode("latin-1") for name, value in head.headers if name == b"location"), None)
    return Answer(head.status_code, bytes(body[:MAX_BODY]), len(body) <= MAX_BODY, location)


async def _received(stream: ByteStream, *, answered: bool) -> bytes:
    """What came next; empty at the end."""
    try:
        return await stream.receive()
    except anyio.EndOfStream:
        if not answered:
            raise h11.RemoteProtocolError("the server closed the connection without an answer") from None
        return b""


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
