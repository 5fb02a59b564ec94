import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
import pytest

from actors.contract import Actor
from actors.prober import Prober
from coordinator import ports
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import ContainerFacts
from coordinator.scenarios.probes import Probe
from tests.unit.prober.scene import (
    DictionaryEngine,
    OneOutcome,
    answer,
    container,
    probe,
    secrets,
    serving,
    unused_port,
)

pytestmark = pytest.mark.anyio

NOWHERE: Mapping[str, tuple[ContainerFacts, ...]] = {}


@dataclass
class Life:
    """What a running actor is given."""

    path: str = "root/prober"
    incarnation: int = 1
    stopping: anyio.Event = field(default_factory=anyio.Event)
    up: anyio.Event = field(default_factory=anyio.Event)

    def ready(self, value: object = None) -> None:
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        raise AssertionError(f"a prober is never degraded: {reason}")


class BrokenRunner:
    """A runner with a defect."""

    async def run(self, command: Command) -> Outcome:
        raise RuntimeError("boom")


def prober(engine: DictionaryEngine | None = None, runner: ports.CommandRunner | None = None) -> Prober:
    return Prober(facts=engine or DictionaryEngine(), runner=runner or OneOutcome(), secrets=secrets)


def test_it_is_an_actor_and_a_prober() -> None:
    """One object satisfies both contracts; without it the process is not unhealthy."""
    subject = prober()
    actor: Actor = subject
    port: ports.Prober = subject
    sampler: ports.Sampler = subject
    assert (actor.name, actor.critical) == ("prober", False)
    assert port.kept == subject.kept
    assert sampler.sample == subject.sample


async def test_refused_timeout_and_wrong_answer_are_told_apart() -> None:
    """What goes wrong with a request is a bad reading that says which of the three it was."""
    subject = prober()
    refused = await subject.sample(probe("http", url=f"http://127.0.0.1:{await unused_port()}/"), NOWHERE)
    async with serving(lambda head: None if "slow" in head else answer("500 Oops")) as server:
        timeout = await subject.sample(probe("http", url=server.url + "slow", timeout="100ms"), NOWHERE)
        wrong = await subject.sample(probe("http", url=server.url), NOWHERE)
    async with serving(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") as server:
        broken = await subject.sample(probe("http", url=server.url), NOWHERE)
    assert refused.error.startswith("refused: ConnectionRefusedError")
    assert timeout.error == "timeout: no answer within 0.1 s"
    assert wrong.error == "wrong answer: status 500, expected 2xx"
    assert broken.error.startswith("broken: RemoteProtocolError")
    assert [reading.ok for reading in (refused, timeout, wrong, broken)] == [False] * 4
    assert [reading.latency_s is None for reading in (refused, timeout, wrong, broken)] == [True, True, False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        probe("http", url="http://127.0.0.1:1/", headers={"X": "line\nbreak"}),
        probe("http", url="http://127.0.0.1:1/", headers={"X": {"secret": "OTHER"}}),
        probe("http", target="web", port=80),
        probe("tcp", host="no-such-host.invalid", port=1),
        probe("tcp", target="web", port=80),
        probe("container", target="web"),
        probe("exec", target="web", command=("true",)),
    ],
    ids=str,
)
async def test_no_probe_raises(wrong: Probe) -> None:
    """Whatever is wrong with a probe or its target is a bad reading with a reason."""
    reading = await prober().sample(wrong, NOWHERE)
    assert not reading.ok
    assert reading.error


async def test_a_defect_is_a_bad_sample() -> None:
    """An error nobody thought of becomes a bad reading too."""
    reading = await prober(runner=BrokenRunner()).sample(
        probe("exec", target="t", command=("x",)), {"t": (container(),)}
    )
    assert reading.error == "error: RuntimeError: boom"


async def test_cancellation_passes_through() -> None:
    """A cancelled sample ends as cancelled, not as a reading."""
    readings = []
    asked = anyio.Event()

    def respond(_: str) -> None:
        asked.set()

    async with serving(respond) as server, anyio.create_task_group() as group:

        async def ask() -> None:
            readings.append(await prober().sample(probe("http", url=server.url), NOWHERE))

        group.start_soon(ask)
        await asked.wait()
        group.cancel_scope.cancel()
    assert readings == []


async def test_a_redirect_to_a_link_local_address_is_refused() -> None:
    """A server cannot send a probe where it may not go."""
    elsewhere = answer("302 Found", b"", "Location: http://169.254.169.254/latest/")
    async with serving(lambda _: elsewhere) as server:
        reading = await prober().sample(probe("http", url=server.url, follow_redirects=True), NOWHERE)
    assert reading.error.startswith("LinkLocalAddress: 169.254.169.254")


async def test_a_target_is_reached_at_its_containers_address() -> None:
    """Probes of a target go to the address of its first container that has one."""
    targets = {"web": (container("web-1"), container("web-2", address="127.0.0.1"))}
    async with serving(lambda _: answer()) as server:
        subject = prober()
        http = await subject.sample(probe("http", target="web", port=server.port, path="health"), targets)
        tcp = await subject.sample(probe("tcp", target="web", port=server.port), targets)
        assert server.requests[0].startswith("GET /health HTTP/1.1\r\n")
    assert http.ok
    assert tcp.ok


async def test_a_target_that_moved_is_found_again() -> None:
    """A sample without an answer makes the next one ask where the container is now."""
    engine = DictionaryEngine()
    engine.put(container(address="127.0.0.1"))
    async with serving(lambda _: answer()) as server:
        # Nobody listens there: the server is bound to 127.0.0.1 alone.
        targets = {"web": (container(address="127.0.0.77"),)}
        look = probe("tcp", target="web", port=server.port)
        subject = prober(engine)
        first, second = await subject.sample(look, targets), await subject.sample(look, targets)
    assert first.error.startswith("refused")
    assert second.ok


async def test_an_ipv6_target_is_put_in_brackets() -> None:
    """An IPv6 address of a container makes a valid URL."""
    targets = {"web": (container(address="::1"),)}
    reading = await prober().sample(probe("http", target="web", port=await unused_port()), targets)
    assert "InvalidURL" not in reading.error
    assert not reading.ok


async def test_samples_outlive_the_life() -> None:
    """A sample is good before the first life, during one, while one is killed, and after it."""
    async with serving(lambda _: answer()) as server:
        subject, look, lives = prober(), probe("http", url=server.url), 3
        readings = [await subject.sample(look, NOWHERE)]
        async with anyio.create_task_group() as group:
            killed = anyio.Event()

            async def ask() -> None:
                while not killed.is_set():
                    readings.append(await subject.sample(look, NOWHERE))

            group.start_soon(ask)
            for incarnation in range(1, lives + 1):
                life = Life(incarnation=incarnation)
                async with anyio.create_task_group() as body:
                    body.start_soon(subject.run, life)
                    await life.up.wait()
                    readings.append(await subject.sample(look, NOWHERE))
                    body.cancel_scope.cancel()
            killed.set()
        readings.append(await subject.sample(look, NOWHERE))
    assert len(readings) > lives + 2
    assert {reading.error for reading in readings} == {""}


async def test_it_stops_when_asked() -> None:
    """A life ends soon after it is asked to."""
    life = Life()
    with contextlib.suppress(TimeoutError):
        async with anyio.create_task_group() as group:
            group.start_soon(prober().run, life)
            await life.up.wait()
            life.stopping.set()
