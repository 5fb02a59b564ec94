"""Sends the requests of a service's own chaos API, as the prober sends its own: never to a link-local address, knowing
no proxy and no environment. Judges an answer by its status alone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import anyio
import anyio.to_thread
import h11

from actors.prober.connect import LinkLocalAddress
from actors.prober.failures import describe, shortened
from actors.prober.http_probe import Answer, HttpRequest, fetch
from actors.prober.secret_texts import SecretSource, without
from actors.prober.url import parse_url
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import ADDRESS, HttpCommand, Outcome
from coordinator.ports import EngineFacts

SHORT_ID: Final = 12
FAILURES: Final = (
    OSError,
    ValueError,
    LinkLocalAddress,
    EngineUnreachable,
    h11.ProtocolError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
)
"""What a request may end with."""


class NoAddress(ValueError):
    """The container of a request has none."""


UNHEARD: Final = (
    ConnectionRefusedError,
    socket.gaierror,
    NoAddress,
    LinkLocalAddress,
    EngineUnreachable,
    h11.LocalProtocolError,
)
"""What it ends with before anything is sent."""


REFUSED: Final = frozenset({
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.GONE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED,
})  # fmt: skip
"""The answers that say that nobody began to do what was asked. All others may come after a part of it is done: those of
a service that met a difficulty with it (400, 409, 422, and from 500), or sends elsewhere.
"""


class HttpCaller:
    """Runs one HttpCommand after the other; keeps nothing open between them."""

    def __init__(self, secrets: SecretSource, facts: EngineFacts) -> None:
        """Keep the ports."""
        self._secrets = secrets
        self._facts = facts

    async def run(self, command: HttpCommand) -> Outcome:
        """To the end of the answer or the deadline. Any failure is an outcome. Raises MissingSecret."""
        headers = {each.name: self._secrets(each.secret) if each.secret else each.value for each in command.headers}
        hidden = [headers[each.name] for each in command.headers if each.secret]
        began = anyio.current_time()
        answer, why, nothing_done = None, "", False
        # Until it is known where the container is, its id says whose address is meant.
        url = command.url.replace(ADDRESS, command.container_id[:SHORT_ID])
        with anyio.move_on_after(command.deadline_s) as deadline:
            try:
                if command.container_id:
                    url = command.url.replace(ADDRESS, await self._address(command.container_id))
                answer = await self._ask(command, url, headers)
            except FAILURES as error:
                why, nothing_done = describe(error), isinstance(error, UNHEARD)
        took_s = anyio.current_time() - began
        if deadline.cancelled_caught:
            why = f"no answer within {command.deadline_s:g} s"
            return Outcome(exit_code=None, stderr=why, duration_s=took_s, timed_out=True)
        if answer is not None and HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return Outcome(exit_code=0, stdout=str(answer.status), duration_s=took_s)
        why = f"{command.method} {url}: {why if answer is None else told(answer, hidden)}"
        for value in hidden:
            why = without(why, value)
        nothing_done = nothing_done or (answer is not None and answer.status in REFUSED)
        return Outcome(exit_code=1, stderr=why, duration_s=took_s, nothing_done=nothing_done)

    async def _ask(self, command: HttpCommand, url: str, headers: dict[str, str]) -> Answer:
        """Raises FAILURES."""
        parsed = parse_url(url)
        tls = await anyio.to_thread.run_sync(ssl.create_default_context) if parsed.scheme == "https" else None
        given = {name.lower() for name in headers}
        usual = {"User-Agent": "test-coordinator", "Accept": "*/*", "Connection": "close"}
        request = HttpRequest(
            method=command.method,
            url=parsed,
            headers=(*((name, value) for name, value in usual.items() if name.lower() not in given), *headers.items()),
            body=None if command.body is None else command.body.encode(),
        )
        return await fetch(request, lambda: tls or ssl.create_default_context())

    async def _address(self, container_id: str) -> str:
        """Where a container is now. Raises NoAddress, EngineUnreachable."""
        found = await self._facts.containers([container_id])
        if not found or not found[0].address:
            raise NoAddress("the container has no address: it is not running, or on no network")
        return f"[{found[0].address}]" if ":" in found[0].address else found[0].address


def told(answer: Answer, hidden: Sequence[str]) -> str:
    """What came back, in a few words: the status and the first line of the body. What is to be hidden is gone before it
    could be cut in two.
    """
    body = answer.body.decode(errors="replace")
    for value in hidden:
        body = without(body, value)
    lines = body.strip().splitlines()
    return shortened(f"answered {answer.status}" + (f": {lines[0]}" if lines else ""))
