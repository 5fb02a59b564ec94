"""A running coordinator over HTTP, as `ports.Control`: the same questions, the same answers, the same errors. Knows the
API's calls and shapes, and nothing of who asks.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import quote

import anyio
import httpx
from pydantic import BaseModel, JsonValue, SecretStr, TypeAdapter, ValidationError

from coordinator.answers import ActorAnswer, Health, Page, ProblemDetails, SamplesAnswer
from coordinator.errors import (
    Conflict,
    CoordinatorError,
    EngineUnreachable,
    InvalidScenario,
    LedgerUnavailable,
    LibraryUnavailable,
    MissingSecret,
    NotFound,
    Refused,
)
from coordinator.faults.leftovers import ScanReport
from coordinator.library import ScenarioDetails, ScenarioSummary
from coordinator.ports import Candidate, Readiness, UndoneFaults
from coordinator.record import (
    Execution,
    ExecutionState,
    Fault,
    Report,
    Series,
    Submission,
    TimelineEntry,
)
from coordinator.reports import parse_report
from coordinator.scenarios.plan import Plan
from coordinator.supervision import ChildState, ChildView, Snapshot

POLL_S: Final = 0.25
ANSWER_WITHIN_S: Final = 30.0
"""The longest a call may take; the red button, which waits for undos, has `UNDO_WITHIN_S`."""
UNDO_WITHIN_S: Final = 600.0
PAGE: Final = 100

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)


class NoAnswer(CoordinatorError):
    """No coordinator answers there, or not in its language."""


_BY_KIND: Final[Mapping[str, type[CoordinatorError]]] = {
    "engine-unreachable": EngineUnreachable,
    "ledger-unavailable": LedgerUnavailable,
    "library-unavailable": LibraryUnavailable,
    "missing-secret": MissingSecret,
    "refused": Refused,
}
"""The last word of a problem's `type`."""
_BY_STATUS: Final[Mapping[int, type[CoordinatorError]]] = {
    401: Refused, 403: Refused, 404: NotFound, 409: Conflict, 413: Refused, 422: Refused,
}  # fmt: skip
_FAULTS: Final = TypeAdapter(tuple[Fault, ...])
_EXECUTIONS: Final = TypeAdapter(tuple[Execution, ...])
_CANDIDATES: Final = TypeAdapter(tuple[Candidate, ...])
_SCENARIOS: Final = TypeAdapter(tuple[ScenarioSummary, ...])
_ACTORS: Final = TypeAdapter(tuple[ActorAnswer, ...])


class HttpControl:
    """A coordinator at a URL. Satisfies `ports.Control`; `tree` and `readiness` are as of the last `refresh`.

    Every call raises NoAnswer when nobody answers or the answer is not this API's.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        """Speak through `http`; `opened` makes one that is set up as it must be."""
        self._http = http
        self._readiness: Readiness | None = None
        self._tree: Snapshot | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, url: str, token: SecretStr, *, verify: ssl.SSLContext | bool = True
    ) -> AsyncIterator[HttpControl]:
        """A client of the coordinator at `url`; does not call it yet."""
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        try:
            # No proxy from the environment: the token is for the coordinator alone.
            http = httpx.AsyncClient(
                base_url=url, headers=headers, verify=verify, timeout=ANSWER_WITHIN_S, trust_env=False
            )
        except (httpx.InvalidURL, ValueError) as invalid:
            raise NoAnswer(f"{url}: not a URL of a coordinator: {invalid}") from invalid
        async with http:
            yield cls(http)

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._http.base_url).rstrip("/")

    # ------------------------------------------------------------ the coordinator itself

    async def health(self, within_s: float = ANSWER_WITHIN_S) -> Health:
        """Who it is and how it is; needs no token."""
        response = await self._send("GET", "/api/v1/health", timeout_s=within_s)
        return self._read(Health, response)

    async def refresh(self) -> None:
        """Ask for readiness and actors, which `readiness` and `tree` then tell."""
        self._readiness = self._read(Readiness, await self._send("GET", "/api/v1/ready"))
        found = self._checked(_ACTORS, (await self._page("/api/v1/actors", {})).items)
        children = tuple(actor.view() for actor in found)
        # The list is of the root's children; of the root itself the API tells nothing.
        root = ChildView(
            id="root", path="root", kind="supervisor", state=ChildState.RUNNING, critical=True, incarnation=1,
            restarts=0, since=min((child.since for child in children), default=0.0), children=children,
        )  # fmt: skip
        self._tree = Snapshot(root)

    def tree(self) -> Snapshot:
        """The actors as of the last `refresh`. Raises NoAnswer when there was none."""
        if self._tree is None:
            raise NoAnswer(f"{self.url}: its actors have not been asked for")
        return self._tree

    def readiness(self) -> Readiness:
        """Readiness as of the last `refresh`. Raises NoAnswer when there was none."""
        if self._readiness is None:
            raise NoAnswer(f"{self.url}: its readiness has not been asked for")
        return self._readiness

    async def restart_actor(self, actor_id: str) -> None:
        """Stop and start one actor. Raises NotFound, Conflict."""
        await self._call("POST", f"/api/v1/actors/{quote(actor_id, safe='')}/restart")

    async def reset_actor(self, actor_id: str) -> None:
        """Bring a quarantined actor back. Raises NotFound, Conflict."""
        await self._call("POST", f"/api/v1/actors/{quote(actor_id, safe='')}/reset")

    # ------------------------------------------------------------ executions

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        """Accept an execution. Raises InvalidScenario, Refused, Conflict, LedgerUnavailable."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = _body(submission)
        return self._read(Execution, await self._call("POST", "/api/v1/executions", body, headers, submission.file))

    async def plan(self, submission: Submission) -> Plan:
        """What it would do. Raises InvalidScenario, EngineUnreachable, MissingSecret."""
        body = _body(submission) | {"dry_run": True}
        return self._read(Plan, await self._call("POST", "/api/v1/executions", body, {}, submission.file))

    async def execution(self, execution_id: str) -> Execution:
        """One execution as it is now. Raises NotFound."""
        return self._read(Execution, await self._call("GET", f"/api/v1/executions/{quote(execution_id, safe='')}"))

    async def executions(
        self, states: Collection[ExecutionState] | None = None, limit: int = 50, after: str | None = None
    ) -> tuple[Execution, ...]:
        """Executions, newest first, over as many pages as `limit` takes."""
        query: dict[str, str | list[str]] = {} if states is None else {"state": sorted(state.value for state in states)}
        found: list[JsonValue] = []
        while len(found) < limit:
            query["limit"] = str(min(PAGE, limit - len(found)))
            if after is not None:
                query["after"] = after
            page = await self._page("/api/v1/executions", query)
            found.extend(page.items)
            after = page.next
            if after is None or not page.items:
                break
        return self._checked(_EXECUTIONS, found[:limit])

    async def finished(self, execution_id: str) -> Execution:
        """Ask until it is finished. Raises NotFound."""
        while True:
            execution = await self.execution(execution_id)
            if execution.state is ExecutionState.FINISHED:
                return execution
            await anyio.sleep(POLL_S)

    async def timeline(self, execution_id: str, after: int) -> tuple[TimelineEntry, ...]:
        """Ask until something happened after the first `after` entries, or nothing more will. Raises NotFound."""
        while True:
            execution = await self.execution(execution_id)
            if len(execution.timeline) > after or execution.state is ExecutionState.FINISHED:
                return execution.timeline[after:]
            await anyio.sleep(POLL_S)

    async def report(self, execution_id: str) -> Report:
        """Everything recorded of it. Raises NotFound."""
        path = f"/api/v1/executions/{quote(execution_id, safe='')}/report?format=json"
        response = await self._call("GET", path)
        try:
            return parse_report(response.content)
        except ValidationError as other:
            raise self._not_ours(response) from other

    async def samples(self, execution_id: str, after_s: float, limit: int) -> Mapping[str, Series]:
        """The newest samples of each probe that were due later than `after_s`. Raises NotFound."""
        path = f"/api/v1/executions/{quote(execution_id, safe='')}/samples"
        query = {"after_s": str(after_s), "limit": str(limit)}
        found = self._read(SamplesAnswer, await self._call("GET", str(httpx.URL(path, params=query))))
        return {name: Series(probe=name, samples=probe.samples) for name, probe in found.probes.items()}

    async def stop(self, execution_id: str, reason: str) -> Execution:  # noqa: ARG002  # the API takes no reason
        """Ask it to stop and undo; returns at once. Raises NotFound, Conflict when it is finished."""
        return self._read(Execution, await self._call("DELETE", f"/api/v1/executions/{quote(execution_id, safe='')}"))

    # ------------------------------------------------------------ scenarios

    async def scenarios(self) -> tuple[ScenarioSummary, ...]:
        """The scenarios that have a name."""
        return self._checked(_SCENARIOS, (await self._page("/api/v1/scenarios", {})).items)

    async def scenario(self, name: str) -> ScenarioDetails:
        """One of them. Raises NotFound."""
        return self._read(ScenarioDetails, await self._call("GET", f"/api/v1/scenarios/{quote(name, safe='')}"))

    async def save_scenario(self, name: str, text: str) -> bool:
        """Keep one; whether it is new. Raises InvalidScenario, Conflict."""
        path = f"/api/v1/scenarios/{quote(name, safe='')}"
        return (await self._call("PUT", path, {"yaml": text})).status_code == httpx.codes.CREATED

    async def delete_scenario(self, name: str) -> None:
        """Forget one. Raises NotFound, Conflict."""
        await self._call("DELETE", f"/api/v1/scenarios/{quote(name, safe='')}")

    # ------------------------------------------------------------ faults and containers

    async def faults(self) -> tuple[Fault, ...]:
        """The outstanding faults."""
        return self._checked(_FAULTS, (await self._page("/api/v1/faults", {})).items)

    async def undo(self, fault_id: str) -> UndoneFaults:
        """Undo one outstanding fault now. Raises NotFound."""
        path = f"/api/v1/faults/{quote(fault_id, safe='')}"
        return self._read(UndoneFaults, await self._call("DELETE", path, timeout_s=UNDO_WITHIN_S))

    async def undo_all(self, reason: str) -> UndoneFaults:  # noqa: ARG002  # the API takes no reason
        """The red button: stop all executions, undo all that is outstanding, wait for it."""
        return self._read(UndoneFaults, await self._call("DELETE", "/api/v1/faults", timeout_s=UNDO_WITHIN_S))

    async def scan(self, instances: Collection[str] = ()) -> ScanReport:
        """Put back what the engine itself shows to be left. Raises EngineUnreachable."""
        body: dict[str, JsonValue] = {"instances": [*instances]}
        return self._read(ScanReport, await self._call("POST", "/api/v1/scan", body, timeout_s=UNDO_WITHIN_S))

    async def forget(self, fault_id: str) -> None:
        """Refused: the API gives nothing up."""
        raise Refused(f"fault {fault_id}: a running coordinator goes on trying; stop it, then forget the fault")

    async def candidates(self) -> tuple[Candidate, ...]:
        """The engine's containers, and why each may not be a target. Raises EngineUnreachable."""
        return self._checked(_CANDIDATES, (await self._page("/api/v1/containers", {})).items)

    # ------------------------------------------------------------ calls and answers

    async def _page(self, path: str, query: Mapping[str, str | list[str]]) -> Page:
        return self._read(Page, await self._call("GET", str(httpx.URL(path, params=dict(query)))))

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
        file: str = "",
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> httpx.Response:
        """A successful answer; any other becomes the error it tells of."""
        response = await self._send(method, path, body, headers, timeout_s)
        if response.is_success:
            return response
        raise self._told(response, file)

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> httpx.Response:
        try:
            return await self._http.request(method, path, headers=headers, timeout=timeout_s, json=body)
        except httpx.TimeoutException as late:
            raise NoAnswer(f"the coordinator at {self.url} did not answer within {timeout_s:g} s") from late
        except httpx.HTTPError as failed:
            why = str(failed) or type(failed).__name__
            raise NoAnswer(f"no coordinator answers at {self.url}: {why}") from failed

    def _told(self, response: httpx.Response, file: str) -> CoordinatorError:
        """The error of a problem document."""
        try:
            problem = ProblemDetails.model_validate_json(response.content)
        except ValidationError:
            return self._not_ours(response)
        kind = problem.type.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        if kind == "invalid-scenario" and problem.problems:
            # The coordinator was given a text; the person gave a file.
            return InvalidScenario(tuple(part.problem(file) for part in problem.problems))
        text = problem.detail or problem.title or f"HTTP {response.status_code}"
        if response.status_code == httpx.codes.UNAUTHORIZED:
            text = f"the coordinator at {self.url} does not take this token; give the right one with --token-file"
        return _BY_KIND.get(kind, _BY_STATUS.get(response.status_code, CoordinatorError))(text)

    def _read(self, model: type[Model], response: httpx.Response) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as other:
            raise self._not_ours(response) from other

    def _checked(self, adapter: TypeAdapter[T], items: Sequence[JsonValue]) -> T:
        try:
            return adapter.validate_python(items)
        except ValidationError as other:
            raise NoAnswer(f"{self.url} answers, but not as a coordinator of this version does") from other

    def _not_ours(self, response: httpx.Response) -> NoAnswer:
        return NoAnswer(f"{self.url} answers {response.status_code}, but not as a coordinator of this version does")


def _body(submission: Submission) -> dict[str, JsonValue]:
    """A submission as the API takes it."""
    body: dict[str, JsonValue] = {"yaml": submission.source, "variables": dict(submission.variables)}
    if submission.seed is not None:
        body["seed"] = submission.seed
    if submission.expect_plan is not None:
        body["expect_plan"] = submission.expect_plan
    return body
