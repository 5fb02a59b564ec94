"""ExecutionService (proto/testcoordinator/v1): executions as calls. Asks the coordinator and decides nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio

from actors.grpc_api.answering import Answering, Ending, WrongRequest
from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2 as pb
from actors.grpc_api.generated.testcoordinator.v1 import executions_pb2_grpc as service
from actors.grpc_api.messages import STATES, entry_of, execution_of
from coordinator.detached import Detached
from coordinator.logging import task
from coordinator.ports import Control
from coordinator.record import Submission, TimelineEntry

SERVICE_NAME: Final = "testcoordinator.v1.ExecutionService"
DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 500
STOP_REASON: Final = "stopped over gRPC"
MAX_REASON: Final = 500
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class ExecutionService(service.ExecutionServiceServicer):
    """One per incarnation of the actor; `ending` is set when the server begins to leave."""

    def __init__(self, control: Control, detached: Detached) -> None:
        """Keep who is asked."""
        self._control = control
        self._detached = detached
        self.ending = anyio.Event()

    async def StartExecution(self, request: pb.StartExecutionRequest, context: Any) -> pb.Execution:  # noqa: N802  # named in the proto
        """Accept and queue; once begun it is accepted even if the client hangs up."""
        async with Answering(context):
            # Its own Eliot task becomes the execution's.
            with task("grpc:request", method="StartExecution"):
                submission = await self._submission(request)
                key = request.idempotency_key if request.HasField("idempotency_key") else None
                if key is not None and _KEY.fullmatch(key) is None:
                    raise WrongRequest("idempotency_key: 1 to 255 visible ASCII characters are allowed")
                submitted = self._control.submit(submission, idempotency_key=key)
                return execution_of(await self._detached.finish(submitted))

    async def GetExecution(self, request: pb.GetExecutionRequest, context: Any) -> pb.Execution:  # noqa: N802  # named in the proto
        """One execution."""
        async with Answering(context):
            return execution_of(await self._control.execution(request.id))

    async def ListExecutions(  # noqa: N802  # named in the proto
        self, request: pb.ListExecutionsRequest, context: Any
    ) -> pb.ListExecutionsResponse:
        """A page of them."""
        async with Answering(context):
            if not 0 <= request.page_size <= MAX_PAGE:
                raise WrongRequest(f"page_size: {request.page_size}; allowed: 0 to {MAX_PAGE}")
            unknown = [number for number in request.states if number not in STATES]
            if unknown:
                raise WrongRequest(f"states: {unknown[0]}; allowed: {', '.join(map(str, STATES))}")
            size = request.page_size or DEFAULT_PAGE
            states = [STATES[number] for number in request.states] or None
            # One more than asked for tells whether there is a next page.
            found = await self._control.executions(states, size + 1, request.page_token or None)
            shown = found[:size]
            token = shown[-1].id if len(found) > len(shown) else ""
            return pb.ListExecutionsResponse(executions=map(execution_of, shown), next_page_token=token)

    async def StopExecution(self, request: pb.StopExecutionRequest, context: Any) -> pb.Execution:  # noqa: N802  # named in the proto
        """Ask one to stop and undo."""
        async with Answering(context):
            if len(request.reason) > MAX_REASON:
                raise WrongRequest(f"reason: {len(request.reason)} characters; at most {MAX_REASON} are taken")
            with task("grpc:request", method="StopExecution", execution=request.id):
                stopped = self._control.stop(request.id, request.reason or STOP_REASON)
                return execution_of(await self._detached.finish(stopped))

    async def WatchExecution(  # noqa: N802  # named in the proto
        self, request: pb.WatchExecutionRequest, context: Any
    ) -> AsyncIterator[pb.WatchExecutionResponse]:
        """Events as they happen, then the finished execution. Ends with the client's interest in it."""
        async with Answering(context):
            if request.after < 0:
                raise WrongRequest(f"after: {request.after}; allowed: the place of an event, or 0")
            place = request.after
            await self._control.execution(request.id)
            while entries := await self._next(request.id, place):
                for entry in entries:
                    place += 1
                    yield pb.WatchExecutionResponse(event=pb.Event(place=place, entry=entry_of(entry)))
            yield pb.WatchExecutionResponse(finished=execution_of(await self._control.execution(request.id)))

    async def _next(self, execution_id: str, place: int) -> tuple[TimelineEntry, ...]:
        """What comes next; empty when nothing more will. Raises Ending when the API stops."""
        entries: tuple[TimelineEntry, ...] | None = None
        async with anyio.create_task_group() as group:

            async def wait_for_entries() -> None:
                nonlocal entries
                entries = await self._control.timeline(execution_id, place)
                group.cancel_scope.cancel(reason="told")

            group.start_soon(wait_for_entries)
            await self.ending.wait()
            group.cancel_scope.cancel(reason="the API is stopping")
        if entries is None:
            raise Ending(f"the API is stopping; watch again with after={place}")
        return entries

    async def _submission(self, request: pb.StartExecutionRequest) -> Submission:
        match request.WhichOneof("source"):
            case "scenario":
                source, file = (await self._control.scenario(request.scenario)).source, f"{request.scenario}.yaml"
            case "yaml":
                source, file = request.yaml, "<yaml>"
            case _:
                raise WrongRequest("give one of scenario and yaml")
        return Submission(
            source=source,
            file=file,
            variables=dict(request.variables),
            seed=request.seed if request.HasField("seed") else None,
            expect_plan=request.expect_plan if request.HasField("expect_plan") else None,
        )
