"""What is said of an undo: put back is only what was there and was put back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio
import pytest

from coordinator.faults.commands import LEFT, LIMITS_PROGRAM, Command, DockerCommand, Outcome
from coordinator.ports import CommandRunner
from coordinator.record import UndoState
from coordinator.scenarios.outcomes import NOTHING_LEFT, OVER, RUN_OVER
from coordinator.scenarios.undo import Undoer
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio
CPU = "{type: cpu_limit, target: x, cpus: 0.5}"


@pytest.fixture
def anyio_backend() -> Backend:
    """A virtual clock."""
    return virtual_backend("asyncio")


def scenario(*faults: str) -> str:
    """One phase with these."""
    return f"targets: {{x: {{names: [web]}}}}\nphases: [{{name: p, duration: 5s, faults: [{', '.join(faults)}]}}]\n"


async def outcomes(house: Fleet, text: str) -> list[str]:
    """Of each fault on its one target, once it is played; all is undone."""
    played = await house.play(text)
    assert played.undo is UndoState.COMPLETE
    return [target.outcome for row in await house.rows() for target in row.fault.targets]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (CPU, OVER),
        ("{type: memory_stress, target: x, size: 1m}", OVER),
        ("{type: network_blackhole, target: x}", OVER),
        ("{type: exec, target: x, command: [do], undo_command: [undo]}", RUN_OVER),
    ],
)
async def test_what_went_with_its_run_is_not_put_back(fault: str, said: str) -> None:
    """Nor changed by somebody else: the container was restarted."""
    async with fleet("web") as house, anyio.create_task_group() as group:

        async def restart() -> None:
            await anyio.sleep(2)
            await house.engine.runner.run(DockerCommand(argv=("restart", "web")))

        group.start_soon(restart)
        assert await outcomes(house, scenario(fault)) == [f"effective; {said}"]


async def test_what_is_put_back_is_said_so() -> None:
    """In the run that was hit."""
    async with fleet("web") as house:
        assert await outcomes(house, scenario(CPU)) == ["effective; put back"]


async def test_what_was_refused_is_not_put_back() -> None:
    """Its undo is run all the same, and finds nothing."""
    async with fleet("web") as house:
        # Of another execution: two of one scenario are refused in its plan.
        house.engine.state.find("web").limits["cpu"] = ("another", "0.1")
        (text,) = await outcomes(house, scenario(CPU))
        assert text.startswith("not injected")
        assert text.endswith(f"another fault limits its cpu already; {NOTHING_LEFT}")


@dataclass
class Changed:
    """A runner whose program finds that somebody else has changed the limit."""

    runner: CommandRunner

    async def run(self, command: Command) -> Outcome:
        outcome = await self.runner.run(command)
        theirs = LIMITS_PROGRAM in command.argv and "remove" in command.argv
        said = f"{LEFT}cpu.max was set to 150000 by somebody else\n"
        return outcome.model_copy(update={"stdout": said}) if theirs else outcome


async def test_what_somebody_else_has_changed_is_theirs() -> None:
    """The program that should set it back says so."""
    async with fleet("web") as house:
        undoer = Undoer(Changed(house.runner), house.engine.facts, house.ledger, house.clock)
        house.tools = replace(house.tools, undoer=undoer)
        said = "effective; changed by somebody else since: left as it is"
        assert await outcomes(house, scenario(CPU)) == [said]


async def test_what_was_never_in_a_container_that_is_down_did_not_go_with_it() -> None:
    """It ended at that very moment: why the fault was not injected is said, and no more."""
    async with fleet("web") as house:

        async def die(command: Command) -> None:
            if "put" in command.argv:
                house.engine.die("web")

        house.runner.before = die
        (text,) = await outcomes(house, scenario(CPU))
        assert text.startswith("not injected")
        assert text.endswith(f"no process of this container is seen from here; {NOTHING_LEFT}")
