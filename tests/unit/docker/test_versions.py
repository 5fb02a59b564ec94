import random

import pytest

from actors.docker.simulated import SimulatedEngine
from actors.docker.versions import cli_version, is_current, parse_cli_version
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import Command, Outcome
from tests.clocks import LoopClock


@pytest.mark.anyio
async def test_the_cli_tells_its_version() -> None:
    """The version comes from the CLI alone, so it is known without an engine."""
    async with SimulatedEngine(LoopClock(), random.Random(1)) as engine:
        engine.down()
        assert await cli_version(engine.runner) == "28.2.2"


class Wrapper:
    """A program named docker that is none."""

    async def run(self, command: Command) -> Outcome:
        return Outcome(exit_code=0, stdout="emulating\n")


@pytest.mark.anyio
async def test_a_docker_that_is_none_is_named() -> None:
    """What prints no version is refused with what it printed."""
    with pytest.raises(EngineUnreachable, match="printed no version: 'emulating'"):
        await cli_version(Wrapper())


@pytest.mark.parametrize(
    ("text", "version", "current"),
    [
        ("Docker version 28.2.2, build e6534b4", "28.2.2", True),
        ("Docker version 20.10.24+dfsg1, build 297e128", "20.10.24", False),
        ("Docker version v25.0.0-rc.1, build x", "25.0.0", True),
    ],
)
def test_versions_are_read_and_judged(text: str, version: str, current: bool) -> None:
    """The number is taken without prefix, suffix or build, and 25 or newer speaks to a current engine."""
    assert parse_cli_version(text) == version
    assert is_current(version) is current
