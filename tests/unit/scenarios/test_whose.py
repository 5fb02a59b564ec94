"""A person who pauses, stops or takes apart the very thing a fault is about to hit: it stays as the person left it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from uuid import UUID

import anyio
import pytest

from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerState
from coordinator.faults.lifecycle import ContainerPause, ContainerStop
from coordinator.record import Fault, FaultClass, FaultRow, FaultState, TargetOutcome, Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

PAUSED, EXITED, RUNNING = ContainerState.PAUSED, ContainerState.EXITED, ContainerState.RUNNING
Meddle = Callable[[Fleet], Awaitable[None]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def scenario(fault: str) -> str:
    """One fault for three seconds on all there is."""
    return (
        "targets: {x: {name_regex: '.*'}}\n"
        f"phases: [{{name: on, duration: 5s, faults: [{{type: {fault}, target: x, at: 1s, for: 3s}}]}}]\n"
    )


def just_before(made: Fleet, verb: str, meddle: Meddle) -> None:
    """Have it done when the fault's command is on its way: after the last look, and on disk it is fired."""

    async def before(command: Command) -> None:
        if command.argv[0] == verb or (verb == "crash" and command.of_helper):
            await meddle(made)
            # A person is done before the command is.
            await anyio.sleep(0.5)

    made.runner.before = before


async def pause(made: Fleet) -> None:
    made.engine.pause("a")


async def stop(made: Fleet) -> None:
    await made.engine.stop("a", 0, 0)


async def remove(made: Fleet) -> None:
    made.engine.remove("a")


CASES = [
    ("container_pause", "pause", pause, PAUSED),
    ("container_pause", "pause", stop, EXITED),
    ("container_kill", "kill", stop, EXITED),
    ("container_crash", "crash", stop, EXITED),
    ("container_kill", "kill", remove, None),
]


@pytest.mark.parametrize(("fault", "verb", "meddle", "left"), CASES)
async def test_what_the_engine_refuses_is_not_ours(
    fault: str, verb: str, meddle: Meddle, left: ContainerState | None
) -> None:
    """Nothing was injected and nothing is owed, at once and on disk; the other target is hit and put back."""
    async with fleet("a", "b") as made:
        just_before(made, verb, meddle)
        player = await made.player(scenario(fault))
        async with anyio.create_task_group() as group:
            group.start_soon(player.play, f"{player.id}@/")
            await anyio.sleep(3.3)
            (row,) = await made.rows()
            assert row.fault.state is FaultState.ACTIVE
            assert {undo.name for undo in row.undos} == {"b"}
        names = {each.name: each.state for each in made.engine.state.containers.values()}
        assert (names.get("a"), names["b"]) == (left, RUNNING)
        (row,) = await made.rows()
        assert outcomes(row) == {"a": (False, False), "b": (True, True)}
        told = {each.event: each.text for each in player.view().timeline if each.target == "a"}
        assert told["fault_not_injected"].startswith("nothing was done: ")


@pytest.mark.parametrize(("fault", "verb", "meddle", "left"), CASES[:4])
async def test_alone_it_is_not_injected(fault: str, verb: str, meddle: Meddle, left: ContainerState) -> None:
    """The verdict says that nothing was broken, whatever the container looks like."""
    async with fleet("a") as made:
        just_before(made, verb, meddle)
        execution = await made.play(scenario(fault))
        assert (execution.verdict, made.state("a")) == (Verdict.NOT_INJECTED, left)
        (row,) = await made.rows()
        assert (row.fault.state, row.undos) == (FaultState.NOT_INJECTED, ())


async def test_a_disconnect_that_is_refused_is_not_ours() -> None:
    """A container that somebody took out of the network is not brought back."""
    async with fleet("a") as made:

        async def disconnect(made: Fleet) -> None:
            made.engine.state.disconnect("bridge", "a")

        just_before(made, "network", disconnect)
        execution = await made.play(scenario("network_disconnect, network: bridge"))
        assert (execution.verdict, made.engine.state.find("a").networks) == (Verdict.NOT_INJECTED, {})
        assert [text for _, text in made.runner.ran if text.startswith("network connect")] == []


@pytest.mark.parametrize("ahead_s", [0.0, 7.0, -0.7])
async def test_a_stop_of_what_was_stopped_is_not_ours(ahead_s: float) -> None:
    """The engine takes it for a success: only its own times tell who was first, whatever its clock reads."""
    async with fleet("a", "b", ahead_s=ahead_s) as made:
        look = made.engine.facts.states

        async def and_then(ids: Collection[str]) -> Mapping[str, ContainerState]:
            seen = await look(ids)
            ended(made, "a")
            return seen

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(made.engine.facts, "states", and_then)
            execution = await made.play(scenario("container_stop"))
        assert (made.state("a"), made.state("b")) == (EXITED, RUNNING)
        (row,) = await made.rows()
        assert outcomes(row) == {"a": (False, False), "b": (True, True)}
        told = {each.event: each.text for each in execution.timeline if each.target == "a"}
        assert told == {"fault_not_injected": "somebody else was first, it was exited before its time: left as it is"}


@pytest.mark.parametrize("ahead_s", [0.0, 7.0, -0.7])
@pytest.mark.parametrize(("fault", "state"), [("container_pause", PAUSED), ("container_stop", EXITED)])
@pytest.mark.parametrize("ours", [True, False])
async def test_after_a_crash_the_engine_says_who_was_first(
    fault: str, state: ContainerState, *, ours: bool, ahead_s: float
) -> None:
    """Between command and record nobody keeps its exit code: what was there before it is left, all else is undone."""
    async with fleet("a", ahead_s=ahead_s) as made:
        row = await fired_soon(made, fault)
        if not ours:
            await change(made, state)
        await anyio.sleep(2)
        if ours:
            await change(made, state)
        done = await made.undoer.undo(row, 60)
        assert made.state("a") is (RUNNING if ours else state)
        assert done.fault.state is (FaultState.UNDONE if ours else FaultState.NOT_INJECTED)
        assert (done.fault.targets[0].outcome == "put back") is ours


async def test_what_the_engine_has_forgotten_is_put_back() -> None:
    """Its log holds the last 256 events: without the pause in it, nobody can tell whose it is."""
    async with fleet("a") as made:
        row = await fired_soon(made, "container_pause")
        await change(made, PAUSED)
        made.engine.state.log.clear()
        await anyio.sleep(2)
        await made.undoer.undo(row, 60)
        assert made.state("a") is RUNNING


def outcomes(row: FaultRow) -> dict[str, tuple[bool, bool]]:
    """By target: whether it was hit, and whether it was put back."""
    return {each.name: (each.effective_at is not None, each.undone_at is not None) for each in row.fault.targets}


def ended(made: Fleet, name: str) -> None:
    """Somebody kills it, in no time."""
    container = made.engine.state.find(name)
    if container.up:
        made.engine.state.signal(name, "SIGKILL")
        made.engine.state.end(container, 137)


async def change(made: Fleet, state: ContainerState) -> None:
    """Have it paused or down."""
    if state is PAUSED:
        made.engine.pause("a")
    else:
        ended(made, "a")


async def fired_soon(made: Fleet, kind: str) -> FaultRow:
    """The row of a fault that was armed now, was fired a second later, and of which nothing else is known."""
    execution = await made.accepted()
    spec = ContainerPause if kind == "container_pause" else ContainerStop
    plan = spec.model_validate({"type": kind, "target": "x"}).plan(await made.engine.facts.containers())
    fault = Fault(
        id=str(UUID(int=7)), execution_id=execution.id, phase="p", type=kind, target="x",
        fault_class=FaultClass.JOURNAL, mechanism="docker", state=FaultState.FIRED, armed_at=made.clock.now(),
        fired_at=made.clock.now() + timedelta(seconds=1),
        targets=tuple(TargetOutcome(container_id=each.container_id, name=each.name) for each in plan.targets),
    )  # fmt: skip
    return FaultRow(fault=fault, engine_id=made.engine.info.id, task=f"{execution.id}@/", undos=plan.undos)
