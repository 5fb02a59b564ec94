from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import grpc
import grpc.aio
import pytest
from anyio.abc import SocketStream
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from actors.prober import Prober
from coordinator.record import Reading
from coordinator.scenarios.probes import Probe
from tests.unit.certificates import Certificate, self_signed
from tests.unit.prober.scene import (
    DictionaryEngine,
    OneOutcome,
    container,
    port_of,
    probe,
    secrets,
    unused_port,
)

pytestmark = pytest.mark.anyio

STATES = {
    "": health_pb2.HealthCheckResponse.SERVING,
    "shop": health_pb2.HealthCheckResponse.NOT_SERVING,
    "new": health_pb2.HealthCheckResponse.UNKNOWN,
}


@pytest.fixture
def anyio_backend() -> str:
    """grpc.aio knows asyncio alone."""
    return "asyncio"


@asynccontextmanager
async def server(port: int = 0, *, tls: Certificate | None = None, told: bool = True) -> AsyncIterator[int]:
    """A gRPC server with a health service, or without any."""
    made = grpc.aio.server()
    if told:
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, made)
        for name, state in STATES.items():
            await servicer.set(name, state)
    place = f"127.0.0.1:{port}"
    if tls is None:
        bound = made.add_insecure_port(place)
    else:
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        bound = made.add_secure_port(place, grpc.ssl_server_credentials([pair]))
    await made.start()
    try:
        yield int(bound)
    finally:
        await made.stop(None)


def prober() -> Prober:
    """One that knows no container."""
    return Prober(facts=DictionaryEngine(), runner=OneOutcome(), secrets=secrets)


async def sampled(*probes: Probe) -> list[Reading]:
    """One reading of each, in turn."""
    async with prober().kept(datetime.now(UTC)) as sampler:
        return [await sampler.sample(one, {}) for one in probes]


async def test_each_state_is_a_value() -> None:
    """SERVING is good unless another is expected; what is not is a wrong answer with its value."""
    async with server() as port:
        serving, ill, unknown, none, wanted = await sampled(
            probe("grpc_health", host="127.0.0.1", port=port),
            probe("grpc_health", host="localhost", port=port, service="shop"),
            probe("grpc_health", host="127.0.0.1", port=port, service="new"),
            probe("grpc_health", host="127.0.0.1", port=port, service="none"),
            probe("grpc_health", host="127.0.0.1", port=port, service="shop", expect={"status": "NOT_SERVING"}),
        )
    assert (serving.ok, serving.value, serving.error) == (True, "SERVING", "")
    assert serving.latency_s is not None
    assert [reading.value for reading in (ill, unknown, none)] == ["NOT_SERVING", "UNKNOWN", "SERVICE_UNKNOWN"]
    assert ill.error == "wrong answer: NOT_SERVING, expected SERVING"
    assert (wanted.ok, wanted.value) == (True, "NOT_SERVING")


async def test_failures_are_told_apart() -> None:
    """Nobody, silence, a server without health, and one that hangs up."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)

    async def hang_up(stream: SocketStream) -> None:
        await stream.aclose()

    async with server(told=False) as bare, listener, anyio.create_task_group() as group:
        # Its connections are taken by the kernel and answered by nobody.
        silent = probe("grpc_health", host="127.0.0.1", port=port_of(listener), timeout="300ms")
        refused, timeout, wrong = await sampled(
            probe("grpc_health", host="127.0.0.1", port=await unused_port()),
            silent,
            probe("grpc_health", host="127.0.0.1", port=bare),
        )
        group.start_soon(listener.serve, hang_up)
        (broken,) = await sampled(probe("grpc_health", host="127.0.0.1", port=port_of(listener)))
        group.cancel_scope.cancel()
    assert refused.error.startswith("refused: ConnectionRefusedError")
    assert timeout.error == "timeout: no answer within 0.3 s"
    assert wrong.error.startswith("wrong answer: UNIMPLEMENTED")
    assert broken.error.startswith("broken: Lost")


async def test_a_restart_between_two_samples_is_no_failure() -> None:
    """The kept channel ended with the server; while nobody is there, it is refused, and good at once afterwards."""
    async with prober().kept(datetime.now(UTC)) as sampler:
        async with server() as port:
            look = probe("grpc_health", host="127.0.0.1", port=port)
            readings = [await sampler.sample(look, {})]
        async with server(port):
            readings.append(await sampler.sample(look, {}))
        readings.append(await sampler.sample(look, {}))
        async with server(port):
            readings.append(await sampler.sample(look, {}))
    assert [reading.error.split(":")[0] for reading in readings] == ["", "", "refused", ""]


async def test_a_target_that_moved_is_found_again() -> None:
    """A sample without an answer makes the next one ask where the container is now."""
    engine = DictionaryEngine()
    engine.put(container(address="127.0.0.1"))
    async with server() as port:
        targets = {"web": (container(address="127.0.0.77"),)}
        look = probe("grpc_health", target="web", port=port)
        subject = Prober(facts=engine, runner=OneOutcome(), secrets=secrets)
        first, second = await subject.sample(look, targets), await subject.sample(look, targets)
    assert first.error.startswith("refused")
    assert second.ok


async def test_certificates_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `tls`, a server is good whose certificate the machine trusts, and no other."""
    trusted = self_signed(tmp_path, "trusted")
    stranger = self_signed(tmp_path, "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate))
    async with server(tls=trusted) as known, server(tls=stranger) as unknown:
        good, bad = await sampled(
            probe("grpc_health", host="127.0.0.1", port=known, tls=True),
            probe("grpc_health", host="127.0.0.1", port=unknown, tls=True),
        )
    assert good.ok, good
    assert bad.error.startswith("tls: SSLCertVerificationError")
