"""From the bytes and the query of a request to a checked model, naming every wrong field. Knows no model."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from http import HTTPStatus
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from quart import Request

from actors.http_api.guard import is_json, not_json
from actors.http_api.problems import RequestRejected, invalid, wrong_field
from coordinator.errors import Problem

SHOWN = 80
"""Characters of a wrong value that are quoted back."""
Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model]) -> Model:
    """The JSON body as a model.

    Raises RequestRejected: 415, 400 for what is not JSON, 422; the framework raises RequestEntityTooLarge.
    """
    if not is_json(request.headers):
        raise not_json()
    data = await request.get_data(cache=False)
    return validated(model, _parsed(data))


def read_query(request: Request, model: type[Model], *, lists: Collection[str] = ()) -> Model:
    """The query as a model; parameters in `lists` may be repeated or hold commas. Raises RequestRejected 422."""
    given: dict[str, object] = {}
    for name, values in request.args.lists():
        parts = [part for value in values for part in value.split(",")] if name in lists else values
        given[name] = parts if name in lists or len(parts) > 1 else parts[0]
    return validated(model, given)


def validated(model: type[Model], value: object) -> Model:
    """The value as a model. Raises RequestRejected 422 with a problem for each wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        names = [field.alias or name for name, field in model.model_fields.items()]
        raise invalid(*(_problem(one, names) for one in error.errors(include_url=False))) from error


def _parsed(data: bytes | str) -> object:
    if not data:
        raise RequestRejected(HTTPStatus.BAD_REQUEST, "the body is empty; JSON is expected")
    try:
        value: object = json.loads(data, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        # Lone surrogates are JSON but no text: nothing that stores or logs them could.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise RequestRejected(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from error
    except ValueError as error:
        raise RequestRejected(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {_why(error)}") from error
    return value


def _why(error: ValueError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}, column {error.colno}"
        case UnicodeError():
            return "it is not UTF-8 text"
        case _:
            return str(error)


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"the key {twice[:SHOWN]!r} stands twice in one object"
        raise ValueError(message)
    return found


def _problem(error: ErrorDetails, names: list[str]) -> Problem:
    field = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(error["loc"][-1]), names, n=1)
            return wrong_field(field, "unknown field", ", ".join(names), near[0] if near else None)
        case "missing":
            return wrong_field(field, "missing", "a value")
        case _:
            quoted = json.dumps(error["input"], default=str)
            shown = quoted if len(quoted) <= SHOWN else f"{quoted[:SHOWN]}…"
            return wrong_field(field, shown, _lower(error["msg"]))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
