"""The scenarios that have a name, and the judgement of a scenario; also finds the scenario a request brings."""

from __future__ import annotations

import difflib
import json
from http import HTTPStatus
from typing import Annotated, Any, Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from actors.http_api.answers import answer, page
from actors.http_api.body import read_body
from actors.http_api.operations import UNAVAILABLE, Operation, Said, described, ok, page_of
from actors.http_api.problems import ProblemPart, invalid, wrong_field
from coordinator.errors import InvalidScenario, NotFound, Problem
from coordinator.library import ScenarioDetails, ScenarioSummary
from coordinator.ports import Control
from coordinator.scenarios.model import API_VERSION
from coordinator.scenarios.parse import parse

PREFIX: Final = "/api/v1"
SOURCES: Final = ("scenario", "definition", "yaml")

NAMED: Final = "scenario_name"
"""The converter of names in paths."""

Variables = dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]]


def exactly_one(schema: dict[str, Any], names: tuple[str, ...]) -> None:
    """Say in a model's schema that one of these is given and the others are not, or null."""
    kinds = {name: "object" if name == "definition" else "string" for name in names}
    schema["oneOf"] = [{"required": [name], "properties": {name: {"type": kinds[name]}}} for name in names]


def _text_schema(schema: dict[str, Any]) -> None:
    exactly_one(schema, SOURCES[1:])
    extended = {"apiVersion": API_VERSION, "kind": "Scenario", "extends": "pause-service", "metadata": {"name": "mine"}}
    schema["examples"] = [{"definition": extended}]


def body_schema(schema: dict[str, Any]) -> None:
    """Say in the schema of a `ScenarioBody` what its checks say."""
    exactly_one(schema, SOURCES)
    schema["properties"]["variables"]["additionalProperties"] = {"type": ["string", "number"]}


class NameConverter(BaseConverter):
    """A scenario's name in a path: `validate` is a call, not a name."""

    regex = "(?!validate$)[^/]+"


class ScenarioText(BaseModel):
    """A scenario in one of two ways: a JSON object or YAML text."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_text_schema)

    definition: dict[str, object] | None = None
    yaml: str | None = None

    def text(self) -> tuple[str, str]:
        """The scenario's text and the name its problems bear. Raises RequestRejected 422."""
        _refuse_all_but_one(self, SOURCES[1:])
        if self.definition is not None:
            return json.dumps(self.definition, indent=2), "<definition>"
        return self.yaml or "", "<yaml>"


class ScenarioBody(BaseModel):
    """A scenario in one of three ways: the name of a kept or built-in one, a JSON object, or YAML text."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=body_schema)

    scenario: str | None = None
    definition: dict[str, object] | None = None
    yaml: str | None = None
    variables: Variables = {}

    async def source(self, control: Control) -> tuple[str, str]:
        """The scenario's text and the name its problems bear. Raises RequestRejected 422, LibraryUnavailable."""
        _refuse_all_but_one(self, SOURCES)
        if self.definition is not None:
            return json.dumps(self.definition), "<definition>"
        if self.yaml is not None:
            return self.yaml, "<yaml>"
        name = self.scenario or ""
        try:
            return (await control.scenario(name)).source, f"{name}.yaml"
        except NotFound as unknown:
            names = [known.name for known in await control.scenarios()]
            near = difflib.get_close_matches(name, names, n=1)
            raise invalid(wrong_field("scenario", f"{name!r} is unknown", ", ".join(names), *near)) from unknown


class Judgement(BaseModel):
    """A scenario without problems; warnings are for a person."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    name: str
    variables: dict[str, str]
    warnings: tuple[str, ...]
    problems: tuple[ProblemPart, ...] = ()


_KEPT: Final = {"show_scenario": {"name": "/name"}, "delete_scenario": {"name": "/name"}}
_LIST: Final = Operation(
    "List the scenarios that have a name", ok("By name", page_of(ScenarioSummary)), errors=(UNAVAILABLE,)
)
_SHOW: Final = Operation(
    "Show one scenario with its text",
    ok("The scenario", ScenarioDetails),
    errors=(HTTPStatus.NOT_FOUND, UNAVAILABLE),
)
_SAVE: Final = Operation(
    "Keep a scenario under its name; a built-in one cannot be replaced",
    {
        HTTPStatus.OK: Said("It replaced an older one", ScenarioDetails, links=_KEPT),
        HTTPStatus.CREATED: Said("It is new", ScenarioDetails, headers={"Location": "Where it is"}, links=_KEPT),
    },
    errors=(HTTPStatus.CONFLICT, UNAVAILABLE),
    body=ScenarioText,
    examples={"name": "mine"},
)
_DELETE: Final = Operation(
    "Forget a kept scenario; a built-in one stays",
    {HTTPStatus.NO_CONTENT: Said("It is forgotten", media_types=())},
    errors=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, UNAVAILABLE),
)
_VALIDATE: Final = Operation(
    "Judge a scenario; nothing is kept or run",
    ok("It has no problems", Judgement),
    errors=(UNAVAILABLE,),
    body=ScenarioBody,
)


def routes(control: Control) -> Blueprint:
    """GET scenarios; GET, PUT, DELETE one; POST validate."""
    blueprint = Blueprint("scenarios", __name__)

    @blueprint.get("/scenarios")
    @described(_LIST)
    async def list_scenarios() -> Response:
        return page(await control.scenarios())

    @blueprint.get(f"/scenarios/<{NAMED}:name>")
    @described(_SHOW)
    async def show_scenario(name: str) -> Response:
        return answer(await control.scenario(name))

    @blueprint.put(f"/scenarios/<{NAMED}:name>")
    @described(_SAVE)
    async def save_scenario(name: str) -> Response:
        text, file = (await read_body(request, ScenarioText)).text()
        try:
            new = await control.save_scenario(name, text)
        except InvalidScenario as problems:
            raise _in_file(problems, file) from problems
        kept = await control.scenario(name)
        if not new:
            return answer(kept)
        return answer(kept, HTTPStatus.CREATED, {"Location": f"{PREFIX}/scenarios/{name}"})

    @blueprint.delete(f"/scenarios/<{NAMED}:name>")
    @described(_DELETE)
    async def delete_scenario(name: str) -> Response:
        await control.delete_scenario(name)
        return Response(status=HTTPStatus.NO_CONTENT)

    @blueprint.post("/scenarios/validate")
    @described(_VALIDATE)
    async def validate() -> Response:
        body = await read_body(request, ScenarioBody)
        text, file = await body.source(control)
        # In a thread: a mebibyte of YAML takes long enough to delay everybody else.
        return answer(await anyio.to_thread.run_sync(_judged, text, file, body.variables))

    return blueprint


def as_asked(error: InvalidScenario) -> InvalidScenario:
    """The problems of a JSON definition without line numbers: those of our own rendering mean nothing to the client."""
    return InvalidScenario(
        tuple(
            Problem(
                file=one.file,
                line=None if one.file == "<definition>" else one.line,
                field=one.field,
                found=one.found,
                allowed=one.allowed,
                suggestion=one.suggestion,
            )
            for one in error.problems
        )
    )


def _in_file(error: InvalidScenario, file: str) -> InvalidScenario:
    """The same problems in what the client sent."""
    return InvalidScenario(
        tuple(Problem(file, one.line, one.field, one.found, one.allowed, one.suggestion) for one in error.problems)
    )


def _refuse_all_but_one(body: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "missing"
        raise invalid(wrong_field(given[0] if given else names[0], found, f"exactly one of {', '.join(names)}"))


def _judged(text: str, file: str, variables: dict[str, str]) -> Judgement:
    parsed = parse(text, file=file, variables=variables)
    name = parsed.scenario.metadata.name
    return Judgement(valid=True, name=name, variables=parsed.variables, warnings=parsed.warnings)
