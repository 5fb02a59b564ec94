"""What a fault's record says of what it did: how many packets it met, and whether that was any."""

import pytest

from coordinator.record import Execution, Verdict
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
    targets = "targets: {a: {names: [a]}, b: {names: [b]}}\n"
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
