"""Targets that move while a fault is on, played on the simulated engine."""

from __future__ import annotations

import anyio
import pytest

from coordinator.errors import LedgerUnavailable
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.faults.looks import LATE_S
from coordinator.faults.stress import CpuStress
from coordinator.record import Execution, FaultState, UndoState, Verdict
from coordinator.scenarios import inject
from coordinator.scenarios.follow import follow_engine, what_happened
from coordinator.scenarios.inject import Injection
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def scenario(fault: str) -> str:
    """Ten seconds of one fault on a and b."""
    return (
        "targets: {a: {names: [a]}, b: {names: [b]}}\n"
        f"phases: [{{name: on, duration: 10s, faults: [{{{fault}, at: 1s}}]}}]\n"
    )


PAUSE = "type: container_pause, target: a"
CUT = "type: network_partition, between: [a, b]"


async def played(made: Fleet, text: str, *happens: tuple[float, str, str]) -> Execution:
    """Played while these happen: so many seconds after the start, this, to that container."""
    player = await made.player(text)

    async def meanwhile() -> None:
        begun = anyio.current_time()
        for after, what, name in happens:
            await anyio.sleep(max(0.0, begun + after - anyio.current_time()))
            container = made.engine.state.find(name)
            if what == "remove":
                made.engine.remove(name)
            elif what == "unpause":
                made.engine.unpause(container.id)
            else:
                await getattr(made.engine, what)(container.id, *((0.0, 0.0) if what == "restart" else ()))

    async with anyio.create_task_group() as group:
        group.start_soon(meanwhile)
        await player.play(f"{player.id}@/")
    stored = await made.ledger.execution(player.id)
    assert stored is not None
    return stored


def told(execution: Execution, event: str) -> list[str]:
    """The texts of these entries of the timeline."""
    return [entry.text for entry in execution.timeline if entry.event == event]


async def test_by_default_a_fault_ends_with_its_run() -> None:
    """The gap is on the timeline, the new run is left alone, and nothing is owed."""
    async with fleet("a", "b") as made:
        execution = await played(made, scenario(PAUSE), (4.0, "restart", "a"))

        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE)
        assert len(told(execution, "fault_interrupted")) == 1
        assert told(execution, "fault_reapplied") == []
        assert made.runner.verbs() == ["pause"]
        assert made.state("a") is ContainerState.RUNNING


async def test_reapplied_on_the_next_run() -> None:
    """The new run is hit as well, its undo durable before, the gap told, and it is put back in the end."""
    async with fleet("a", "b") as made:
        text = scenario(f"{PAUSE}, on_target_restart: reapply")
        execution = await played(made, text, (4.0, "restart", "a"))

        assert told(execution, "fault_reapplied")[0].startswith("gap ")
        assert made.runner.verbs() == ["pause", "pause", "unpause"]
        assert made.state("a") is ContainerState.RUNNING
        (row,) = await made.rows()
        assert (row.fault.state, row.undos[0].started_at) == (
            FaultState.UNDONE, made.engine.state.find("a").started_at,
        )  # fmt: skip


async def test_a_second_stop_that_is_cut_off_is_waited_for() -> None:
    """A stop on the next run goes on in the engine when its fault ends in the grace: it is started all the same."""
    async with fleet("a", "b") as made:
        made.engine.state.find("a").ends_on = frozenset()
        fault = "type: container_stop, target: a, grace: 3s, for: 6s, on_target_restart: reapply"
        execution = await played(made, scenario(fault), (6.0, "start", "a"))

        assert made.runner.verbs() == ["stop", "stop", "start"]
        assert (made.state("a"), execution.undo) == (ContainerState.RUNNING, UndoState.COMPLETE)


@pytest.mark.parametrize(("exit_code", "waited_for"), [(1, False), (125, True)])
async def test_what_a_helper_refused_on_the_next_run_is_not_waited_for(exit_code: int, *, waited_for: bool) -> None:
    """Its program has ended: nothing more comes of it. Where the engine lost sight of it, something may."""
    puts: list[str] = []

    async with fleet("a", "b") as made:

        class Second:
            """Fails at the second put."""

            async def run(self, command: Command) -> Outcome:
                if not command.of_helper:
                    return await made.engine.runner.run(command)
                puts.extend(word for word in command.argv if word == "put")
                refused = "put" in command.argv and len(puts) > 1
                return Outcome(exit_code=exit_code if refused else 0, stderr="no")

        made.runner.runner = Second()
        text = scenario("type: cpu_limit, target: a, cpus: 1, on_target_restart: reapply")
        execution = await played(made, text, (4.0, "restart", "a"))

        assert (told(execution, "fault_not_reapplied"), execution.undo) == (["no"], UndoState.COMPLETE)
        at = {entry.event: entry.offset_s for entry in execution.timeline}
        assert (at["fault_undone"] - at["phase_started"] - 10.0 > LATE_S) is waited_for


async def test_what_did_not_show_on_one_run_is_owed_whatever_becomes_of_others() -> None:
    """A pause that hung may come about later: also when another target was hit again meanwhile, and that was seen."""
    async with fleet("a", "b") as made:
        a = made.engine.state.find("a").id
        pauses: list[Command] = []

        class Hung:
            """The second pause of a is killed and leaves no trace yet."""

            async def run(self, command: Command) -> Outcome:
                if command.argv[0] == "pause" and a in command.argv:
                    pauses.append(command)
                    if len(pauses) == 2:
                        return Outcome(exit_code=None, timed_out=True)
                return await made.engine.runner.run(command)

        made.runner.runner = Hung()
        fault = "type: container_pause, target: both, on_target_restart: reapply"
        text = scenario(fault).replace("{a: {names: [a]}, b: {names: [b]}}", "{both: {names: [a, b]}}")
        text = text.replace("10s", "60s")
        owed: list[tuple[str, ...]] = []

        async def watched() -> None:
            while True:
                await anyio.sleep(1)
                owed.extend(row.unsettled for row in await made.rows())

        async with anyio.create_task_group() as group:
            group.start_soon(watched)
            await played(made, text, (4.0, "restart", "a"), (30.0, "restart", "b"))
            group.cancel_scope.cancel()
        first = owed.index((a,))
        assert all(a in each for each in owed[first:-1])


async def test_a_stream_that_says_nothing_any_more_is_opened_anew() -> None:
    """As after an engine hung; what happened meanwhile is looked for."""
    moved: list[float] = []
    async with fleet("a") as made, anyio.create_task_group() as group:
        group.start_soon(follow_engine, made.engine.facts, lambda _: moved.append(anyio.current_time()))
        await anyio.sleep(5)
        assert len(moved) == 1
        made.engine.hang()
        await anyio.sleep(60)
        made.engine.up()
        await anyio.sleep(30)
        assert len(moved) == 2
        group.cancel_scope.cancel()


async def test_what_cannot_be_followed_ends_the_execution_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its undo has taken its time: nothing goes on to be broken for a verdict that is known."""

    async def lost(injection: Injection) -> None:
        await injection.moved.wait()
        raise LedgerUnavailable("no room")

    monkeypatch.setattr(inject, "follow", lost)
    async with fleet("a", "b") as made:
        execution = await played(made, scenario(PAUSE), (4.0, "restart", "a"))

        assert (execution.verdict, execution.reason) == (Verdict.ERROR, "container_pause on a: no room")
        assert execution.undo is UndoState.COMPLETE


async def test_what_somebody_put_back_is_not_broken_again() -> None:
    """A person who unpauses the target keeps it running, whatever a restart would do."""
    async with fleet("a", "b") as made:
        text = scenario(f"{PAUSE}, on_target_restart: reapply")
        execution = await played(made, text, (4.0, "unpause", "a"))

        assert "somebody else" in told(execution, "fault_interrupted")[0]
        assert made.runner.verbs() == ["pause"]


@pytest.mark.parametrize("fault", [PAUSE, CUT], ids=["pause", "cut"])
async def test_what_no_longer_exists_is_undone(fault: str) -> None:
    """A target that was removed is told of, needs no undo, and the execution ends well."""
    async with fleet("a", "b") as made:
        execution = await played(made, scenario(fault), (4.0, "remove", "a"))

        assert "gone" in told(execution, "fault_interrupted")[0]
        assert execution.undo is UndoState.COMPLETE
        assert made.engine.state.rules("b") == {}


async def test_rules_end_with_the_run_that_held_them() -> None:
    """A partition is lost with its namespace; the other side keeps its rules, and none is left in the end."""
    async with fleet("a", "b") as made:
        execution = await played(made, scenario(CUT), (4.0, "restart", "a"))

        assert execution.undo is UndoState.COMPLETE
        assert len(told(execution, "fault_interrupted")) == 1
        assert [made.engine.state.rules(name) for name in ("a", "b")] == [{}, {}]


async def test_a_partition_is_put_on_the_next_run() -> None:
    """With reapply the new namespace gets the same rules."""
    async with fleet("a", "b") as made:
        execution = await played(made, scenario(f"{CUT}, on_target_restart: reapply"), (4.0, "restart", "a"))

        assert len(told(execution, "fault_reapplied")) == 1
        assert [made.engine.state.rules(name) for name in ("a", "b")] == [{}, {}]
        assert execution.verdict is Verdict.PASSED


async def test_new_addresses_are_followed() -> None:
    """When the other side moves to another address, the rules are changed in place."""
    async with fleet("a", "b") as made:
        player = await made.player(scenario(CUT))

        async def move() -> None:
            await anyio.sleep(4.0)
            container = made.engine.state.find("b")
            container.networks = {"bridge": "172.17.9.9"}
            made.engine.pause(container.id)
            await anyio.sleep(1.0)
            (rules,) = made.engine.state.rules("a").values()
            assert "172.17.9.9" in rules
            made.engine.unpause(container.id)

        async with anyio.create_task_group() as group:
            group.start_soon(move)
            await player.play(f"{player.id}@/")
        execution = await made.ledger.execution(player.id)
        assert execution is not None
        assert len(told(execution, "fault_followed")) == 1


async def test_an_engine_that_restarts_is_looked_at_again() -> None:
    """What happened while nobody could see is found when the engine is back."""
    async with fleet("a", "b") as made:
        player = await made.player(scenario(PAUSE))

        async def meanwhile() -> None:
            await anyio.sleep(4.0)
            made.engine.down()
            await anyio.sleep(1.0)
            made.engine.up()

        async with anyio.create_task_group() as group:
            group.start_soon(meanwhile)
            await player.play(f"{player.id}@/")
        assert player.view().undo is UndoState.COMPLETE


async def test_a_container_that_ran_out_of_memory_is_told_apart() -> None:
    """From one that went down otherwise, even if the kernel has killed something beside its first process before."""
    async with fleet("a") as made:
        (target,) = (
            CpuStress.model_validate({"type": "cpu_stress", "target": "a"})
            .plan([made.engine.state.find("a").facts()])
            .targets
        )
        down = {"state": ContainerState.EXITED, "out_of_memory": True}
        facts = made.engine.state.find("a").facts()
        why = what_happened(target, facts.model_copy(update={**down, "exit_code": 137}))
        assert why == "the container is exited: the kernel killed it for want of memory, as the engine says"
        why = what_happened(target, facts.model_copy(update={**down, "exit_code": 0}))
        assert why == "the container is exited, and the fault is gone with its run"
