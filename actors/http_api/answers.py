"""How answers look on the wire: models as JSON, lists as pages, times to the millisecond. Knows no route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel
from quart import Response

JSON = "application/json"
EVENTS = "text/event-stream"


def answer(model: BaseModel, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A model as JSON, under the names clients use."""
    return Response(model.model_dump_json(by_alias=True), status=status, headers=dict(headers or {}), content_type=JSON)


def page(items: Sequence[BaseModel], following: str | None = None) -> Response:
    """`{"items": […], "next": cursor|null}`."""
    # Joined from each model's own JSON: no second model per kind of list.
    joined = ",".join(item.model_dump_json(by_alias=True) for item in items)
    cursor = _Cursor(next=following).model_dump_json().removeprefix("{")
    return Response(f'{{"items":[{joined}],{cursor}', content_type=JSON)


class _Cursor(BaseModel):
    next: str | None
