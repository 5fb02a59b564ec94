"""The API's description: OpenAPI 3.1, put together from what the routes say of themselves and the models they use.
Knows no route by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from quart import Quart

from actors.http_api.answers import EVENTS, JSON
from actors.http_api.guard import MAX_BODY_BYTES, OPEN_PATHS
from actors.http_api.operations import Operation, Said, operation_of
from actors.http_api.problems import MEDIA_TYPE, ProblemDetails
from coordinator.identity import Identity

# JSON Schema and OpenAPI have no narrower type than this.
Document = dict[str, Any]
Mode = Literal["validation", "serialization"]

_VARIABLE: Final = re.compile(r"<(?:[a-z_]+:)?([a-z_]+)>")
_ALWAYS: Final = {
    HTTPStatus.FORBIDDEN: "`Origin` is another site's, or policy refuses it",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"A body of more than {MAX_BODY_BYTES} bytes",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "A body that is not `application/json`",
    HTTPStatus.MISDIRECTED_REQUEST: "The `Host` header is no name of this coordinator",
}
"""What any request may meet."""
_MEANINGS: Final = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON",
    HTTPStatus.UNAUTHORIZED: "The token is missing or another one",
    HTTPStatus.NOT_FOUND: "There is none of this name or id",
    HTTPStatus.CONFLICT: "Not in the present state",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Fields are wrong or unknown, each named in `problems`",
    HTTPStatus.SERVICE_UNAVAILABLE: "The ledger, the engine or the API itself is away; try again",
}
_INTRODUCTION: Final = """\
Breaks containers on purpose, watches what happens, and puts things back. Times are ISO 8601 in UTC; durations are
seconds and their names end in `_s`. Errors are problem details (RFC 9457). Whoever holds the token can do to the
engine's host what root can."""


class Route(NamedTuple):
    """One described route."""

    path: str
    method: str
    operation_id: str
    operation: Operation


def routes_of(app: Quart) -> Iterator[Route]:
    """All described routes, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(_VARIABLE.sub(r"{\1}", rule.rule), method, rule.endpoint.rsplit(".", 1)[-1], operation)


def describe(app: Quart, identity: Identity) -> Document:
    """The whole document."""
    routes = tuple(routes_of(app))
    schemas = _Schemas(route.operation for route in routes)
    paths: Document = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "test-coordinator", "version": identity.version, "description": _INTRODUCTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The models of all operations as shared components."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._parameters: list[type[BaseModel]] = []
        wanted: dict[tuple[type[BaseModel], Mode], None] = {(ProblemDetails, "serialization"): None}
        for operation in operations:
            if operation.body is not None:
                wanted[operation.body, "validation"] = None
            for taken in (operation.query, operation.headers):
                if taken is not None:
                    wanted[taken, "validation"] = None
                    self._parameters.append(taken)
            for said in operation.answers.values():
                if said.model is not None:
                    wanted[said.model, "serialization"] = None
        self._references, whole = models_json_schema(
            list(wanted), by_alias=True, ref_template="#/components/schemas/{model}"
        )
        self._all: Document = whole["$defs"]

    @property
    def components(self) -> Document:
        """What bodies are made of; parameters are spelled out where they are taken."""
        hidden = {self._name(model) for model in self._parameters}
        return {name: schema for name, schema in self._all.items() if name not in hidden}

    def reference(self, model: type[BaseModel], mode: Mode) -> Document:
        return dict(self._references[model, mode])

    def properties(self, model: type[BaseModel]) -> tuple[Mapping[str, Document], frozenset[str]]:
        """What a model takes, spelled out, and which of it must be there."""
        schema = self._all[self._name(model)]
        properties: Document = schema["properties"]
        return properties, frozenset(schema.get("required", ()))

    def _name(self, model: type[BaseModel]) -> str:
        return str(self.reference(model, "validation")["$ref"]).rsplit("/", 1)[-1]


def _operation(route: Route, schemas: _Schemas) -> Document:
    operation = route.operation
    document: Document = {"operationId": route.operation_id, "summary": operation.summary}
    if parameters := _parameters(route, schemas):
        document["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.reference(operation.body, "validation")
        document["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    answers = {status: _answer(said, schemas) for status, said in operation.answers.items()}
    for status, meaning in _errors(route).items():
        answers.setdefault(status, _problem(meaning, schemas))
    document["responses"] = {str(int(status)): answers[status] for status in sorted(answers)}
    if route.path in OPEN_PATHS:
        document["security"] = []
    return document


def _parameters(route: Route, schemas: _Schemas) -> list[Document]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        | ({"example": route.operation.examples[name]} if name in route.operation.examples else {})
        for name in re.findall(r"{([a-z_]+)}", route.path)
    ]
    for model, place in ((route.operation.query, "query"), (route.operation.headers, "header")):
        if model is None:
            continue
        properties, required = schemas.properties(model)
        for name, schema in properties.items():
            parameter = {"name": name, "in": place, "required": name in required, "schema": _without_null(schema)}
            if "description" in schema:
                parameter["description"] = schema["description"]
            found.append(parameter)
    return found


def _without_null(schema: Document) -> Document:
    """A parameter is left out, never null."""
    options: list[Document] = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1:
        return schema
    kept = {name: value for name, value in schema.items() if name not in {"anyOf", "default", "title"}}
    return kept | options[0]


def _errors(route: Route) -> dict[HTTPStatus, str]:
    statuses = dict.fromkeys(route.operation.errors)
    if route.path not in OPEN_PATHS:
        statuses[HTTPStatus.UNAUTHORIZED] = None
    if route.operation.body is not None:
        statuses |= dict.fromkeys((HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY))
    return {status: _MEANINGS[status] for status in statuses} | _ALWAYS


def _answer(said: Said, schemas: _Schemas) -> Document:
    document: Document = {"description": said.meaning}
    if said.headers:
        document["headers"] = {
            name: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for name, meaning in said.headers.items()
        }
    if said.links:
        document["links"] = {
            name: {
                "operationId": name,
                "parameters": {parameter: f"$response.body#{place}" for parameter, place in places.items()},
            }
            for name, places in said.links.items()
        }
    content = {
        media_type.partition(";")[0]: {"schema": _body(said, media_type, schemas)} for media_type in said.media_types
    }
    return document | ({"content": content} if content else {})


def _body(said: Said, media_type: str, schemas: _Schemas) -> Document:
    if said.model is not None and media_type in {JSON, EVENTS}:
        return schemas.reference(said.model, "serialization")
    return {"type": "object" if media_type == JSON else "string"}


def _problem(meaning: str, schemas: _Schemas) -> Document:
    return {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": schemas.reference(ProblemDetails, "serialization")}},
    }
