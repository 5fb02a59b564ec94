"""The built-in scenarios and the judgement of a scenario as answers; also reads the scenario a request brings."""

from __future__ import annotations

import difflib
import json
from functools import lru_cache
from typing import Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict
from quart import Blueprint, Response, request

from actors.http_api.answers import answer, page
from actors.http_api.body import read_body
from actors.http_api.problems import ProblemPart, invalid, wrong_field
from coordinator.errors import InvalidScenario, NotFound, Problem
from coordinator.scenarios.parse import builtin_names, builtin_text, parse

SOURCES: Final = ("scenario", "definition", "yaml")


class ScenarioBody(BaseModel):
    """A scenario in one of three ways: a built-in one's name, a JSON object, or YAML text."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    scenario: str | None = None
    definition: dict[str, object] | None = None
    yaml: str | None = None
    variables: dict[str, str] = {}

    def source(self) -> tuple[str, str]:
        """The scenario's text and the name its problems bear. Raises RequestRejected 422."""
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "missing"
            raise invalid(wrong_field(given[0] if given else SOURCES[0], found, f"exactly one of {', '.join(SOURCES)}"))
        if self.definition is not None:
            return json.dumps(self.definition), "<definition>"
        if self.yaml is not None:
            return self.yaml, "<yaml>"
        name = self.scenario or ""
        try:
            return builtin_text(name), f"{name}.yaml"
        except NotFound as unknown:
            near = difflib.get_close_matches(name, builtin_names(), n=1)
            problem = wrong_field("scenario", f"{name!r} is unknown", ", ".join(builtin_names()), *near)
            raise invalid(problem) from unknown


class ScenarioSummary(BaseModel):
    """A scenario in a list."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    tags: tuple[str, ...]
    built_in: bool


class ScenarioDetails(ScenarioSummary):
    """A scenario with its variables' defaults and its text."""

    variables: dict[str, str]
    source: str


class Judgement(BaseModel):
    """A scenario without problems; warnings are for a person."""

    model_config = ConfigDict(frozen=True)

    valid: bool
    name: str
    variables: dict[str, str]
    warnings: tuple[str, ...]
    problems: tuple[ProblemPart, ...] = ()


def routes() -> Blueprint:
    """GET scenarios, GET one, POST validate."""
    blueprint = Blueprint("scenarios", __name__)

    @blueprint.get("/scenarios")
    async def list_scenarios() -> Response:
        found = [await anyio.to_thread.run_sync(_details, name) for name in builtin_names()]
        return page([ScenarioSummary(**one.model_dump(exclude={"variables", "source"})) for one in found])

    @blueprint.get("/scenarios/<name>")
    async def show_scenario(name: str) -> Response:
        return answer(await anyio.to_thread.run_sync(_details, name))

    @blueprint.post("/scenarios/validate")
    async def validate() -> Response:
        body = await read_body(request, ScenarioBody)
        text, file = body.source()
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


def _judged(text: str, file: str, variables: dict[str, str]) -> Judgement:
    parsed = parse(text, file=file, variables=variables)
    name = parsed.scenario.metadata.name
    return Judgement(valid=True, name=name, variables=parsed.variables, warnings=parsed.warnings)


@lru_cache(maxsize=64)
def _details(name: str) -> ScenarioDetails:
    source = builtin_text(name)
    scenario = parse(source, file=f"{name}.yaml").scenario
    return ScenarioDetails(
        name=name,
        description=scenario.metadata.description,
        tags=scenario.metadata.tags,
        built_in=True,
        variables=scenario.variables,
        source=source,
    )
