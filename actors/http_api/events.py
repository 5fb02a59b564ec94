"""An execution's timeline as Server-Sent Events (WHATWG HTML, 9.2): live, and resumable without a gap.

An event's id is its place in the timeline, which never changes: `Last-Event-ID` says after which one to go on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from http import HTTPStatus
from typing import Final

import anyio
from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request

from actors.http_api.answers import EVENTS, JSON
from actors.http_api.frames import Broadcasts
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described
from actors.http_api.problems import RequestRejected, invalid, wrong_field
from coordinator.descriptors import limit
from coordinator.ports import Control

KEEP_ALIVE_S: Final = 15.0
"""A comment at least so often, so that a proxy keeps the connection and a client that went away is noticed."""

SPREAD: Final = 32
"""Different paces of such comments, down to half of the above."""

MAX_STREAMS: Final = 2000
"""Streams at once. Each holds a descriptor, and half of those there are stay for the undoing of faults."""

_MAX_DIGITS: Final = 9
"""Of an event's place."""


class EventsHeaders(BaseModel):
    """Headers of GET …/events."""

    model_config = ConfigDict(frozen=True)

    last_event_id: str | None = Field(
        default=None, alias="Last-Event-ID", pattern=f"^[0-9]{{0,{_MAX_DIGITS}}}$",
        description="The id of the last event seen: the next one is told first; empty for all",
    )  # fmt: skip


class ServerSentEvent(BaseModel):
    """One event. `data` is a TimelineEntry as JSON, and `event` its kind; `end`, without an id, is the last one."""

    id: str | None = Field(default=None, description="Its place in the timeline")
    event: str
    data: str = Field(json_schema_extra={"contentMediaType": JSON})


def routes(control: Control, ending: anyio.Event) -> Blueprint:
    """GET of an execution's events."""
    blueprint = Blueprint("events", __name__)
    broadcasts = Broadcasts(control, ending)
    most = min(MAX_STREAMS, limit() // 2)
    following = 0

    async def counted(frames: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        nonlocal following
        following += 1
        try:
            async with aclosing(frames):
                async for frame in frames:
                    yield frame
        finally:
            following -= 1

    @blueprint.get("/executions/<execution_id>/events")
    @described(
        Operation(
            "Follow an execution's timeline",
            {HTTPStatus.OK: Said("Server-Sent Events", ServerSentEvent, media_types=(EVENTS,))},
            errors=(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, UNAVAILABLE),
            headers=EventsHeaders,
        )
    )
    async def events(execution_id: str) -> Response:
        place = place_of(request.headers.get("Last-Event-ID"))
        if following >= most:
            detail = "too many clients follow executions; look at this one with GET, or come again later"
            raise RequestRejected(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "10"})
        # Asked here, so that an unknown id is an answer of its own and not a broken stream.
        await control.execution(execution_id)
        response = Response(counted(stream(broadcasts, execution_id, place, ending)), content_type=EVENTS)
        response.headers["Cache-Control"] = "no-store"
        response.timeout = None  # it lasts as long as the execution
        return response

    return blueprint


def place_of(last_event_id: str | None) -> int:
    """The number of entries the client has seen. Raises RequestRejected 422."""
    if last_event_id is None or last_event_id == "":
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= _MAX_DIGITS):
        raise invalid(wrong_field("Last-Event-ID", repr(last_event_id), "the id of an event of this execution"))
    return int(last_event_id)


async def stream(broadcasts: Broadcasts, execution_id: str, place: int, ending: anyio.Event) -> AsyncGenerator[bytes]:
    """Events until the execution is finished and all is told, or the API is stopping."""
    with broadcasts.following(execution_id) as frames:
        # Not all at the same moment: what woke them together would do so for ever.
        quiet_s = KEEP_ALIVE_S * (1 - (frames.followers % SPREAD) / (2 * SPREAD))
        while not ending.is_set():
            found: list[bytes] | None = None
            with anyio.move_on_after(quiet_s):
                found = await frames.after(place)
            if found is None:
                yield b": still there\n\n"
            elif found:
                place += len(found)
                yield b"".join(found)
            elif not ending.is_set():
                yield b"event: end\ndata: {}\n\n"
                return
