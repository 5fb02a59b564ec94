"""Reports of executions, in the format that is asked for. Renders nothing itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request

from actors.http_api.answers import answer
from actors.http_api.body import read_query
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described, ok
from actors.http_api.problems import invalid, wrong_field
from coordinator.ports import Control
from coordinator.record import Execution, Sample
from coordinator.reports import FORMATS
from coordinator.reports.html import content_policy

MAX_SAMPLES: Final = 3000
"""Of one probe in one answer: five minutes at 10 Hz, more than a chart has pixels."""


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


class SamplesQuery(BaseModel):
    """What GET …/samples takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_s: float = Field(default=-1.0, allow_inf_nan=False)
    limit: int = Field(default=MAX_SAMPLES, ge=1, le=MAX_SAMPLES)


class SamplesDocument(BaseModel):
    """The newest samples of an execution by probe. The last few seconds of them may yet be amended by late answers."""

    probes: dict[str, ProbeSamples]


_SAMPLES: Final = Operation(
    "Show the newest samples of an execution's probes, also while it runs",
    ok("At most the newest `limit` of each probe that were due later than `after_s`", SamplesDocument),
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, UNAVAILABLE),
    query=SamplesQuery,
)


def routes(control: Control) -> Blueprint:
    """GET an execution's report, and its newest samples."""
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
        text = await anyio.to_thread.run_sync(wanted.render, found)
        response = Response(text, content_type=wanted.media_type)
        if name == "html":
            # Its style stands in the page, which the policy of other answers forbids; this one forbids all else.
            response.headers["Content-Security-Policy"] = content_policy()
        return response

    @blueprint.get("/executions/<execution_id>/samples")
    @described(_SAMPLES)
    async def samples(execution_id: str) -> Response:
        query = read_query(request, SamplesQuery)
        found = await control.samples(execution_id, query.after_s, query.limit)
        probes = {name: ProbeSamples(samples=series.samples) for name, series in found.items()}
        return answer(SamplesDocument(probes=probes))

    return blueprint
