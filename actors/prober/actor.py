"""The prober: takes a sample in the task of whoever asks, alive or between two lives. What it finds is a reading,
never an error. Decides neither when to sample nor what a sample means.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import assert_never

import anyio
import anyio.to_thread

from actors.prober import container_probe, exec_probe, http_probe, prometheus_probe, tcp_probe
from actors.prober.addresses import Addresses
from actors.prober.failures import failed, timed_out
from actors.prober.http_probe import SecretSource
from coordinator.faults.facts import ContainerFacts
from coordinator.ports import CommandRunner, EngineFacts
from coordinator.record import Reading
from coordinator.scenarios.model import ContainerProbe, ExecProbe, HttpProbe, Probe, PrometheusProbe, TcpProbe
from coordinator.supervision import ChildContext

Targets = Mapping[str, tuple[ContainerFacts, ...]]


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

    async def sample(self, probe: Probe, targets: Targets) -> Reading:
        """Look once, within the probe's timeout. Only cancellation is raised."""
        reading: Reading | None = None
        try:
            with anyio.move_on_after(probe.timeout):
                reading = await self._look(probe, targets)
        except Exception as error:  # noqa: BLE001  # a probe's error is a bad sample, whatever it is
            reading = failed(error)
        reading = reading or timed_out(probe.timeout)
        if isinstance(probe, HttpProbe | TcpProbe) and probe.target and not reading.ok and reading.latency_s is None:
            self._addresses.doubt(targets.get(probe.target, ()))
        return reading

    async def _look(self, probe: Probe, targets: Targets) -> Reading:
        match probe:
            case HttpProbe():
                return await http_probe.look(probe, await self._url(probe, targets), self._secrets, self._trusted)
            case TcpProbe():
                host = probe.host or await self._address(probe.target, targets)
                return await tcp_probe.look(host, probe.port)
            case ContainerProbe():
                return await container_probe.look(probe, targets.get(probe.target, ()), self._facts)
            case ExecProbe():
                return await exec_probe.look(probe, targets.get(probe.target, ()), self._runner, self._facts)
            case PrometheusProbe():
                return await prometheus_probe.look(probe, self._secrets, self._trusted)
            case _:
                assert_never(probe)

    async def _url(self, probe: HttpProbe, targets: Targets) -> str:
        if probe.url is not None:
            return probe.url
        address = await self._address(probe.target, targets)
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{probe.port}/{probe.path.removeprefix('/')}"

    async def _address(self, target: str | None, targets: Targets) -> str:
        containers: Sequence[ContainerFacts] = targets.get(target or "", ())
        return await self._addresses.of(target or "", containers)

    def _trusted(self) -> ssl.SSLContext:
        """The certificates of this life; between two lives they are read on the spot, and kept for the next sample."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
