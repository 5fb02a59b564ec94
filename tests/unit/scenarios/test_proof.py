"""What a fault's record says of what it did: how many packets it met, and how far apart its targets were hit."""

import anyio
import pytest

from coordinator.faults.commands import Command, Outcome
from coordinator.record import Execution, UndoState, Verdict
from coordinator.scenarios.effects import LACKING, REFUSED
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def scenario(*faults: str) -> str:
    """Ten seconds of these."""
    listed = ", ".join(f"{{{fault}}}" for fault in faults)
    targets = "targets: {a: {names: [a]}, b: {names: [b]}, both: {names: [a, b]}}\n"
    return f"{targets}phases: [{{name: on, duration: 10s, faults: [{listed}]}}]\n"


CUT = "type: network_partition, between: [a, b], at: 1s"


async def played(made: Fleet, *faults: str) -> Execution:
    """The record of an execution with these faults."""
    player = await made.player(scenario(*faults))
    await player.play(f"{player.id}@/")
    stored = await made.ledger.execution(player.id)
    assert stored is not None
    return stored


def told(execution: Execution, event: str) -> list[str]:
    """The texts of these entries of the timeline."""
    return [entry.text for entry in execution.timeline if entry.event == event]


@pytest.mark.parametrize(("packets", "vain"), [((1240, 0), []), ((0, 0), ["met no packet: nothing was disturbed"])])
async def test_what_was_met_is_kept(packets: tuple[int, int], vain: list[str]) -> None:
    """By target in its outcome, in figures and on the timeline; a fault that met nothing is told, and still passes."""
    async with fleet("a", "b") as made:
        for name, count in zip("ab", packets, strict=True):
            made.engine.state.find(name).packets = count
        execution = await played(made, CUT)
        targets = {target.name: target for target in execution.faults[0].targets}
        assert {name: target.packets for name, target in targets.items()} == dict(zip("ab", packets, strict=True))
        assert targets["b"].outcome == "effective; put back; met no packet"
        assert [target.outcome for target in execution.faults[0].targets] == told(execution, "fault_undone")
        if not vain:
            assert targets["a"].outcome == "effective; put back; met 1,240 packets, all stopped"
        assert (told(execution, "fault_met_nothing"), execution.verdict) == (vain, Verdict.PASSED)


@pytest.mark.parametrize("max_skew", ["", "1500ms", "300ms"])
async def test_how_far_apart_is_told_and_held_against_what_was_asked(max_skew: str) -> None:
    """Helpers that end at different times: the timeline says so; above max_skew all is undone and it is an error."""
    async with fleet("a", "b") as made:
        later = made.engine.state.find("b").id

        async def wait(command: Command) -> None:
            if "put" in command.argv and later in command.argv:
                await anyio.sleep(1)

        made.runner.before = wait
        asked = f", max_skew: {max_skew}" if max_skew else ""
        execution = await played(made, f"type: cpu_limit, cpus: 0.1, target: both, at: 1s{asked}")
        (spread,) = told(execution, "fault_spread")
        assert spread.endswith(" ms between the first and the last")
        assert 900 < int(spread.split()[0]) < 1200
        assert execution.undo is UndoState.COMPLETE
        assert [made.engine.state.find(name).limits for name in "ab"] == [{}, {}]
        if max_skew != "300ms":
            assert execution.verdict is Verdict.PASSED
            return
        assert execution.verdict is Verdict.ERROR
        assert execution.reason == (
            "cpu_limit on both: its effects on 2 containers lie "
            f"{spread.split()[0]} ms apart, and max_skew allows 300ms"
        )


async def test_how_far_apart_is_read_from_the_engine() -> None:
    """What one look sees at once was not at once: the engine's events tell. One container alone is not apart."""
    async with fleet("a", "b") as made:
        execution = await played(made, "type: container_pause, target: both, at: 1s")
        paused = [event.at for event in made.engine.state.log if event.action == "pause"]
        assert 0 < max(paused) - min(paused) < 0.01
        apart = f"{(max(paused) - min(paused)) * 1000:.1f} ms between the first and the last"
        assert told(execution, "fault_spread") == [apart]
    async with fleet("a", "b") as made:
        assert told(await played(made, "type: container_pause, target: a, at: 1s"), "fault_spread") == []


@pytest.mark.parametrize(
    ("exit_code", "verdict"), [(LACKING, Verdict.ERROR), (REFUSED, Verdict.NOT_INJECTED), (0, Verdict.PASSED)]
)
async def test_what_the_machine_lacks_is_an_error(exit_code: int, verdict: Verdict) -> None:
    """Not what one target refuses: nobody could have been hit. A user's own command may end with any code."""
    async with fleet("a", "b") as made:

        class Helpers:
            """Its puts in network namespaces, and a user's command, end with this code."""

            async def run(self, command: Command) -> Outcome:
                if command.namespace or command.argv[0] == "exec":
                    return Outcome(exit_code=exit_code if {"put", "sh"} & set(command.argv) else 0, stderr="no netem")
                return await made.engine.runner.run(command)

        made.runner.runner = Helpers()
        execution = await played(made, "type: network_loss, percent: 1%, mechanism: netem, target: a")
        assert execution.verdict is verdict
        assert (execution.reason == "network_loss on a: no netem") is (verdict is Verdict.ERROR)
        execution = await played(made, "type: exec, command: [sh], target: a")
        assert execution.verdict is (Verdict.NOT_INJECTED if exit_code else Verdict.PASSED)
