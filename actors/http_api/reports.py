"""Reports of executions, in the format that is asked for. Renders nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request

from actors.http_api.answers import JSON
from actors.http_api.body import read_query
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described
from actors.http_api.problems import invalid, wrong_field
from coordinator.ports import Control
from coordinator.record import Execution, Report, Sample
from coordinator.reports import as_json, as_markdown


class Format(NamedTuple):
    """How a report is written, and as what it is sent."""

    media_type: str
    render: Callable[[Report], str]


FORMATS: Final[Mapping[str, Format]] = {
    "json": Format(JSON, as_json),
    "markdown": Format("text/markdown; charset=utf-8", as_markdown),
}
"""By the name that `format` takes."""


class ReportQuery(BaseModel):
    """What GET …/report takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field(default="json", json_schema_extra={"enum": list(FORMATS)})


class ProbeSamples(BaseModel):
    """All samples of one probe: `[offset_s, ok, latency_s, value]` each."""

    samples: tuple[Sample, ...]


class ReportDocument(Execution):
    """An execution with all its samples and the commands that are left to a person."""

    progress: None = Field(default=None, exclude=True)
    probes: dict[str, ProbeSamples]
    left_broken: tuple[str, ...]


def routes(control: Control) -> Blueprint:
    """GET an execution's report."""
    blueprint = Blueprint("reports", __name__)
    types = tuple(one.media_type for one in FORMATS.values())

    @blueprint.get("/executions/<execution_id>/report")
    @described(
        Operation(
            "Report an execution, also while it runs",
            {HTTPStatus.OK: Said("In the format asked for; the schema is of `json`", ReportDocument, types)},
            errors=(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, UNAVAILABLE),
            query=ReportQuery,
        )
    )
    async def report(execution_id: str) -> Response:
        name = read_query(request, ReportQuery).format
        if name not in FORMATS:
            raise invalid(wrong_field("format", repr(name), ", ".join(FORMATS)))
        wanted = FORMATS[name]
        found = await control.report(execution_id)
        # In a thread: an hour of samples takes long enough to delay everybody else.
        return Response(await anyio.to_thread.run_sync(wanted.render, found), content_type=wanted.media_type)

    return blueprint
