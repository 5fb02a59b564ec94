"""Containers and outstanding faults as answers, and the red button."""

from __future__ import annotations

from http import HTTPStatus

from quart import Blueprint, Response

from actors.http_api.answers import answer, page
from actors.http_api.operations import UNAVAILABLE, Operation, described, ok, page_of
from coordinator.detached import Detached
from coordinator.ports import Candidate, Control, UndoneFaults
from coordinator.record import Fault

REASON = "asked for over HTTP: undo everything"
_NEVER = "0001-01-01T"
_FRACTION = 3


def routes(control: Control, detached: Detached) -> Blueprint:
    """GET containers; GET and DELETE faults."""
    blueprint = Blueprint("engine", __name__)

    @blueprint.get("/containers")
    @described(
        Operation(
            "List the engine's containers, and why each may not be a target",
            ok("By name", page_of(Candidate)),
            errors=(UNAVAILABLE,),
        )
    )
    async def list_containers() -> Response:
        return page([_shown(candidate) for candidate in await control.candidates()])

    @blueprint.get("/faults")
    @described(Operation("List the outstanding faults", ok("As armed", page_of(Fault)), errors=(UNAVAILABLE,)))
    async def list_faults() -> Response:
        return page(await control.faults())

    @blueprint.delete("/faults/<fault_id>")
    @described(
        Operation(
            "Undo one fault now",
            ok("What was undone, and what could not be", UndoneFaults),
            errors=(HTTPStatus.NOT_FOUND, UNAVAILABLE),
        )
    )
    async def undo(fault_id: str) -> Response:
        return answer(await detached.finish(control.undo(fault_id)))

    @blueprint.delete("/faults")
    @described(
        Operation(
            "The red button: stop all executions, undo all faults, wait for it",
            ok("What was undone, and what could not be", UndoneFaults),
            errors=(UNAVAILABLE,),
        )
    )
    async def undo_all() -> Response:
        return answer(await detached.finish(control.undo_all(REASON)))

    return blueprint


def to_milliseconds(text: str) -> str:
    """An engine's time (nanoseconds, or year 1 for never) as the API writes times; what is no such time stays as it is.

    >>> to_milliseconds("2026-01-02T03:04:05.67890123Z")
    '2026-01-02T03:04:05.678Z'
    """
    if text.startswith(_NEVER):
        return ""
    if not text.endswith("Z"):
        return text
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction[:_FRACTION]:0<{_FRACTION}}Z"


def _shown(candidate: Candidate) -> Candidate:
    container = candidate.container
    times = {"started_at": to_milliseconds(container.started_at), "finished_at": to_milliseconds(container.finished_at)}
    return candidate.model_copy(update={"container": container.model_copy(update=times)})
