"""Errors as RFC 9457 problem details: which status an error has, and what a client is told. Never a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict
from quart import Response
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.exceptions import NotFound as NotFoundPath

from coordinator.errors import (
    Conflict,
    CoordinatorError,
    EngineUnreachable,
    InvalidScenario,
    LedgerUnavailable,
    LibraryUnavailable,
    MissingSecret,
    NotFound,
    Problem,
    Refused,
)

MEDIA_TYPE: Final = "application/problem+json"
_TYPE: Final = "urn:test-coordinator:problem:"
_KNOWN: Final[Mapping[type[CoordinatorError], tuple[HTTPStatus, str]]] = {
    NotFound: (HTTPStatus.NOT_FOUND, "not-found"),
    Conflict: (HTTPStatus.CONFLICT, "conflict"),
    Refused: (HTTPStatus.FORBIDDEN, "refused"),
    InvalidScenario: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-scenario"),
    MissingSecret: (HTTPStatus.UNPROCESSABLE_ENTITY, "missing-secret"),
    EngineUnreachable: (HTTPStatus.SERVICE_UNAVAILABLE, "engine-unreachable"),
    LedgerUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "ledger-unavailable"),
    LibraryUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "library-unavailable"),
}


class ProblemPart(BaseModel):
    """One thing wrong, in a request or in a scenario. `line` is null where there is no file with lines."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int | None
    field: str
    found: str
    allowed: str
    suggestion: str | None


class ProblemDetails(BaseModel):
    """RFC 9457. `type` ends with the kind of error; `problems` lists every wrong field of the request or scenario."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    problems: tuple[ProblemPart, ...] | None = None


class RequestRejected(Exception):
    """A request that is turned away before anybody is asked. `problems` names each wrong field."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        problems: tuple[Problem, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep what the answer says."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = problems
        self.headers = dict(headers or {})


def invalid(*problems: Problem) -> RequestRejected:
    """422 for fields of a body or a query."""
    detail = "\n".join(str(problem).removeprefix(f"{problem.file}: ") for problem in problems)
    return RequestRejected(HTTPStatus.UNPROCESSABLE_ENTITY, detail, problems=problems)


def wrong_field(field: str, found: str, allowed: str, suggestion: str | None = None) -> Problem:
    """A wrong field of the request itself."""
    return Problem(file="<request>", line=None, field=field, found=found, allowed=allowed, suggestion=suggestion)


def of_rejected(error: RequestRejected) -> Response:
    """The answer to a request that was turned away."""
    kind = f"{_TYPE}invalid-request" if error.problems else "about:blank"
    return respond(error.status, error.detail, kind=kind, problems=error.problems, headers=error.headers)


def of_coordinator(error: CoordinatorError) -> Response:
    """The answer for an error of ours; all of them are made to be read by a person."""
    status, kind = next(
        (known for family, known in _KNOWN.items() if isinstance(error, family)),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
    )
    if isinstance(error, InvalidScenario):
        count = len(error.problems)
        detail = f"the scenario has {count} {'problem' if count == 1 else 'problems'}"
        return respond(status, detail, kind=_TYPE + kind, problems=error.problems)
    return respond(status, str(error), kind=_TYPE + kind)


def of_http(error: HTTPException) -> Response:
    """The answer for what the framework refuses, or for an error nobody foresaw."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if isinstance(error, InternalServerError):
        return respond(status, "an error of the coordinator's own; its log tells more", kind=f"{_TYPE}internal")
    if isinstance(error, NotFoundPath):
        return respond(status, "there is no such path")
    headers = {name: value for name, value in error.get_headers() if name.lower() in {"allow", "retry-after"}}
    return respond(status, error.description or status.description, headers=headers)


def respond(
    status: HTTPStatus,
    detail: str,
    *,
    kind: str = "about:blank",
    problems: Iterable[Problem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document."""
    parts = tuple(
        ProblemPart(
            file=one.file,
            line=one.line,
            field=one.field,
            found=one.found,
            allowed=one.allowed,
            suggestion=one.suggestion,
        )
        for one in problems or ()
    )
    document = ProblemDetails(type=kind, title=status.phrase, status=status, detail=detail, problems=parts or None)
    body = document.model_dump_json(exclude={"problems"} if document.problems is None else None)
    return Response(body, status=status, headers=dict(headers or {}), content_type=MEDIA_TYPE)
