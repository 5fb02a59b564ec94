"""The actors as answers, and the two things an operator may do to one."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict
from quart import Blueprint, Response

from actors.http_api.answers import answer, page
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described, ok, page_of
from coordinator.detached import Detached
from coordinator.errors import NotFound
from coordinator.ports import Control
from coordinator.record import Timestamp
from coordinator.supervision import ChildState, ChildView


class Actor(BaseModel):
    """One part of the running process; `id` is the last part of `path`."""

    model_config = ConfigDict(frozen=True)

    id: str
    path: str
    kind: str
    state: ChildState
    critical: bool
    incarnation: int
    restarts: int
    since: Timestamp
    last_error: str | None
    degraded: str | None
    finished: bool
    children: tuple[Actor, ...]


def actor_of(view: ChildView) -> Actor:
    """A view of the tree as the API shows it."""
    return Actor(
        id=view.id,
        path=view.path,
        kind=view.kind,
        state=view.state,
        critical=view.critical,
        incarnation=view.incarnation,
        restarts=view.restarts,
        since=datetime.fromtimestamp(view.since, UTC),
        last_error=view.last_error,
        degraded=view.degraded,
        finished=view.finished,
        children=tuple(actor_of(child) for child in view.children),
    )


def routes(control: Control, detached: Detached, own_name: str) -> Blueprint:
    """GET actors; POST restart, reset. `own_name` is the actor that serves these."""
    blueprint = Blueprint("actors", __name__)

    @blueprint.get("/actors")
    @described(Operation("List the actors below the root", ok("Each with its children", page_of(Actor))))
    async def list_actors() -> Response:
        return page([actor_of(view) for view in control.tree().children])

    @blueprint.post("/actors/<actor_id>/restart")
    @described(
        Operation(
            "Stop and start one actor",
            {
                HTTPStatus.OK: Said("It runs again", Actor),
                HTTPStatus.ACCEPTED: Said(f"`{own_name}` itself: as it was; it restarts after this answer", Actor),
            },
            errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, UNAVAILABLE),
        )
    )
    async def restart(actor_id: str) -> Response:
        before = _found(control, actor_id)
        if actor_id == own_name:
            # Its stop waits for the requests it serves, this one among them: so the answer goes out first.
            detached.begin(control.restart_actor(actor_id))
            return answer(before, HTTPStatus.ACCEPTED)
        await detached.finish(control.restart_actor(actor_id))
        return answer(_found(control, actor_id))

    @blueprint.post("/actors/<actor_id>/reset")
    @described(
        Operation(
            "Bring back an actor that is quarantined or waits for its restart",
            ok("It runs again", Actor),
            errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, UNAVAILABLE),
        )
    )
    async def reset(actor_id: str) -> Response:
        _found(control, actor_id)
        await detached.finish(control.reset_actor(actor_id))
        return answer(_found(control, actor_id))

    return blueprint


def _found(control: Control, actor_id: str) -> Actor:
    root = control.tree().root
    for view in root.walk():
        if view.id == actor_id and view is not root:
            return actor_of(view)
    raise NotFound(f"there is no actor {actor_id}; GET /api/v1/actors lists them")
