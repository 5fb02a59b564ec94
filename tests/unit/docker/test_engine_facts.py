"""What a look makes of an engine that is slow, broken, restarted or not there. The good answers are the contract's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import pytest

from actors.docker.engine_facts import DockerFacts
from coordinator.errors import EngineUnreachable
from tests.unit.docker.stub_engine import StubEngine

pytestmark = pytest.mark.anyio

EVENT = {
    "Type": "container",
    "Action": "die",
    "timeNano": 1_500_000_000,
    "Actor": {"ID": "c1", "Attributes": {"name": "web", "exitCode": "137"}},
}


@contextmanager
def engine_at(path: Path) -> Iterator[StubEngine]:
    """An engine that listens until the end."""
    engine = StubEngine(path)
    try:
        yield engine
    finally:
        engine.close()


def readers() -> list[threading.Thread]:
    """The threads that read events."""
    return [thread for thread in threading.enumerate() if thread.name == "engine-events"]


async def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:
    """An engine that takes the question and gives no answer is unreachable after the timeout."""
    with engine_at(tmp_path / "s") as engine:
        engine.silent = True
        facts = DockerFacts(engine.endpoint, timeout_s=0.3)
        with pytest.raises(EngineUnreachable, match=r"no answer within 0\.3 s"):
            await facts.engine()
        await facts.aclose()


async def test_an_error_of_the_engine_is_passed_on(tmp_path: Path) -> None:
    """What the engine answers in place of facts stands in the error; the next look needs no new connection."""
    with engine_at(tmp_path / "s") as engine:
        facts = DockerFacts(engine.endpoint)
        engine.error = "layer does not exist"
        with pytest.raises(EngineUnreachable, match="answered with an error: layer does not exist"):
            await facts.engine()
        engine.error = ""
        assert (await facts.engine()).id == "STUB"
        assert [path.rpartition("/")[2] for path in engine.asked] == ["version", "info", "info"]
        await facts.aclose()


async def test_a_restarted_engine_is_found_again(tmp_path: Path) -> None:
    """While the engine is away a look says so, and the first look after its return succeeds."""
    facts = DockerFacts(f"unix://{tmp_path}/s")
    for _ in range(2):
        with pytest.raises(EngineUnreachable, match="no such socket: start Docker"):
            await facts.engine()
        with engine_at(tmp_path / "s"):
            assert (await facts.engine()).id == "STUB"
    await facts.aclose()


async def test_a_cancelled_look_returns_at_once(tmp_path: Path) -> None:
    """Cancelling a look does not wait for the engine's answer."""
    with engine_at(tmp_path / "s") as engine:
        engine.silent = True
        facts = DockerFacts(engine.endpoint, timeout_s=25)
        with anyio.fail_after(10), anyio.move_on_after(0.2) as cancelled:
            await facts.engine()
        assert cancelled.cancelled_caught


async def test_events_end_with_the_engine(tmp_path: Path) -> None:
    """Events arrive as they are sent, and the end of the stream is EngineUnreachable, not a silent end."""
    with ExitStack() as until:
        engine = until.enter_context(engine_at(tmp_path / "s"))
        engine.events = [EVENT]
        async with DockerFacts(engine.endpoint).events() as events:
            first = await anext(events)
            assert (first.at, first.action, first.container_id, first.exit_code) == (1.5, "die", "c1", 137)
            await anyio.to_thread.run_sync(until.close)
            with pytest.raises(EngineUnreachable, match="the event stream ended"):
                await anext(events)
    assert readers() == []


@pytest.mark.parametrize("waiting", [0, 300])
async def test_leaving_the_stream_ends_its_thread(tmp_path: Path, waiting: int) -> None:
    """Whether the stream is quiet or full of events nobody takes, leaving it or being cancelled leaves no thread."""
    with engine_at(tmp_path / "s") as engine:
        engine.events = [EVENT] * waiting
        async with DockerFacts(engine.endpoint).events():
            assert len(readers()) == 1
        assert readers() == []
        with anyio.move_on_after(0.2):
            async with DockerFacts(engine.endpoint).events() as events:
                async for _ in events:
                    pass
        assert readers() == []


async def test_a_consumers_own_error_comes_through_unwrapped(tmp_path: Path) -> None:
    """What the body of the stream raises is what its caller sees."""
    with engine_at(tmp_path / "s") as engine:
        with pytest.raises(LookupError):
            async with DockerFacts(engine.endpoint).events():
                raise LookupError
        assert readers() == []


async def test_a_stream_that_does_not_open_is_given_up(tmp_path: Path) -> None:
    """An engine that answers with an error in place of the stream is unreachable."""
    with engine_at(tmp_path / "s") as engine:
        engine.error = "no"
        with pytest.raises(EngineUnreachable):
            async with DockerFacts(engine.endpoint).events():
                pytest.fail("the stream opened")
    assert readers() == []
