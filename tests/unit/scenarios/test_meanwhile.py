"""A person undoes a fault while it is on, and then does the same by hand: that stays."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.faults.needs import Need
from coordinator.record import Execution, FaultRow, FaultState, UndoState, Verdict
from coordinator.scenarios.outcomes import NETWORK_GONE, OUTCOMES
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

PAUSE = "type: container_pause, target: a"
APART = "type: network_disconnect, target: a, network: bridge"
Step = tuple[float, Callable[[Fleet], None]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def played(made: Fleet, fault: str, *steps: Step) -> tuple[Execution, FaultRow]:
    """Ten seconds of this fault on a, while somebody does these, so many seconds after its start; and its row then."""
    text = f"targets: {{a: {{names: [a]}}}}\nphases: [{{name: on, duration: 10s, faults: [{{{fault}, at: 1s}}]}}]\n"
    player = await made.player(text)
    rows: list[FaultRow] = []

    async def meanwhile() -> None:
        begun = anyio.current_time()
        for after, do in steps:
            await anyio.sleep(max(0.0, begun + after - anyio.current_time()))
            do(made)
        await anyio.sleep(1)
        rows.extend(await made.rows())

    async with anyio.create_task_group() as group:
        group.start_soon(meanwhile)
        await player.play(f"{player.id}@/")
    stored = await made.ledger.execution(player.id)
    assert stored is not None
    return stored, rows[0]


def interruptions(execution: Execution) -> list[str]:
    """What the timeline tells of them."""
    return [entry.text for entry in execution.timeline if entry.event == "fault_interrupted"]


def pause(made: Fleet) -> None:
    made.engine.pause("a")


def unpause(made: Fleet) -> None:
    made.engine.unpause("a")


def connect(made: Fleet) -> None:
    made.engine.state.connect("bridge", "a")


def disconnect(made: Fleet) -> None:
    made.engine.state.disconnect("bridge", "a")


@pytest.mark.parametrize("policy", ["end", "reapply"])
async def test_a_pause_by_hand_after_the_fault_stays(policy: str) -> None:
    """Unpaused and paused by hand: the end leaves it, and so does whoever finds the row after a crash right then."""
    async with fleet("a") as made:
        fault = f"{PAUSE}, on_target_restart: {policy}"
        execution, then = await played(made, fault, (4.0, unpause), (6.0, pause))
        assert (made.state("a"), made.runner.verbs()) == (ContainerState.PAUSED, ["pause"])
        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE)
        assert execution.faults[0].targets[0].outcome == f"effective; {OUTCOMES[Need.SUPERSEDED]}"

        assert (then.fault.state, then.left) == (FaultState.ACTIVE, ())
        done = await made.undoer.undo(then, 30)
        assert (made.state("a"), done.fault.state) == (ContainerState.PAUSED, FaultState.UNDONE)


async def test_a_disconnect_by_hand_after_the_fault_stays() -> None:
    """Connected and disconnected by hand: it is not connected again, at the end or after a crash."""
    async with fleet("a") as made:
        execution, then = await played(made, APART, (4.0, connect), (6.0, disconnect))
        assert made.engine.state.find("a").networks == {}
        assert execution.undo is UndoState.COMPLETE
        await made.undoer.undo(then, 30)
        assert made.engine.state.find("a").networks == {}
        assert [text for _, text in made.runner.ran if text.startswith("network connect")] == []


async def test_what_goes_with_the_disconnect_is_mended_all_the_same() -> None:
    """Connected by hand, it is in the network; its other names in /etc/hosts are the fault's to bring back."""
    async with fleet() as made:
        made.engine.add("a", networks={"bridge": "172.17.0.9", "kept": "172.18.0.9"})
        lines = set(made.engine.state.find("a").lines)
        execution, _ = await played(made, APART, (4.0, connect))
        assert execution.undo is UndoState.COMPLETE
        assert set(made.engine.state.find("a").lines) == lines


async def test_a_pause_that_may_still_come_is_not_given_up() -> None:
    """One of the next run that nobody has seen yet: that the container runs does not say that somebody undid it."""
    async with fleet("a") as made, anyio.create_task_group() as late:

        class CutOff:
            """The second pause is killed, and comes about in the engine all the same."""

            async def run(self, command: Command) -> Outcome:
                if command.argv[0] != "pause" or made.runner.verbs().count("pause") == 1:
                    return await made.engine.runner.run(command)
                late.start_soon(self.comes_about)
                return Outcome(exit_code=None, timed_out=True)

            async def comes_about(self) -> None:
                await anyio.sleep(4.0)
                made.engine.pause("a")

        def happens(made: Fleet) -> None:
            made.engine.state.tell(made.engine.state.find("a"), "rename")

        def restart(made: Fleet) -> None:
            late.start_soon(made.engine.restart, "a", 0.0, 0.0)

        made.runner.runner = CutOff()
        steps = (4.0, restart), (6.5, happens), (7.0, happens)
        execution, _ = await played(made, f"{PAUSE}, on_target_restart: reapply", *steps)
        assert made.runner.verbs() == ["pause", "pause", "unpause"]
        assert (made.state("a"), execution.undo) == (ContainerState.RUNNING, UndoState.COMPLETE)


@pytest.mark.parametrize("others", [{}, {"kept": "172.18.0.9"}])
async def test_a_network_that_is_gone_is_not_gone_back_to(others: dict[str, str]) -> None:
    """The undo is done at once and says so, in the execution and for whoever finds the row after a crash; what else
    went with the disconnect is mended.
    """
    async with fleet() as made:
        made.engine.add("a", networks={"bridge": "172.17.0.9", **others})
        container = made.engine.state.find("a")
        lines = {container.line(each) for each in others}

        def remove(made: Fleet) -> None:
            made.engine.state.remove_network("bridge")

        execution, then = await played(made, APART, (4.0, remove))
        (target,) = execution.faults[0].targets
        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE)
        assert target.outcome == f"effective; {NETWORK_GONE}"
        assert [each.text for each in execution.timeline if each.event == "fault_undone"] == [target.outcome]
        at = {entry.event: entry.offset_s for entry in execution.timeline}
        assert at["fault_undone"] - at["phase_started"] < 12.0
        assert lines <= set(container.lines)
        done = await made.undoer.undo(then, 30)
        assert (done.fault.state, done.last_error) == (FaultState.UNDONE, "")


async def test_every_interruption_is_told() -> None:
    """Twice undone by hand is told twice."""
    async with fleet("a") as made:
        execution, _ = await played(made, PAUSE, (3.0, unpause), (5.0, pause), (7.0, unpause))
        assert len(interruptions(execution)) == 2
        assert made.state("a") is ContainerState.RUNNING


async def test_what_keeps_failing_is_told_once() -> None:
    """A container that its restart policy starts again and again is no news with each run."""

    def die(made: Fleet) -> None:
        made.engine.die("a")

    async with fleet() as made:
        made.engine.add("a", restart_policy="always")
        deaths = tuple((at, die) for at in (4.0, 6.0, 8.0))
        execution, _ = await played(made, "type: container_crash, target: a", *deaths)
        assert len(interruptions(execution)) == 1
