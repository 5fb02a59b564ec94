import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import grpc
import grpc.aio
import pytest

from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2 as pb
from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2_grpc as service
from coordinator.errors import EngineUnreachable, LedgerUnavailable, Refused
from coordinator.library import Library
from coordinator.listeners import Listeners
from coordinator.scenarios.parse import builtin_text
from tests.unit.grpc_api.stage import BEARER, PATIENCE_S, Life, client, living, made
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

NAME = "kill-one-replica"
UNKNOWN: Any = 99
"""A number that no state has."""


class Calls:
    """The five calls, with the token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = service.ExecutionServiceStub(channel)

    async def start(self, **fields: object) -> pb.Execution:
        """StartExecution."""
        request = pb.StartExecutionRequest(**fields)  # type: ignore[arg-type]  # one shorthand for all fields
        started: pb.Execution = await self.stub.StartExecution(request, metadata=BEARER, timeout=PATIENCE_S)
        return started

    async def ask(self, method: str, request: object) -> object:
        """Any of the unary calls."""
        return await getattr(self.stub, method)(request, metadata=BEARER, timeout=PATIENCE_S)

    def watch(self, execution_id: str, after: int = 0) -> grpc.aio.UnaryStreamCall:
        """WatchExecution."""
        request = pb.WatchExecutionRequest(id=execution_id, after=after)
        return self.stub.WatchExecution(request, metadata=BEARER, timeout=PATIENCE_S)


@pytest.fixture
def control(tmp_path: Path) -> MemoryControl:
    """A coordinator in memory."""
    return MemoryControl(library=Library(tmp_path))


@pytest.fixture
async def calls(listeners: Listeners, control: MemoryControl) -> AsyncIterator[Calls]:
    """A client of a served coordinator."""
    async with living(made(listeners, control)), client(listeners) as channel:
        await channel.channel_ready()
        yield Calls(channel)


def refused(raised: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> tuple[grpc.StatusCode, str]:
    """The status a call ended with."""
    return raised.value.code(), raised.value.details() or ""


async def test_an_execution_is_started(calls: Calls, control: MemoryControl) -> None:
    """A named scenario with variables, seed and expected plan reaches the coordinator as it was sent."""
    started = await calls.start(scenario=NAME, variables={"label": "app=web"}, seed=7, expect_plan="h")
    execution, submission = control.accepted[started.id]
    assert (started.scenario, started.state, started.seed) == (NAME, pb.EXECUTION_STATE_QUEUED, 7)
    assert started.variables["label"] == "app=web"
    assert started.created_at.ToDatetime().replace(tzinfo=execution.created_at.tzinfo) == execution.created_at
    assert (submission.source, submission.seed, submission.expect_plan) == (builtin_text(NAME), 7, "h")
    assert (await calls.ask("GetExecution", pb.GetExecutionRequest(id=started.id))) == started


async def test_every_start_is_its_own_task(calls: Calls) -> None:
    """Two requests on one connection are two Eliot tasks, and so two executions; a seed of 0 is a seed."""
    first, second = await calls.start(scenario=NAME), await calls.start(yaml=builtin_text(NAME), seed=0)
    assert first.id != second.id


async def test_a_key_makes_a_start_repeatable(calls: Calls) -> None:
    """The same key with the same request is the same execution; with another request it is refused."""
    first = await calls.start(scenario=NAME, idempotency_key="k")
    assert (await calls.start(scenario=NAME, idempotency_key="k")).id == first.id
    with pytest.raises(grpc.aio.AioRpcError) as other:
        await calls.start(scenario=NAME, seed=2, idempotency_key="k")
    assert refused(other)[0] is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("method", "request_", "code", "said"),
    [
        ("StartExecution", pb.StartExecutionRequest(), "INVALID_ARGUMENT", "one of scenario and yaml"),
        ("StartExecution", pb.StartExecutionRequest(scenario="kil"), "NOT_FOUND", NAME),
        ("StartExecution", pb.StartExecutionRequest(yaml="kind: Scenario\nphases: {}"), "INVALID_ARGUMENT", "<yaml>:2"),
        ("StartExecution", pb.StartExecutionRequest(yaml="- " * 5000), "INVALID_ARGUMENT", "<yaml>"),
        ("StartExecution", pb.StartExecutionRequest(scenario=NAME, idempotency_key=""), "INVALID_ARGUMENT", "1 to 255"),
        ("GetExecution", pb.GetExecutionRequest(id="x"), "NOT_FOUND", "no execution x"),
        ("GetExecution", pb.GetExecutionRequest(), "NOT_FOUND", "no execution"),
        ("StopExecution", pb.StopExecutionRequest(id="x"), "NOT_FOUND", "no execution x"),
        ("StopExecution", pb.StopExecutionRequest(id="x", reason="y" * 501), "INVALID_ARGUMENT", "at most 500"),
        ("ListExecutions", pb.ListExecutionsRequest(page_size=501), "INVALID_ARGUMENT", "0 to 500"),
        ("ListExecutions", pb.ListExecutionsRequest(page_size=-1), "INVALID_ARGUMENT", "0 to 500"),
        (
            "ListExecutions",
            pb.ListExecutionsRequest(states=[pb.EXECUTION_STATE_UNSPECIFIED]),
            "INVALID_ARGUMENT",
            "states: 0",
        ),
        ("ListExecutions", pb.ListExecutionsRequest(states=[UNKNOWN]), "INVALID_ARGUMENT", "states: 99"),
    ],
)
async def test_wrong_requests_are_told_what_is_wrong(
    calls: Calls, method: str, request_: object, code: str, said: str
) -> None:
    """Each has the status of its kind and a text that names what was wrong."""
    with pytest.raises(grpc.aio.AioRpcError) as wrong:
        await calls.ask(method, request_)
    assert refused(wrong)[0] is grpc.StatusCode[code]
    assert said in refused(wrong)[1]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Refused("injection is disabled"), "PERMISSION_DENIED", "injection is disabled"),
        (EngineUnreachable("no engine"), "UNAVAILABLE", "no engine"),
        (LedgerUnavailable("disk full"), "UNAVAILABLE", "disk full"),
        (RuntimeError("s3cret detail"), "INTERNAL", "its log tells more"),
    ],
)
async def test_errors_have_a_status(
    calls: Calls, control: MemoryControl, error: Exception, code: str, said: str
) -> None:
    """What the coordinator cannot do is told; a surprise is told nothing of."""
    control.fails["submit"] = lambda: error
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await calls.start(scenario=NAME)
    assert refused(failed)[0] is grpc.StatusCode[code]
    assert said in refused(failed)[1]
    assert "s3cret" not in refused(failed)[1]


async def test_executions_are_listed_in_pages(calls: Calls) -> None:
    """Newest first, page after page until the token is empty; states filter."""
    ids = [(await calls.start(scenario=NAME)).id for _ in range(5)]
    await calls.ask("StopExecution", pb.StopExecutionRequest(id=ids[0], reason="enough"))
    seen, token = [], ""
    while True:
        page = await calls.ask("ListExecutions", pb.ListExecutionsRequest(page_size=2, page_token=token))
        assert isinstance(page, pb.ListExecutionsResponse)
        seen += [one.id for one in page.executions]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]
    finished = await calls.ask("ListExecutions", pb.ListExecutionsRequest(states=[pb.EXECUTION_STATE_FINISHED]))
    assert isinstance(finished, pb.ListExecutionsResponse)
    assert [(one.id, one.reason) for one in finished.executions] == [(ids[0], "enough")]


async def test_a_finished_one_cannot_be_stopped(calls: Calls) -> None:
    """The second stop is a failed precondition."""
    started = await calls.start(scenario=NAME)
    await calls.ask("StopExecution", pb.StopExecutionRequest(id=started.id))
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await calls.ask("StopExecution", pb.StopExecutionRequest(id=started.id))
    assert refused(late)[0] is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_watch_tells_everything_once(calls: Calls, control: MemoryControl) -> None:
    """All events with their places, then the execution; resumed at a place it tells the rest and nothing twice."""
    started = await calls.start(scenario=NAME)
    control.tell("one", "two", "three")
    told = [news async for news in calls.watch(started.id)]
    assert [(news.event.place, news.event.entry.event) for news in told[:3]] == [(1, "one"), (2, "two"), (3, "three")]
    assert told[3].finished.id == started.id
    rest = [news async for news in calls.watch(started.id, after=2)]
    assert [news.event.place for news in rest if news.HasField("event")] == [3]
    assert [news.WhichOneof("news") async for news in calls.watch(started.id, after=3)] == ["finished"]


@pytest.mark.parametrize(("execution_id", "after", "code"), [("x", 0, "NOT_FOUND"), ("x", -1, "INVALID_ARGUMENT")])
async def test_a_wrong_watch_is_refused(calls: Calls, execution_id: str, after: int, code: str) -> None:
    """An unknown execution and a place that cannot be are told, not waited for."""
    with pytest.raises(grpc.aio.AioRpcError) as wrong:
        await calls.watch(execution_id, after).read()
    assert refused(wrong)[0] is grpc.StatusCode[code]


async def test_a_client_that_leaves_ends_its_watch(calls: Calls, control: MemoryControl) -> None:
    """Cancelled by the client, the stream's work on the server ends: nobody waits for news any more."""
    started = await calls.start(scenario=NAME)
    control.live = True
    control.tell("one")
    before = asyncio.all_tasks()
    watch = calls.watch(started.id)
    assert (await watch.read()).event.entry.event == "one"
    assert asyncio.all_tasks() - before
    watch.cancel()
    with anyio.fail_after(PATIENCE_S):
        while {one for one in asyncio.all_tasks() - before if "timeline" in repr(one) or "Watch" in repr(one)}:
            await anyio.lowlevel.checkpoint()


async def test_a_stop_tells_a_watch_where_to_go_on(listeners: Listeners, control: MemoryControl) -> None:
    """A watch that the server ends is UNAVAILABLE and names the place, so that no end is taken for the execution's."""
    async with client(listeners) as channel:
        calls = Calls(channel)
        async with living(made(listeners, control)) as life:
            await channel.channel_ready()
            started = await calls.start(scenario=NAME)
            control.live = True
            control.tell("one", "two")
            watch = calls.watch(started.id)
            assert [(await watch.read()).event.place for _ in range(2)] == [1, 2]
            life.stopping.set()
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await watch.read()
    assert refused(ended) == (grpc.StatusCode.UNAVAILABLE, "the API is stopping; watch again with after=2")


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer other"),), (("authorization", "t0ken"),), (*BEARER, *BEARER)],
)
async def test_without_the_token_nobody_is_let_in(
    listeners: Listeners, control: MemoryControl, metadata: tuple[tuple[str, str], ...]
) -> None:
    """No token, another one, no scheme, two: UNAUTHENTICATED, for unary calls, streams and unknown methods alike."""
    async with living(made(listeners, control)), client(listeners) as channel:
        await channel.channel_ready()
        stub = service.ExecutionServiceStub(channel)
        unknown = channel.unary_unary("/testcoordinator.v1.ExecutionService/Nothing")
        asked = [
            stub.StartExecution(pb.StartExecutionRequest(scenario=NAME), metadata=metadata, timeout=PATIENCE_S),
            stub.WatchExecution(pb.WatchExecutionRequest(id="x"), metadata=metadata, timeout=PATIENCE_S).read(),
            unknown(b"", metadata=metadata, timeout=PATIENCE_S),
        ]
        for call in asked:
            with pytest.raises(grpc.aio.AioRpcError) as turned_away:
                await call
            assert refused(turned_away)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert control.accepted == {}


async def test_what_a_client_walked_away_from_is_accepted(
    listeners: Listeners, control: MemoryControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start whose client hangs up while it is accepted is accepted all the same."""
    entered, go, done = anyio.Event(), anyio.Event(), anyio.Event()
    accept = control.submit

    async def slowly(*args: object, **named: object) -> object:
        entered.set()
        await go.wait()
        accepted = await accept(*args, **named)  # type: ignore[arg-type]  # handed on as they came
        done.set()
        return accepted

    monkeypatch.setattr(control, "submit", slowly)
    actor, life = made(listeners, control), Life()
    async with anyio.create_task_group() as tree, client(listeners) as channel:
        tree.start_soon(actor.run, life)
        await life.up.wait()
        await channel.channel_ready()
        call = service.ExecutionServiceStub(channel).StartExecution(
            pb.StartExecutionRequest(scenario=NAME), metadata=BEARER
        )
        with anyio.fail_after(PATIENCE_S):
            await entered.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            go.set()
            await done.wait()
        life.stopping.set()
    assert len(control.accepted) == 1
