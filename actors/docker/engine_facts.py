"""Looks at a real engine through its API, changing nothing. Knows no fault and judges nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import requests
from docker.api.client import APIClient
from docker.errors import APIError, DockerException, NotFound

from actors.docker.container_log import read_log
from actors.docker.endpoint import unreachable
from actors.docker.event_stream import events_url, watch
from actors.docker.inspection import container_facts, engine_event, engine_info
from coordinator.errors import EngineUnreachable
from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogPart,
    LogPlace,
    TargetLock,
)
from coordinator.faults.leftovers import HELPER
from coordinator.faults.locks import NAME_PREFIX, parse_lock
from coordinator.identity import LABEL_ROLE
from coordinator.ports import LogStream

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
"""How long the engine may keep one answer."""


class DockerFacts:
    """The EngineFacts of a real engine: one API client, opened at first need and again after a failure.

    `limit` looks run at once, each in a thread of its own limiter, so that no other library's threads can starve them.
    """

    def __init__(self, endpoint: str, limit: int = 4, timeout_s: float = TIMEOUT_S, slowness: float = 1.0) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s * slowness
        self._limiter = anyio.CapacityLimiter(limit)
        self._client: APIClient | None = None
        self._opening = threading.Lock()

    async def engine(self) -> EngineInfo:
        """Which engine it is. Raises EngineUnreachable, as every look does."""
        return await self._ask(lambda client: engine_info(client.info(), self._endpoint, client.api_version))

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        """All containers, or those of `ids` that still exist, freshly inspected, sorted by name (1 ms each)."""
        wanted = None if ids is None else tuple(ids)
        return await self._ask(lambda client: _containers(client, wanted))

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        """The states of those of `ids` that still exist, in one request (3 ms for 20)."""
        wanted = tuple(ids)
        if not wanted:
            return {}
        return await self._ask(lambda client: _states(client, wanted))

    async def locks(self) -> tuple[TargetLock, ...]:
        """Every target lock on the engine, of any instance."""
        return await self._ask(_locks)

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        """Every helper container on the engine, of any instance and in any state, sorted by name."""
        return await self._ask(_helpers)

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        """Count what a container logged behind `place`, 8 MiB at a time; None if it is gone. The engine itself reads
        the whole log for each look.
        """
        return await self._ask(lambda client: read_log(client, container_id, place, stream, matches))

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        """The container events of `ids` but for execs, from `since` until now, if among the engine's last 256."""
        wanted = tuple(ids)
        if not wanted:
            return ()
        return await self._ask(lambda client: _events_since(client, since, wanted, local=self._local))

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """Container and network events as they happen; the iterator raises EngineUnreachable when the stream breaks.

        Entering returns when the engine has begun to send. Leaving closes the stream and ends its thread.
        """
        return watch(self._endpoint, self._open, self._timeout_s)

    async def aclose(self) -> None:
        """Close the idle connections; the next look opens new ones."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._forget, self._client, limiter=self._limiter)

    @property
    def _local(self) -> bool:
        """Whether the engine reads the same clock."""
        return self._endpoint.startswith("unix:")

    async def _ask(self, look: Callable[[APIClient], T]) -> T:
        # Abandoned when cancelled: the thread ends by itself at the client's timeout and changes nothing.
        return await anyio.to_thread.run_sync(self._look, look, abandon_on_cancel=True, limiter=self._limiter)

    def _look(self, look: Callable[[APIClient], T]) -> T:
        """Look through the open client; if it was open before and fails, once more through a new one."""
        reused = self._client is not None
        try:
            return self._once(look)
        except requests.ConnectionError as error:
            if not reused or isinstance(error, requests.Timeout):
                raise unreachable(self._endpoint, error, self._timeout_s) from error
        except (requests.RequestException, DockerException, OSError) as error:
            raise self._failure(error) from error
        try:
            return self._once(look)
        except (requests.RequestException, DockerException, OSError) as error:
            raise self._failure(error) from error

    def _once(self, look: Callable[[APIClient], T]) -> T:
        self._knock()
        with self._opening:
            client = self._client = self._client or self._open()
        try:
            return look(client)
        except APIError:
            raise
        except (requests.RequestException, OSError):
            self._forget(client)
            raise

    def _failure(self, error: Exception) -> EngineUnreachable:
        if isinstance(error, APIError):
            return EngineUnreachable(f"Docker engine at {self._endpoint} answered with an error: {error.explanation}")
        return unreachable(self._endpoint, error, self._timeout_s)

    def _open(self) -> APIClient:
        """A new client. The request for the API version is its first look at the engine."""
        self._knock()
        client = APIClient(base_url=self._endpoint, version="auto", timeout=self._timeout_s)
        # A proxy of the environment is not for the engine.
        client.trust_env = False
        return client

    def _knock(self) -> None:
        """Connect to a socket file and let go: the SDK, when refused, leaves its socket to the garbage collector."""
        if self._local:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(self._timeout_s)
                probe.connect(self._endpoint.removeprefix("unix://"))

    def _forget(self, client: APIClient | None) -> None:
        with self._opening:
            if client is not None and client is self._client:
                self._client = None
        if client is not None:
            client.close()


def _containers(client: APIClient, ids: tuple[str, ...] | None) -> tuple[ContainerFacts, ...]:
    # One after another: the engine and this process share the time either way, and threads were not faster (measured).
    if ids is None:
        ids = tuple(listed["Id"] for listed in client.containers(all=True))
    found = []
    for identity in ids:
        with contextlib.suppress(NotFound):
            found.append(container_facts(client.inspect_container(identity)))
    return tuple(sorted(found, key=lambda container: container.name))


def _states(client: APIClient, ids: tuple[str, ...]) -> dict[str, ContainerState]:
    listed = client.containers(all=True, filters={"id": list(ids)})
    return {each["Id"]: ContainerState(each["State"]) for each in listed if each["Id"] in ids}


def _helpers(client: APIClient) -> tuple[ContainerFacts, ...]:
    listed = client.containers(all=True, filters={"label": f"{LABEL_ROLE}={HELPER}"})
    return _containers(client, tuple(each["Id"] for each in listed)) if listed else ()


def _locks(client: APIClient) -> tuple[TargetLock, ...]:
    # By the name that all have: a label would not find those that have none.
    volumes = client.volumes(filters={"name": NAME_PREFIX})["Volumes"] or ()
    parsed = (parse_lock(volume["Name"], volume["Labels"] or {}) for volume in volumes)
    locks = [
        lock
        for lock in parsed
        if lock is not None and (not lock.torn or _has_no_labels(client, NAME_PREFIX + lock.container_id))
    ]
    return tuple(sorted(locks, key=lambda lock: lock.container_id))


def _has_no_labels(client: APIClient, volume: str) -> bool:
    """Lists show one that is just being made without them; an inspection waits until it is made."""
    try:
        return not client.inspect_volume(volume)["Labels"]
    except APIError:
        # Gone, or out of bounds by a filter before the socket.
        return False


def _events_since(client: APIClient, since: datetime, ids: tuple[str, ...], *, local: bool) -> tuple[EngineEvent, ...]:
    # The engine waits until its own clock reads `until`.
    until = f"{time.time():.9f}" if local else client.info()["SystemTime"]
    filters = json.dumps({"type": ["container"], "container": list(ids)})
    query = {"since": f"{since.timestamp():.9f}", "until": until, "filters": filters}
    response = client.get(events_url(client), params=query, timeout=client.timeout)
    response.raise_for_status()
    events = (engine_event(json.loads(line)) for line in response.iter_lines())
    return tuple(event for event in events if event.container_id in ids and not event.action.startswith("exec_"))
