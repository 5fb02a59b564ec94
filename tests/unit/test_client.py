import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import JsonValue, SecretStr

from coordinator.client import HttpControl, NoAnswer
from coordinator.errors import (
    Conflict,
    CoordinatorError,
    EngineUnreachable,
    InvalidScenario,
    LedgerUnavailable,
    MissingSecret,
    NotFound,
    Refused,
)
from coordinator.ports import Control
from coordinator.record import ExecutionState, Sample, Submission, Verdict
from coordinator.reports import document
from coordinator.supervision import ChildState
from tests.unit.cli import played
from tests.unit.small_server import SmallServer, small_server

pytestmark = pytest.mark.anyio

ID = played.EXECUTION_ID
HEALTH: JsonValue = {
    "status": "healthy", "service": "test-coordinator", "instance": "blue", "version": "1.0",
    "environment": "testing", "timestamp": "2026-01-02T03:04:05.678Z",
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[SmallServer]:
    """A server of the test's own."""
    with small_server() as serving:
        yield serving


@pytest.fixture
async def control(server: SmallServer) -> AsyncIterator[HttpControl]:
    """A client of it, with a token."""
    async with HttpControl.opened(server.url, SecretStr("s3cret")) as opened:
        yield opened


def shown(state: ExecutionState = ExecutionState.FINISHED) -> JsonValue:
    """An execution as the API shows it."""
    body: JsonValue = played.execution(state).model_dump(mode="json", by_alias=True)
    return body


def actor(name: str, **more: JsonValue) -> JsonValue:
    """An actor as the API shows it."""
    return {
        "id": name, "path": f"root/{name}", "state": "running", "critical": True, "incarnation": 1, "restarts": 0,
        "since": "2026-01-02T03:04:05.678Z", "last_error": None, "children": [], **more,
    }  # fmt: skip


async def test_it_is_a_control(control: HttpControl) -> None:
    """Whatever acts on a coordinator in this process acts on one far away."""
    same: Control = control
    assert same is control


async def test_submit_sends_all_and_reads_the_execution(server: SmallServer, control: HttpControl) -> None:
    """A submission's text, variables, seed and expected plan arrive, with token and idempotency key."""
    server.answer("POST /api/v1/executions", (202, shown(ExecutionState.QUEUED)))
    submission = Submission(source="a: b", variables={"x": "1"}, seed=3, expect_plan="abc")
    accepted = await control.submit(submission, idempotency_key="key")
    asked = server.asked[0]
    assert asked.body == {"yaml": "a: b", "variables": {"x": "1"}, "seed": 3, "expect_plan": "abc"}
    assert (asked.headers["authorization"], asked.headers["idempotency-key"]) == ("Bearer s3cret", "key")
    assert (accepted.id, accepted.state) == (ID, ExecutionState.QUEUED)


async def test_plan_is_a_dry_run(server: SmallServer, control: HttpControl) -> None:
    """A plan is asked for with `dry_run`, and read back as it was."""
    server.answer("POST /api/v1/executions", (200, played.plan().model_dump(mode="json", by_alias=True)))
    assert await control.plan(Submission(source="a: b")) == played.plan()
    assert server.asked[0].body == {"yaml": "a: b", "variables": {}, "dry_run": True}


async def test_an_execution_is_read_as_it_was(server: SmallServer, control: HttpControl) -> None:
    """What the API shows of an execution is what the record holds, times and faults included."""
    server.answer(f"GET /api/v1/executions/{ID}", (200, shown(ExecutionState.RUNNING)))
    assert await control.execution(ID) == played.execution(ExecutionState.RUNNING)


async def test_executions_go_over_pages(server: SmallServer, control: HttpControl) -> None:
    """A list is followed through its cursors until there are as many as asked for."""
    page: JsonValue = {"items": [shown()] * 2, "next": "two"}
    server.answer("GET /api/v1/executions?state=queued&state=running&limit=5", (200, page))
    server.answer("GET /api/v1/executions?state=queued&state=running&limit=3&after=two", (200, page))
    server.answer("GET /api/v1/executions?state=queued&state=running&limit=1&after=two", (200, page))
    found = await control.executions([ExecutionState.RUNNING, ExecutionState.QUEUED], limit=5)
    assert len(found) == 5
    assert len(server.asked) == 3


async def test_finished_asks_until_it_is(server: SmallServer, control: HttpControl) -> None:
    """`finished` returns the first look that shows the end."""
    running, done = (200, shown(ExecutionState.RUNNING)), (200, shown())
    server.answer(f"GET /api/v1/executions/{ID}", running, running, done)
    assert (await control.finished(ID)).verdict is Verdict.PASSED
    assert len(server.asked) == 3


async def test_a_report_is_read_as_it_was(server: SmallServer, control: HttpControl) -> None:
    """The report object becomes the report again, with every sample."""
    report = played.report(played.execution(), (played.UNDO,))
    server.answer(f"GET /api/v1/executions/{ID}/report?format=json", (200, document(report)))
    assert await control.report(ID) == report


async def test_the_newest_samples_are_asked_for(server: SmallServer, control: HttpControl) -> None:
    """Those after a moment, at most so many; they come as samples."""
    body: JsonValue = {"probes": {"api": {"samples": [[1.5, True, 0.01, 200.0], [1.6, False, None, None]]}}}
    server.answer(f"GET /api/v1/executions/{ID}/samples?after_s=1.25&limit=20", (200, body))
    found = (await control.samples(ID, 1.25, 20))["api"].samples
    assert found == (Sample(1.5, ok=True, latency_s=0.01, value=200.0), Sample(1.6, ok=False))


async def test_stop_and_the_red_button(server: SmallServer, control: HttpControl) -> None:
    """Stopping and undoing are DELETE calls; what was undone is read."""
    server.answer(f"DELETE /api/v1/executions/{ID}", (202, shown(ExecutionState.UNDOING)))
    server.answer("DELETE /api/v1/faults", (200, {"undone": ["f-1"], "failed": {"f-2": "gone"}}))
    server.answer("DELETE /api/v1/faults/f-1", (200, {"undone": ["f-1"], "failed": {}}))
    assert (await control.stop(ID, "enough")).state is ExecutionState.UNDOING
    assert (await control.undo_all("enough")).failed == {"f-2": "gone"}
    assert (await control.undo("f-1")).undone == ("f-1",)


async def test_faults_are_read_by_their_names_in_the_api(server: SmallServer, control: HttpControl) -> None:
    """The outstanding faults come with `class` and times as the record has them."""
    body: JsonValue = [played.fault().model_dump(mode="json", by_alias=True)]
    server.answer("GET /api/v1/faults", (200, {"items": body, "next": None}))
    assert await control.faults() == (played.fault(),)


async def test_actors_and_readiness_are_as_of_the_last_refresh(server: SmallServer, control: HttpControl) -> None:
    """Before a refresh there is no tree; after it there is, not ready being an answer too."""
    with pytest.raises(NoAnswer):
        control.tree()
    with pytest.raises(NoAnswer):
        control.readiness()
    checks: JsonValue = {"ledger": "ok", "postgres": "not configured"}
    server.answer("GET /api/v1/ready", (503, {"status": "not ready", "checks": checks}))
    actors: JsonValue = [actor("ledger"), actor("chaos", state="backoff", restarts=2, last_error="boom", odd=1)]
    server.answer("GET /api/v1/actors", (200, {"items": actors, "next": None}))
    await control.refresh()
    chaos = control.tree().find("chaos")
    assert chaos is not None
    assert (chaos.state, chaos.restarts, chaos.last_error) == (ChildState.BACKOFF, 2, "boom")
    assert (control.readiness().ready, control.readiness().checks) == (False, checks)


async def test_health_needs_no_success(server: SmallServer, control: HttpControl) -> None:
    """An unhealthy coordinator still says who it is."""
    server.answer("GET /api/v1/health", (503, HEALTH))
    assert (await control.health()).instance == "blue"


@pytest.mark.parametrize(
    ("status", "problem", "error"),
    [
        (404, {"title": "Not Found", "detail": "no such execution"}, NotFound),
        (409, {"title": "Conflict", "detail": "is finished"}, Conflict),
        (403, {"title": "Forbidden", "detail": "injection is disabled"}, Refused),
        (401, {"title": "Unauthorized"}, Refused),
        (422, {"type": "urn:test-coordinator:problem:missing-secret", "detail": "no TOKEN"}, MissingSecret),
        (422, {"type": "urn:test-coordinator:problem:invalid-request", "detail": "seed: x", "problems": []}, Refused),
        (503, {"type": "urn:test-coordinator:problem:engine-unreachable", "detail": "no socket"}, EngineUnreachable),
        (503, {"type": "urn:test-coordinator:problem:ledger-unavailable", "detail": "disk full"}, LedgerUnavailable),
        (500, {"title": "Internal Server Error"}, CoordinatorError),
        (502, "<html>a proxy</html>", NoAnswer),
        (200, {"not": "an execution"}, NoAnswer),
    ],
)
async def test_a_problem_becomes_the_error_it_tells_of(
    server: SmallServer, control: HttpControl, status: int, problem: JsonValue, error: type[CoordinatorError]
) -> None:
    """Every refusal of the API is the error that an embedded coordinator would raise."""
    server.answer(f"GET /api/v1/executions/{ID}", (status, problem))
    with pytest.raises(CoordinatorError) as raised:
        await control.execution(ID)
    assert raised.type is error
    if isinstance(problem, dict) and "detail" in problem:
        assert str(raised.value) == problem["detail"]


async def test_a_scenarios_problems_keep_the_name_of_the_file(server: SmallServer, control: HttpControl) -> None:
    """Problems found over there are told with the file the person gave, and all their parts."""
    part: JsonValue = {"file": "<scenario>", "line": 3, "field": "phases", "found": "'x'", "allowed": "a list"}
    server.answer(
        "POST /api/v1/executions",
        (422, {"title": "Invalid", "type": "urn:test-coordinator:problem:invalid-scenario", "problems": [part]}),
    )
    with pytest.raises(InvalidScenario) as raised:
        await control.submit(Submission(source="a: b", file="mine.yaml"))
    assert str(raised.value) == "mine.yaml:3: phases: 'x'; allowed: a list"


async def test_a_wrong_token_says_what_to_do(server: SmallServer, control: HttpControl) -> None:
    """A refused token names the coordinator and the option, and never the token."""
    server.answer("GET /api/v1/faults", (401, {"title": "Unauthorized"}))
    with pytest.raises(Refused) as raised:
        await control.faults()
    assert "--token-file" in str(raised.value)
    assert "s3cret" not in str(raised.value)


async def test_nobody_there_is_told_with_the_address() -> None:
    """A port on which nobody listens is NoAnswer, with the URL."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with HttpControl.opened(url, SecretStr("t")) as control:
        with pytest.raises(NoAnswer, match=f"no coordinator answers at {url}"):
            await control.faults()


async def test_no_proxy_of_the_environment_is_used(server: SmallServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes to the coordinator itself, whatever proxy the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.answer("GET /api/v1/faults", (200, {"items": [], "next": None}))
    async with HttpControl.opened(server.url, SecretStr("t")) as control:
        assert await control.faults() == ()


async def test_nothing_is_forgotten_over_the_network(server: SmallServer, control: HttpControl) -> None:
    """Giving a fault up is refused, without a call."""
    with pytest.raises(Refused, match="stop it"):
        await control.forget("f-1")
    assert server.asked == []
