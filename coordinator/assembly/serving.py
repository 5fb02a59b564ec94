"""The long-running process: the parts, the interfaces on their ports, and the signals that end it."""

from __future__ import annotations

import gc
import ipaddress
import json
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from coordinator.deaf_socket import EXIT_DEAF, PATIENCE_S, in_container, watch_socket
from coordinator.descriptors import raise_limit
from coordinator.errors import InvalidSettings
from coordinator.listeners import Listeners
from coordinator.metrics import Metrics, watch_loop_lag
from coordinator.process import Process
from coordinator.supervision import health
from coordinator.tls import Certificates, certificates_of
from coordinator.token import resolve_token

if TYPE_CHECKING:
    from actors.data_adapter.config import AdapterConfig
    from actors.data_adapter.presence import Announcement
    from coordinator.assembly.parts import Parts
    from coordinator.assembly.tree import Patience
    from coordinator.control import LocalControl
    from coordinator.logging import LogHandle
    from coordinator.settings import Settings
    from coordinator.supervision import ChildSpec, Snapshot, Supervisor

ENDPOINTS_FILE: Final = "endpoints.json"
LOSSES_EVERY_S: Final = 5.0
EXIT_SETTINGS: Final = 2

YOUNG: Final = 10_000
"""New objects after which the garbage collector looks at them; Python's own 700 suit short programs."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A coordinator that is up: what a test, or whoever embeds it, may look at."""

    supervisor: Supervisor
    control: LocalControl
    process: Process
    adapter_config: AdapterConfig
    http: str
    grpc: str
    watch: Callable[[Callable[[Snapshot], None]], None]
    """Have a function called with each new snapshot of the tree."""


def run_serve(settings: Settings, *, deaf_after_s: float = PATIENCE_S) -> int:
    """Live as the long-running process; returns the exit status. See `deaf_socket` for `deaf_after_s`."""
    # Clean-up of a forked child of gRPC is noise: commands are spawned, never forked.
    raise_limit()
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    return anyio.run(partial(serve, settings, on_started=_settle, deaf_after_s=deaf_after_s))


def _settle(_: Serving) -> None:
    """Leave what was made for good out of the rounds of the garbage collector, which stop the event loop: with it and a
    thousand clients each took a quarter of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


async def serve(
    settings: Settings,
    *,
    on_started: Callable[[Serving], None] = lambda _: None,
    take_signals: bool = True,
    deaf_after_s: float = PATIENCE_S,
    patience: Patience | None = None,
) -> int:
    """The process body: everything `serve` does, inside an event loop; returns the exit status.

    `on_started` is told once everything is up. Raises DataDirInUse, InvalidSettings, or CoordinatorError for a port
    that is taken.
    """
    from actors.docker import socket_file
    from coordinator.assembly.parts import Parts, logs
    from coordinator.assembly.warding import held

    certificates = certificates_of(settings)
    async with AsyncExitStack() as stack:
        log_handle = stack.enter_context(logs(settings, to_stdout=True))
        parts = Parts(settings, role="serve", patience=patience)
        await stack.enter_async_context(held(parts.ledger, parts.warden, unsure=parts.unsure))
        listeners = Listeners.open(settings.host, settings.http_port, settings.grpc_port)
        stack.callback(listeners.close)
        supervisor = parts.plant(*parts.children(), *_interfaces(settings, parts, listeners, certificates))
        parts.data_adapter.announcement = _announcement(settings, supervisor, listeners)

        async def started() -> None:
            endpoints = settings.data_dir / ENDPOINTS_FILE
            write_endpoints(endpoints, settings, listeners)
            stack.callback(endpoints.unlink, missing_ok=True)
            config, where = parts.data_adapter.config, (listeners.http.reachable, listeners.grpc.reachable)
            on_started(Serving(supervisor, parts.control, process, config, *where, parts.watchers.append))

        process = Process(
            supervisor, drain=parts.control.drain, on_started=started, deadline_s=settings.shutdown_deadline_seconds
        )
        parts.control.ending = lambda: process.stopping
        refusals: list[str] = []

        def refuse(reason: str) -> None:
            # Two instances of one schema would write over each other's history: neither may go on as if nothing were.
            refusals.append(f"{reason} (SERVICE_INSTANCE_NAME, POSTGRES_SCHEMA)")
            process.stop(reason, status=EXIT_SETTINGS)

        parts.data_adapter.on_other_owner = refuse
        async with anyio.create_task_group() as group:
            group.start_soon(watch_loop_lag, parts.metrics)
            group.start_soon(_watch_losses, log_handle, parts.metrics)
            if in_container():
                refuses = partial(socket_file.refuses, settings.docker_host)
                give_up = partial(process.stop, status=EXIT_DEAF)
                group.start_soon(partial(watch_socket, refuses, give_up, patience_s=deaf_after_s))
            status = await process.run(take_signals=take_signals)
            group.cancel_scope.cancel(reason="the process has ended")
        if refusals:
            raise InvalidSettings(refusals[0])
        return status


def _interfaces(
    settings: Settings, parts: Parts, listeners: Listeners, certificates: Certificates
) -> tuple[ChildSpec, ...]:
    """HTTP and gRPC, started after everything they tell of."""
    from actors.grpc_api.actor import GrpcApiActor
    from actors.http_api.actor import HttpApiActor
    from actors.http_api.app import Served
    from coordinator.assembly.tree import child

    token = resolve_token(settings)
    served = Served(
        parts.control,
        parts.metrics,
        settings.identity,
        token,
        parts.clock.now,
        settings.allowed_hosts,
    )
    http = HttpApiActor(listeners, served, tls=certificates.http)
    grpc = GrpcApiActor(listeners, parts.control, token, tls=certificates.grpc)
    parts.watchers.append(grpc.published)
    return child(http, parts.patience), child(grpc, parts.patience)


def _announcement(settings: Settings, supervisor: Supervisor, listeners: Listeners) -> Announcement:
    """What the registry says of this process: its name in the network where it listens on every address."""
    from actors.data_adapter.presence import Announcement

    http, grpc = listeners.http, listeners.grpc
    host = socket.gethostname() if ipaddress.ip_address(http.host).is_unspecified else http.host
    return Announcement(
        settings.service_version, host, http.port, grpc.port, status=lambda: health(supervisor.snapshot).status
    )


async def _watch_losses(logs: LogHandle, metrics: Metrics) -> None:
    """Count the log messages that could not be written."""
    told = 0
    while True:
        metrics.log_messages_lost(logs.lost - told)
        told = logs.lost
        await anyio.sleep(LOSSES_EVERY_S)


def write_endpoints(path: Path, settings: Settings, listeners: Listeners) -> None:
    """Say where this process answers, all at once: a reader never sees half of it."""
    said = {
        "pid": os.getpid(),
        "instance": settings.service_instance_name,
        "http": listeners.http.reachable,
        "grpc": listeners.grpc.reachable,
    }
    if settings.http_tls_cert is not None:
        # Commands read no `.env`, and must know what to trust.
        said["http_tls_cert"] = str(settings.http_tls_cert.absolute())
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(said) + "\n", encoding="utf-8")
    draft.replace(path)
