"""Executions as requests and answers: begin, plan, look, stop, report."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt
from quart import Blueprint, Response, request

from actors.http_api.answers import JSON, answer, page
from actors.http_api.body import read_body, read_query
from actors.http_api.detached import Detached
from actors.http_api.problems import invalid, wrong_field
from actors.http_api.scenarios import ScenarioBody
from coordinator.ports import Control
from coordinator.record import ExecutionState, Submission
from coordinator.reports import as_json, as_markdown

PREFIX: Final = "/api/v1"
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
STOP_REASON: Final = "stopped over HTTP"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_FORMATS: Final = ("json", "markdown")
_SEED_LIMIT: Final = 2**63


class SubmitBody(ScenarioBody):
    """What POST /executions takes."""

    seed: Annotated[StrictInt, Field(ge=-_SEED_LIMIT, lt=_SEED_LIMIT)] | None = None
    expect_plan: str | None = None
    dry_run: StrictBool = False

    def submission(self) -> Submission:
        """What the coordinator is asked. Raises RequestRejected 422."""
        text, file = self.source()
        return Submission(
            source=text, file=file, variables=self.variables, seed=self.seed, expect_plan=self.expect_plan
        )


class ListQuery(BaseModel):
    """What GET /executions takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: tuple[ExecutionState, ...] | None = None
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    after: str | None = None


class ReportQuery(BaseModel):
    """What GET …/report takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = "json"


def routes(control: Control, detached: Detached) -> Blueprint:
    """POST, GET and DELETE of executions."""
    blueprint = Blueprint("executions", __name__)

    @blueprint.post("/executions")
    async def submit() -> Response:
        body = await read_body(request, SubmitBody)
        key = _idempotency_key(request.headers.get("Idempotency-Key"))
        submission = body.submission()
        if body.dry_run:
            return answer(await control.plan(submission))
        execution = await detached.finish(control.submit(submission, idempotency_key=key))
        return answer(execution, HTTPStatus.ACCEPTED, {"Location": f"{PREFIX}/executions/{execution.id}"})

    @blueprint.get("/executions")
    async def list_executions() -> Response:
        query = read_query(request, ListQuery, lists={"state"})
        # One more than asked for tells whether there is a next page.
        found = await control.executions(query.state, query.limit + 1, query.after)
        shown = found[: query.limit]
        return page(shown, shown[-1].id if len(found) > len(shown) else None)

    @blueprint.get("/executions/<execution_id>")
    async def show(execution_id: str) -> Response:
        return answer(await control.execution(execution_id))

    @blueprint.delete("/executions/<execution_id>")
    async def stop(execution_id: str) -> Response:
        execution = await detached.finish(control.stop(execution_id, STOP_REASON))
        return answer(execution, HTTPStatus.ACCEPTED)

    @blueprint.get("/executions/<execution_id>/report")
    async def report(execution_id: str) -> Response:
        wanted = read_query(request, ReportQuery).format
        if wanted not in _FORMATS:
            raise invalid(wrong_field("format", repr(wanted), ", ".join(_FORMATS)))
        found = await control.report(execution_id)
        # In a thread: an hour of samples takes long enough to delay everybody else.
        if wanted == "json":
            return Response(await anyio.to_thread.run_sync(as_json, found), content_type=JSON)
        text = await anyio.to_thread.run_sync(as_markdown, found)
        return Response(text, content_type="text/markdown; charset=utf-8")

    return blueprint


def _idempotency_key(given: str | None) -> str | None:
    if given is not None and _KEY.fullmatch(given) is None:
        raise invalid(wrong_field("Idempotency-Key", f"{len(given)} characters", "1 to 255 visible ASCII characters"))
    return given
