"""Commands side by side, and why one failed."""

from random import Random

import anyio
import pytest

from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import Command, DockerCommand, Outcome
from coordinator.scenarios.side_by_side import failure_text, run_all
from tests.conformance.virtual_time import Backend, virtual_backend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def test_what_cannot_start_takes_no_other_with_it() -> None:
    """A command that cannot start is an outcome without an exit code beside the others'."""

    class Partly:
        async def run(self, command: Command) -> Outcome:
            await anyio.sleep(Random(1).random())
            if command.argv == ("bad",):
                raise EngineUnreachable("no docker here")
            return Outcome(exit_code=0)

    commands = [DockerCommand(argv=(word,)) for word in ("good", "bad", "better")]
    outcomes = await run_all(Partly(), commands)
    assert [outcome.exit_code for outcome in outcomes] == [0, None, 0]
    assert failure_text(outcomes[1]) == "no docker here"
    alone = await run_all(Partly(), commands[1:2])
    assert alone[0].exit_code is None


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(exit_code=1, stderr="first\nlast\n"), "last"),
        (
            Outcome(exit_code=1, stderr="Error response from daemon: no space\nError: failed to start containers: a\n"),
            "Error response from daemon: no space",
        ),
        (Outcome(exit_code=9), "exit code 9"),
        (
            Outcome(exit_code=126, stdout="OCI runtime exec failed: no such file: unknown\n"),
            "OCI runtime exec failed: no such file: unknown",
        ),
        (Outcome(exit_code=1, stdout="OCI runtime exec failed: said by a program of theirs\n"), "exit code 1"),
        (Outcome(exit_code=None, timed_out=True, duration_s=60), "the command was killed at its deadline after 60.0 s"),
    ],
)
def test_failures_in_one_line(outcome: Outcome, text: str) -> None:
    """A failure is told by the engine's reason, else its last line, its exit code or its deadline."""
    assert failure_text(outcome) == text
