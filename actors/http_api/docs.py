"""The API's description for programs and for people: one JSON document, and one page made from it, with no script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from quart import Blueprint, Quart, Response

from actors.http_api import operations
from actors.http_api.answers import JSON
from actors.http_api.description import Document, describe
from actors.http_api.operations import Operation, Said
from coordinator.identity import Identity

_FILES: Final = files("actors.http_api") / "documentation"


class _Described:
    """The document and its page, made at first need: all routes are there by then."""

    def __init__(self, app: Quart, identity: Identity) -> None:
        self._app = app
        self._identity = identity

    @cached_property
    def document(self) -> Document:
        return describe(self._app, self._identity)

    @cached_property
    def text(self) -> str:
        return json.dumps(self.document, ensure_ascii=False)

    @cached_property
    def page(self) -> str:
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters["kind"] = kind
        template = environment.from_string((_FILES / "page.html.jinja").read_text("utf-8"))
        return template.render(document=self.document, instance=self._identity.instance)


def routes(app: Quart, identity: Identity) -> Blueprint:
    """GET openapi.json, docs and its style sheet."""
    blueprint = Blueprint("docs", __name__)
    described = _Described(app, identity)
    style = (_FILES / "style.css").read_text("utf-8")

    @blueprint.get("/openapi.json")
    @operations.described(Operation("This description", {HTTPStatus.OK: Said("OpenAPI 3.1", media_types=(JSON,))}))
    async def openapi() -> Response:
        return Response(described.text, content_type=JSON)

    @blueprint.get("/docs")
    async def show() -> Response:
        return Response(described.page, content_type="text/html; charset=utf-8")

    @blueprint.get("/docs/style.css")
    async def show_style() -> Response:
        return Response(style, content_type="text/css; charset=utf-8")

    return blueprint


def kind(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What may stand in a place, in a few words; the second of a pair names the schema it links to, or is empty.

    >>> kind({"type": "array", "items": {"$ref": "#/components/schemas/Fault"}})
    [('list of ', ''), ('Fault', 'Fault')]
    """
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rsplit("/", 1)[-1]
            return [(name, name)]
        case {"anyOf": list(options)}:
            parts = [kind(option) for option in options]
            return [one for index, part in enumerate(parts) for one in ([(" or ", "")] if index else []) + part]
        case {"enum": list(values)}:
            return [(", ".join(str(value) for value in values), "")]
        case {"const": value}:
            return [(str(value), "")]
        case {"type": "array", "items": dict(items)}:
            return [("list of ", ""), *kind(items)]
        case {"type": "array"}:
            return [("list", "")]
        case {"type": "object", "additionalProperties": dict(values)}:
            return [("map to ", ""), *kind(values)]
        case {"type": str(name)}:
            return [(name, "")]
        case {"type": list(names)}:
            return [(" or ".join(str(name) for name in names), "")]
    return [("anything", "")]
