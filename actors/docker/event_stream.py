"""The engine's events as an async iterator: one thread reads the blocking stream and hands on one event at a time.

The reader takes the next event only when the last was taken, so nothing is dropped here and nothing piles up.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import requests
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from docker.api.client import APIClient
from docker.errors import DockerException

from actors.docker.endpoint import unreachable
from actors.docker.inspection import engine_event
from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import EngineEvent

WATCHED: Final = {
    "type": ["container", "network"],
    # Named one by one: health checks alone would fill the stream with exec_create, exec_start and exec_die.
    "event": [
        *(
            "create",
            "start",
            "restart",
            "stop",
            "kill",
            "die",
            "oom",
            "pause",
            "unpause",
            "destroy",
            "rename",
            "update",
        ),
        *("health_status", "connect", "disconnect"),
    ],
}
END_S: Final = 2.0
"""How long leaving waits for the thread; a thread still asking an engine that hangs ends at the client's timeout."""

OFFERED: Final = 256
"""Events that may wait to be taken; then the engine's side of the stream waits."""


def events_url(client: APIClient) -> str:
    """Where the engine tells its events."""
    return f"{client.base_url}/v{client.api_version}/events"


class _Reader:
    """The thread's side: opens the stream, hands on its events, tells its end."""

    def __init__(
        self,
        endpoint: str,
        connect: Callable[[], APIClient],
        timeout_s: float,
        offer: MemoryObjectSendStream[EngineEvent],
    ) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._timeout_s = timeout_s
        self._offer = offer
        self._token = anyio.lowlevel.current_token()
        self._guard = threading.Lock()
        self._response: requests.Response | None = None
        self._stopped = False
        # Daemonic, so that an engine that hangs cannot keep the process.
        self._thread = threading.Thread(target=self._run, name="engine-events", daemon=True)
        self.opened = anyio.Event()
        self.failure: EngineUnreachable | None = None

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    async def ended(self) -> None:
        """Wait until the thread is gone."""
        limiter = anyio.CapacityLimiter(1)
        await anyio.to_thread.run_sync(self._thread.join, END_S, abandon_on_cancel=True, limiter=limiter)

    def stop(self) -> None:
        """Cut the stream, so that the thread's blocking read returns."""
        with self._guard:
            self._stopped = True
            if self._response is not None:
                # The engine may have closed it first.
                with contextlib.suppress(OSError, RuntimeError, ValueError):
                    self._response.raw.shutdown()

    def _run(self) -> None:
        # The event loop may be gone, or nobody takes events any more: then there is nobody left to tell.
        with contextlib.suppress(anyio.RunFinishedError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            try:
                self._read()
                self.failure = self._ending()
            except (requests.RequestException, DockerException, OSError) as error:
                # An open stream ends by the connection's end, cleanly or not: the manner tells nothing.
                opened = self._response is not None
                self.failure = self._ending() if opened else unreachable(self._endpoint, error, self._timeout_s)
            finally:
                anyio.from_thread.run_sync(self._tell_end, token=self._token)

    def _read(self) -> None:
        """Hand on events until the stream ends or is cut."""
        with contextlib.closing(self._connect()) as client:
            # Silence is no failure here, so reading has no timeout; an engine that hangs is found by the client's first
            # request. The SDK's own stream leaves its socket to the garbage collector.
            query = {"filters": json.dumps(WATCHED)}
            response = client.get(events_url(client), params=query, stream=True, timeout=(self._timeout_s, None))
            with contextlib.closing(response):
                response.raise_for_status()
                with self._guard:
                    self._response = response
                    stopped = self._stopped
                if stopped:
                    return
                anyio.from_thread.run_sync(self.opened.set, token=self._token)
                for line in response.iter_lines():
                    anyio.from_thread.run(self._offer.send, engine_event(json.loads(line)), token=self._token)

    def _ending(self) -> EngineUnreachable:
        return EngineUnreachable(f"Docker engine at {self._endpoint}: the event stream ended: is Docker restarting?")

    def _tell_end(self) -> None:
        self._offer.close()
        self.opened.set()


class _Events:
    """The consumer's side."""

    def __init__(self, taken: MemoryObjectReceiveStream[EngineEvent], reader: _Reader) -> None:
        self._taken = taken
        self._reader = reader

    def __aiter__(self) -> AsyncIterator[EngineEvent]:
        return self

    async def __anext__(self) -> EngineEvent:
        try:
            return await self._taken.receive()
        except anyio.EndOfStream:
            if self._reader.failure is None:
                raise StopAsyncIteration from None
            raise self._reader.failure from None


@asynccontextmanager
async def watch(
    endpoint: str, connect: Callable[[], APIClient], timeout_s: float
) -> AsyncIterator[AsyncIterator[EngineEvent]]:
    """The events from now on. Raises EngineUnreachable here or from the iterator."""
    offer, taken = anyio.create_memory_object_stream[EngineEvent](OFFERED)
    reader = _Reader(endpoint, connect, timeout_s, offer)

    reader.start()
    try:
        await reader.opened.wait()
        if reader.failure is not None:
            raise reader.failure
        yield _Events(taken, reader)
    finally:
        # First nobody takes events, so that a reader handing one on returns; then its read is cut.
        taken.close()
        reader.stop()
        with anyio.move_on_after(END_S, shield=True):
            await reader.ended()
