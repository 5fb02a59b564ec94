"""The prober: takes a sample in the task of whoever asks, alive or between two lives. What it finds is a reading,
never an error. Decides neither when to sample nor what a sample means.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, assert_never

import anyio
import anyio.to_thread

from actors.prober import container_probe, exec_probe, http_probe, log_probe, prometheus_probe, redis_probe, tcp_probe
from actors.prober.addresses import Addresses
from actors.prober.connections import Connections
from actors.prober.failures import failed, timed_out
from actors.prober.log_probe import Tallies
from actors.prober.secret_texts import SecretSource
from coordinator.faults.facts import ContainerFacts, LogPlace
from coordinator.ports import CommandRunner, EngineFacts
from coordinator.record import Reading
from coordinator.scenarios.probes import (
    ContainerProbe,
    ExecProbe,
    GrpcHealthProbe,
    HttpProbe,
    LogProbe,
    Probe,
    PrometheusProbe,
    RedisProbe,
    SqlProbe,
    TcpProbe,
)
from coordinator.supervision import ChildContext

Targets = Mapping[str, tuple[ContainerFacts, ...]]
_EVER: Final = datetime.fromtimestamp(0, UTC)


class Prober:
    """Satisfies `coordinator.ports.Prober`. Each life loads the trusted certificates anew; a sample needs no life."""

    name = "prober"
    critical = False

    def __init__(self, *, facts: EngineFacts, runner: CommandRunner, secrets: SecretSource) -> None:
        self._facts = facts
        self._runner = runner
        self._secrets = secrets
        self._addresses = Addresses(facts)
        self._tls: ssl.SSLContext | None = None

    async def run(self, life: ChildContext) -> None:
        """Live once: certificates are read in a thread, since that takes longer than many a sample."""
        self._tls = await anyio.to_thread.run_sync(ssl.create_default_context)
        try:
            life.ready()
            await life.stopping.wait()
        finally:
            self._tls = None

    @asynccontextmanager
    async def kept(self, since: datetime) -> AsyncIterator[_Kept]:
        """What the probes of one execution share: connections, and how far logs are read."""
        sampler = _Kept(self, since)
        try:
            yield sampler
        finally:
            await sampler.connections.aclose()

    async def sample(self, probe: Probe, targets: Targets) -> Reading:
        """Look once, keeping nothing; logs are read from their beginning."""
        async with self.kept(_EVER) as sampler:
            return await sampler.sample(probe, targets)

    async def look(self, probe: Probe, targets: Targets, kept: _Kept) -> Reading:
        """Look once, however long it takes. Raises what goes wrong."""
        match probe:
            case HttpProbe():
                return await http_probe.look(probe, await self._url(probe, targets), self._secrets, self._trusted)
            case TcpProbe():
                return await tcp_probe.look(await self._host(probe, targets), probe.port)
            case GrpcHealthProbe():
                from actors.prober import grpc_health_probe

                host = await self._host(probe, targets)
                return await grpc_health_probe.look(probe, host, self._trusted, kept.connections)
            case ContainerProbe():
                return await container_probe.look(probe, targets.get(probe.target, ()), self._facts)
            case ExecProbe():
                return await exec_probe.look(probe, targets.get(probe.target, ()), self._runner, self._facts)
            case SqlProbe():
                from actors.prober import sql_probe

                return await sql_probe.look(probe, self._secrets, kept.connections)
            case RedisProbe():
                return await redis_probe.look(probe, self._secrets, self._trusted, kept.connections)
            case PrometheusProbe():
                return await prometheus_probe.look(probe, self._secrets, self._trusted)
            case LogProbe():
                return await log_probe.look(probe, targets.get(probe.target, ()), self._facts, kept.tallies)
            case _:
                assert_never(probe)

    def doubt(self, probe: Probe, targets: Targets, reading: Reading) -> None:
        """A look without an answer: the container may have another address by now."""
        unanswered = not reading.ok and reading.latency_s is None
        if isinstance(probe, HttpProbe | TcpProbe | GrpcHealthProbe) and probe.target and unanswered:
            self._addresses.doubt(targets.get(probe.target, ()))

    async def _url(self, probe: HttpProbe, targets: Targets) -> str:
        if probe.url is not None:
            return probe.url
        address = await self._address(probe.target, targets)
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{probe.port}/{probe.path.removeprefix('/')}"

    async def _host(self, probe: TcpProbe | GrpcHealthProbe, targets: Targets) -> str:
        return probe.host or await self._address(probe.target, targets)

    async def _address(self, target: str | None, targets: Targets) -> str:
        containers: Sequence[ContainerFacts] = targets.get(target or "", ())
        return await self._addresses.of(target or "", containers)

    def _trusted(self) -> ssl.SSLContext:
        """The certificates of this life; between two lives they are read on the spot, and kept for the next sample."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class _Kept:
    """Satisfies `coordinator.ports.Sampler`."""

    def __init__(self, prober: Prober, since: datetime) -> None:
        self._prober = prober
        self.connections = Connections()
        self.tallies = Tallies(LogPlace(at_ns=round(since.timestamp() * 1e6) * 1000))

    async def sample(self, probe: Probe, targets: Targets) -> Reading:
        """Look once, within the probe's timeout. Only cancellation is raised."""
        reading: Reading | None = None
        try:
            with anyio.move_on_after(probe.timeout):
                reading = await self._prober.look(probe, targets, self)
        except Exception as error:  # noqa: BLE001  # a probe's error is a bad sample, whatever it is
            reading = failed(error)
        reading = reading or timed_out(probe.timeout)
        self._prober.doubt(probe, targets, reading)
        return reading
