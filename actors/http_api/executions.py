"""Executions as requests and answers: begin, plan, look, stop."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt
from quart import Blueprint, Response, request

from actors.http_api.answers import answer, page
from actors.http_api.body import read_body, read_query
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described, ok, page_of
from actors.http_api.problems import invalid, wrong_field
from actors.http_api.scenarios import ScenarioBody, body_schema
from coordinator.detached import Detached
from coordinator.ports import Control
from coordinator.record import Execution, ExecutionState, Submission
from coordinator.scenarios.plan import Plan

PREFIX: Final = "/api/v1"
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
STOP_REASON: Final = "stopped over HTTP"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SEED_LIMIT: Final = 2**63


_SHOWN: Final = {"execution_id": "/id"}


def _submit_schema(schema: dict[str, Any]) -> None:
    body_schema(schema)
    schema["examples"] = [{"scenario": "pause-service", "variables": {"service": "web"}}]


class SubmitBody(ScenarioBody):
    """What POST /executions takes."""

    model_config = ConfigDict(json_schema_extra=_submit_schema)

    seed: Annotated[StrictInt, Field(ge=-_SEED_LIMIT, lt=_SEED_LIMIT)] | None = None
    expect_plan: str | None = None
    dry_run: StrictBool = False

    async def submission(self, control: Control) -> Submission:
        """What the coordinator is asked. Raises RequestRejected 422, LibraryUnavailable."""
        text, file = await self.source(control)
        return Submission(
            source=text, file=file, variables=self.variables, seed=self.seed, expect_plan=self.expect_plan
        )


class ListQuery(BaseModel):
    """What GET /executions takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: tuple[ExecutionState, ...] | None = None
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    after: str | None = None


class SubmitHeaders(BaseModel):
    """Headers of POST /executions."""

    model_config = ConfigDict(frozen=True)

    idempotency_key: str | None = Field(
        default=None, alias="Idempotency-Key", pattern=f"^{_KEY.pattern}$",
        description="Makes the request safe to repeat: the same key with the same body begins one execution only",
    )  # fmt: skip


_SUBMIT: Final = Operation(
    "Begin an execution, or plan it",
    {
        HTTPStatus.ACCEPTED: Said(
            "It is queued",
            Execution,
            headers={"Location": "Where it is"},
            links={"show": _SHOWN, "stop": _SHOWN, "events": _SHOWN, "report": _SHOWN},
        ),
        HTTPStatus.OK: Said("The plan, with `dry_run`; nothing is begun", Plan),
    },
    errors=(HTTPStatus.CONFLICT, UNAVAILABLE),
    body=SubmitBody,
    headers=SubmitHeaders,
)
_LIST: Final = Operation(
    "List executions",
    ok("Newest first, without timelines and faults", page_of(Execution)),
    errors=(HTTPStatus.UNPROCESSABLE_ENTITY, UNAVAILABLE),
    query=ListQuery,
)
_SHOW: Final = Operation(
    "Show an execution, live while it runs",
    ok("As it is now", Execution),
    errors=(HTTPStatus.NOT_FOUND, UNAVAILABLE),
)
_STOP: Final = Operation(
    "Stop an execution and undo its faults",
    {HTTPStatus.ACCEPTED: Said("It is asked to; look at it for its end", Execution)},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, UNAVAILABLE),
)


def routes(control: Control, detached: Detached) -> Blueprint:
    """POST, GET and DELETE of executions."""
    blueprint = Blueprint("executions", __name__)

    @blueprint.post("/executions")
    @described(_SUBMIT)
    async def submit() -> Response:
        body = await read_body(request, SubmitBody)
        key = _idempotency_key(request.headers.get("Idempotency-Key"))
        submission = await body.submission(control)
        if body.dry_run:
            return answer(await control.plan(submission))
        execution = await detached.finish(control.submit(submission, idempotency_key=key))
        return answer(execution, HTTPStatus.ACCEPTED, {"Location": f"{PREFIX}/executions/{execution.id}"})

    @blueprint.get("/executions")
    @described(_LIST)
    async def list_executions() -> Response:
        query = read_query(request, ListQuery, lists={"state"})
        # One more than asked for tells whether there is a next page.
        found = await control.executions(query.state, query.limit + 1, query.after)
        shown = found[: query.limit]
        return page(shown, shown[-1].id if len(found) > len(shown) else None)

    @blueprint.get("/executions/<execution_id>")
    @described(_SHOW)
    async def show(execution_id: str) -> Response:
        return answer(await control.execution(execution_id))

    @blueprint.delete("/executions/<execution_id>")
    @described(_STOP)
    async def stop(execution_id: str) -> Response:
        execution = await detached.finish(control.stop(execution_id, STOP_REASON))
        return answer(execution, HTTPStatus.ACCEPTED)

    return blueprint


def _idempotency_key(given: str | None) -> str | None:
    if given is not None and _KEY.fullmatch(given) is None:
        raise invalid(wrong_field("Idempotency-Key", f"{len(given)} characters", "1 to 255 visible ASCII characters"))
    return given
