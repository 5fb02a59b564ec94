"""What a route says of itself for the API's description: made from the models that check requests and write answers.
Changes nothing of what the route does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, Final, TypeVar

from pydantic import BaseModel, create_model

from actors.http_api.answers import JSON

View = TypeVar("View", bound=Callable[..., object])
_ATTRIBUTE: Final = "operation"
UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE


@cache
def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a part of a list, under a name that clients made from the description may bear: `FaultPage`."""
    meaning = "A part of a list. Where `next` is not null, ask again with `after` set to it."
    items: Any = tuple[item, ...]  # type: ignore[valid-type]  # a type made at run time
    return create_model(f"{item.__name__}Page", __doc__=meaning, items=(items, ...), next=(str | None, ...))


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: what it means and what its body is; without media types it has none.

    `links` names the calls that go on from here and where in the body their parameters are: `/id`.
    """

    meaning: str
    model: type[BaseModel] | None = None
    media_types: tuple[str, ...] = (JSON,)
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """A route's part of the description. `errors` are those beside the ones that every request may meet; `examples`
    are values of parameters in the path.
    """

    summary: str
    answers: Mapping[HTTPStatus, Said]
    errors: tuple[HTTPStatus, ...] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    examples: Mapping[str, str] = field(default_factory=dict)


def described(operation: Operation) -> Callable[[View], View]:
    """Describe a view function."""

    def describe(view: View) -> View:
        setattr(view, _ATTRIBUTE, operation)
        return view

    return describe


def operation_of(view: object) -> Operation | None:
    """How a view function is described; None for pages, which are no part of the API."""
    found = getattr(view, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None


def ok(meaning: str, model: type[BaseModel]) -> dict[HTTPStatus, Said]:
    """The answers of a route that has only one."""
    return {HTTPStatus.OK: Said(meaning, model)}
