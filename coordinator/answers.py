"""The shapes of the HTTP API's answers, as far as its client reads them: what is not needed is not looked at, so that a
newer coordinator may say more. Calls nobody.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue

from coordinator.errors import Problem
from coordinator.record import Sample, Timestamp
from coordinator.supervision import ChildState, ChildView


class Answer(BaseModel):
    """An answer of which only what is needed here is read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Health(Answer):
    """The answer of /api/v1/health."""

    status: str
    service: str
    instance: str
    version: str
    environment: str
    timestamp: Timestamp


class ProblemPart(Answer):
    """One mistake of a scenario."""

    file: str = ""
    line: int | None = None
    field: str = ""
    found: str = ""
    allowed: str = ""
    suggestion: str | None = None

    def problem(self, file: str) -> Problem:
        """The problem, in the file the person knows."""
        return Problem(file or self.file, self.line, self.field, self.found, self.allowed, self.suggestion)


class ProblemDetails(Answer):
    """RFC 9457, with this API's own members."""

    title: str = ""
    detail: str = ""
    type: str = ""
    problems: tuple[ProblemPart, ...] | None = None


class ActorAnswer(Answer):
    """An actor with its children."""

    id: str
    path: str
    kind: str = "worker"
    state: ChildState
    critical: bool
    incarnation: int
    restarts: int
    since: datetime
    last_error: str | None = None
    degraded: str | None = None
    finished: bool = False
    children: tuple[ActorAnswer, ...] = ()

    def view(self) -> ChildView:
        """The actor as the supervision library shows it."""
        own = self.model_dump(exclude={"since", "children"})
        children = tuple(child.view() for child in self.children)
        return ChildView(**own, since=self.since.timestamp(), children=children)


class ProbeSamples(Answer):
    """Samples of one probe."""

    samples: tuple[Sample, ...]


class SamplesAnswer(Answer):
    """Samples by probe."""

    probes: dict[str, ProbeSamples]


class Page(Answer):
    """One page of any list."""

    items: tuple[JsonValue, ...]
    next: str | None = None
