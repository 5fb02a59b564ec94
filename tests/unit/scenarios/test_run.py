"""One execution from accepted to finished: what ends it, what is undone, which verdict stands on disk."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.locks import lock_command
from coordinator.record import Environment, ExecutionState, FaultState, Reading, UndoState, Verdict
from coordinator.scenarios.probes import Probe
from coordinator.scenarios.run import Player
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import INSTANCE, EngineProber, Fleet, fleet

pytestmark = pytest.mark.anyio

TARGETS = "targets: {web: {names: [web]}, all: {name_regex: '.*'}}\n"
PROBES = "probes: {up: {type: container, target: web, every: 100ms}}\n"
PAUSE = f"{TARGETS}phases: [{{name: p, duration: 5s, faults: [{{type: container_pause, target: web}}]}}]\n"
BOTH = (
    f"{TARGETS}phases: [{{name: p, duration: 20s, faults: ["
    "{type: container_pause, target: all, at: 1s}, {type: container_kill, target: all, at: 3s}]}]\n"
)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def check_all_is_well(house: Fleet, undo: UndoState = UndoState.COMPLETE) -> None:
    """Every container runs, no lock is left, no row is outstanding, the verdict is on disk."""
    await anyio.sleep(30)
    assert {one.state for one in house.engine.state.containers.values()} == {ContainerState.RUNNING}
    assert house.engine.state.volumes == {}
    assert await house.ledger.faults(outstanding=True) == ()
    for execution in await house.ledger.executions():
        assert (execution.state, execution.undo) == (ExecutionState.FINISHED, undo)
        assert execution.verdict is not None
        assert execution.finished_at is not None


async def test_a_fault_is_injected_and_undone() -> None:
    """A paused container counts as bad, is unpaused at the phase's end, and the execution passes."""
    text = PAUSE.replace("duration: 5s,", "duration: 5s, assert: [{probe: up, availability: '< 10%'}],") + PROBES
    async with fleet("web") as house:
        done = await house.play(text)
        assert (done.verdict, done.reason) == (Verdict.PASSED, None)
        (fault,) = done.faults
        assert fault.state is FaultState.UNDONE
        assert fault.due_at is not None
        effective = fault.targets[0].effective_at
        assert effective is not None
        assert 0 < (effective - fault.due_at).total_seconds() < 0.1
        events = [entry.event for entry in done.timeline]
        for expected in ("target_resolved", "fault_armed", "phase_started", "fault_effective", "fault_undone"):
            assert expected in events
        assert events[-1] == "finished"
        assert (await house.ledger.series(done.id))["up"].samples
        await check_all_is_well(house)


async def test_the_record_says_who_played_it_and_what_was_run() -> None:
    """The coordinator, the engine, and every command that injected or undid stand in the execution's record."""
    played_by = Environment(service="s", instance=INSTANCE, version="1", environment="testing")
    async with fleet("web") as house:
        done = await house.play(PAUSE, replace(house.rules, environment=played_by))
        engine = await house.engine.facts.engine()
        assert done.environment is not None
        assert done.environment.engine is not None
        assert done.environment.model_copy(update={"engine": None}) == played_by
        assert (done.environment.engine.id, done.environment.engine.version) == (engine.id, engine.version)
        (web,) = house.engine.state.containers
        assert done.faults[0].inject_commands == (f"docker pause {web}",)
        assert done.faults[0].undo_commands == (f"docker unpause {web}",)


async def test_nothing_runs_between_due_and_command() -> None:
    """The inject is started at its due time: what is slow was done before."""
    async with fleet("web") as house:
        done = await house.play(PAUSE)
        started = next(at for at, text in house.runner.ran if text.startswith("pause"))
        due = done.faults[0].due_at
        assert due is not None
        assert (due - house.clock.now()).total_seconds() + anyio.current_time() == pytest.approx(started, abs=0.002)


async def test_a_failed_assertion_fails() -> None:
    """A claim that does not hold gives the verdict failed and its words."""
    text = PAUSE.replace("duration: 5s,", "duration: 5s, assert: [{probe: up, availability: '>= 90%'}],") + PROBES
    async with fleet("web") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.FAILED
        assert "availability >= 90%" in (done.reason or "")
        assert [result.passed for result in done.assertions] == [False]


async def stop_when(player: Player, when: Callable[[], bool]) -> None:
    """Stop it as soon as it is so."""
    while True:
        if when():
            player.stop("somebody asked")
            return
        await anyio.sleep(0.05)


async def stopped_when(house: Fleet, text: str, when: Callable[[Player], bool]) -> None:
    """Play and stop; the verdict is aborted with the reason."""
    player = await house.player(text)
    async with anyio.create_task_group() as group:
        group.start_soon(stop_when, player, lambda: when(player))
        await player.play(f"{player.id}@/")
    view = player.view()
    assert (view.verdict, view.reason) == (Verdict.ABORTED, "somebody asked")


async def test_stop_while_faults_are_in_force() -> None:
    """Stopping undoes all fired faults, a pause before what was done to the same container later."""
    async with fleet("web", "db") as house:
        await stopped_when(house, BOTH, lambda player: "kill" in house.runner.verbs() and bool(player.view().faults))
        await check_all_is_well(house)
        pause, kill = (row.fault for row in await house.rows())
        assert (pause.type, kill.type) == ("container_pause", "container_kill")
        assert kill.undone_at is not None
        assert pause.undone_at is not None
        assert pause.undone_at <= kill.undone_at


async def test_stop_in_the_steady_state() -> None:
    """Stopped before anything was injected, nothing is undone and nothing was touched."""
    text = PAUSE + PROBES + "steady_state: [{probe: up, availability: '>= 99%', for: 10s}]\n"
    async with fleet("web") as house:
        await stopped_when(house, text, lambda player: player.view().state is ExecutionState.STEADY_STATE)
        assert house.runner.verbs() == []
        await check_all_is_well(house, UndoState.NONE)


async def test_stop_before_it_is_played() -> None:
    """One that was stopped while it was queued is finished without being played."""
    async with fleet("web") as house:
        player = await house.player(PAUSE)
        player.stop("changed my mind")
        await player.play(f"{player.id}@/")
        assert house.runner.ran == []
        stored = await house.ledger.execution(player.id)
        assert stored is not None
        assert (stored.verdict, stored.reason) == (Verdict.ABORTED, "changed my mind")
        player.stop("too late")
        assert player.view().reason == "changed my mind"


async def test_a_stop_in_the_middle_of_a_slow_stop() -> None:
    """A docker stop in its grace period that is interrupted goes on in the engine, and is undone all the same."""
    text = f"{TARGETS}phases: [{{name: p, duration: 30s, faults: [{{type: container_stop, target: web}}]}}]\n"
    async with fleet() as house:
        house.engine.add("web", ends_on=())
        await stopped_when(house, text, lambda _player: house.runner.verbs() == ["stop"])
        await check_all_is_well(house)


async def test_the_timeout_aborts() -> None:
    """An execution that takes longer than it may is aborted and undone, and it is said by what."""
    async with fleet("web") as house:
        done = await house.play("limits: {timeout: 3s}\n" + PAUSE)
        assert done.verdict is Verdict.ABORTED
        assert done.reason == "timeout: longer than 3 s (limits.timeout of the scenario)"
        await check_all_is_well(house)


async def test_an_abort_condition_aborts() -> None:
    """abort_if ends the execution at the sample that makes it true, and undoes."""
    text = PAUSE.replace("duration: 5s", "duration: 60s") + PROBES + "abort_if: [{probe: up, unavailable_for: 2s}]\n"
    async with fleet("web") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.ABORTED
        assert "unavailable for 2s" in (done.reason or "")
        assert anyio.current_time() < 10
        await check_all_is_well(house)


async def test_an_abort_condition_in_the_steady_state_injects_nothing() -> None:
    """abort_if is watched from the first sample on."""
    text = (
        PAUSE + PROBES + "steady_state: [{probe: up, availability: '>= 1%', for: 10s}]\n"
        "abort_if: [{probe: up, unavailable_for: 1s}]\n"
    )
    async with fleet("web") as house:
        await house.engine.stop("web", 1, 0)
        done = await house.play(text)
        assert done.verdict is Verdict.ABORTED
        assert house.runner.verbs() == []


async def test_cancelled_from_outside_it_undoes() -> None:
    """A task that is cancelled natively still undoes everything and writes its verdict."""
    async with fleet("web", "db") as house:
        player = await house.player(BOTH)
        with anyio.move_on_after(5):
            await player.play(f"{player.id}@/")
        await check_all_is_well(house)
        stored = await house.ledger.execution(player.id)
        assert stored is not None
        assert (stored.verdict, stored.reason) == (Verdict.ABORTED, "its task was cancelled from outside")
        assert {fault.state for fault in stored.faults} == {FaultState.UNDONE}


async def test_a_crash_of_a_part_undoes() -> None:
    """A bug in one part ends the play as an error, with everything undone."""

    class Crashing(EngineProber):
        async def sample(self, probe: Probe, targets: Mapping[str, tuple[ContainerFacts, ...]]) -> Reading:
            await anyio.sleep(4)
            raise ZeroDivisionError

    async with fleet("web") as house:
        house.prober = Crashing(house.engine)
        player = await house.player(PAUSE.replace("5s", "60s") + PROBES)
        with pytest.raises(BaseExceptionGroup):
            await player.play(f"{player.id}@/")
        await check_all_is_well(house)
        assert player.view().verdict is Verdict.ERROR


async def test_nothing_matches() -> None:
    """A target without containers is not injected, never green."""
    async with fleet("db") as house:
        done = await house.play(PAUSE)
        assert done.verdict is Verdict.NOT_INJECTED
        assert "no container matches" in (done.reason or "")
        assert house.runner.ran == []


async def test_already_in_the_wanted_state() -> None:
    """A container that a person paused is left paused: not injected, nothing undone."""
    async with fleet("web") as house:
        house.engine.pause("web")
        done = await house.play(PAUSE)
        assert done.verdict is Verdict.NOT_INJECTED
        assert [fault.state for fault in done.faults] == [FaultState.NOT_INJECTED]
        assert house.state("web") is ContainerState.PAUSED
        assert house.runner.verbs() == []
        assert house.engine.state.volumes == {}


async def test_no_effect_seen() -> None:
    """A command that succeeds without an effect is not injected, never green."""
    text = (
        f"{TARGETS}phases: [{{name: p, duration: 8s, "
        "faults: [{type: exec, target: web, command: ['false'], undo_command: ['true']}]}]\n"
    )
    async with fleet("web") as house:
        house.engine.script(("false",), ExecResult(exit_code=1))
        done = await house.play(text)
        assert done.verdict is Verdict.NOT_INJECTED
        assert "exit code 1" in (done.reason or "")
        await check_all_is_well(house)


async def test_an_engine_that_is_away_is_an_error() -> None:
    """Without an engine nothing is planned, and the verdict says why."""
    async with fleet("web") as house:
        house.engine.down()
        done = await house.play(PAUSE)
        assert done.verdict is Verdict.ERROR
        assert "start Docker" in (done.reason or "")
        assert done.undo is UndoState.NONE


async def test_an_engine_that_goes_away_is_waited_for_with_the_undo() -> None:
    """The engine dies while a fault is in force and comes back within the undo's deadline."""
    async with fleet("web") as house, anyio.create_task_group() as group:

        async def outage() -> None:
            await anyio.sleep(2)
            house.engine.down()
            await anyio.sleep(20)
            house.engine.up()

        group.start_soon(outage)
        await house.play(PAUSE)
        await check_all_is_well(house)


async def test_what_cannot_be_undone_is_incomplete() -> None:
    """Past the undo's deadline it ends all the same: incomplete, its lock kept, its row outstanding."""
    async with fleet("web", "db", undo_deadline_s=10) as house, anyio.create_task_group() as group:

        async def outage() -> None:
            await anyio.sleep(2)
            house.engine.down()

        group.start_soon(outage)
        done = await house.play(PAUSE)
        assert (done.state, done.undo, done.verdict) == (ExecutionState.FINISHED, UndoState.INCOMPLETE, Verdict.ERROR)
        assert [row.fault.state for row in await house.ledger.faults(outstanding=True)] == [FaultState.STUCK]
        assert len(house.engine.state.volumes) == 1
        assert anyio.current_time() < 60


@pytest.mark.parametrize("writes", range(30))
async def test_a_ledger_that_goes_away_at_any_write(writes: int) -> None:
    """No inject without its row on disk, and no undo waits for one: whenever the disk fills, all is put back."""
    async with fleet("web") as house:
        player = await house.player(PAUSE + PROBES)
        unwritten: list[str] = []

        async def check(command: Command) -> None:
            if command.argv[0] == "pause":
                rows = await house.rows()
                unwritten.extend(row.fault.state for row in rows if row.fault.state is not FaultState.FIRED)
                assert rows

        house.runner.before = check
        house.ledger.writes_left = writes
        await player.play(f"{player.id}@/")
        assert unwritten == []
        assert house.state("web") is ContainerState.RUNNING
        assert house.engine.state.volumes == {}
        view = player.view()
        assert view.state is ExecutionState.FINISHED
        if "pause" not in house.runner.verbs():
            assert view.verdict is Verdict.ERROR


async def test_a_target_that_another_holds() -> None:
    """A lock of another instance is an error that names it, and stays where it is."""
    async with fleet("web", "db") as house:
        other = lock_command(house.engine.state.find("web").id, "chaos-2", "its-execution", "", 2e9, ())
        await house.engine.runner.run(other)
        done = await house.play(PAUSE.replace("target: web", "target: all"))
        assert done.verdict is Verdict.ERROR
        assert "container web is held by chaos-2, execution its-execution" in (done.reason or "")
        assert list(house.engine.state.volumes) == [f"tc-{house.engine.state.find('web').id}"]
        assert house.runner.verbs() == []


async def test_stopped_while_locking_it_releases_only_its_own() -> None:
    """A stop in the middle of taking locks leaves the lock of another where it is."""
    async with fleet("web", "db") as house:
        other = lock_command(house.engine.state.find("web").id, "chaos-2", "its-execution", "", 2e9, ())
        await house.engine.runner.run(other)
        text = PAUSE.replace("target: web", "target: all")
        await stopped_when(house, text, lambda _player: len(house.engine.state.volumes) > 0)
        await anyio.sleep(1)
        assert [labels["test-coordinator.instance"] for labels in house.engine.state.volumes.values()] == ["chaos-2"]


async def test_locks_are_there_while_it_plays() -> None:
    """Every container a fault is aimed at is locked, also one that is down when the plan is made."""
    async with fleet("web", "db") as house:
        await house.engine.stop("db", 1, 0)
        locked: list[dict[str, str]] = []

        async def look(command: Command) -> None:
            if command.argv[0] == "pause":
                locked.extend(house.engine.state.volumes.values())

        house.runner.before = look
        await house.play(PAUSE.replace("target: web", "target: all"))
        assert [labels["test-coordinator.instance"] for labels in locked] == [INSTANCE, INSTANCE]


async def test_another_plan_than_expected() -> None:
    """A plan that changed since somebody looked at it is not run."""
    async with fleet("web") as house:
        player = await house.player(PAUSE)
        player._expect_plan = "0" * 16
        done = await player.play(f"{player.id}@/")
        assert done.verdict is Verdict.ERROR
        assert "not the expected" in (done.reason or "")
        assert house.runner.ran == []


async def test_forbidden_is_an_error_even_where_nothing_matches() -> None:
    """What the settings forbid is said before what is missing."""
    async with fleet("db") as house:
        done = await house.play(PAUSE, rules=replace(house.rules, faults_disabled=("container_pause",)))
        assert done.verdict is Verdict.ERROR
        assert "container_pause is switched off here" in (done.reason or "")


async def test_progress_while_it_plays() -> None:
    """A watcher sees the phase, the time left, faults in force, how probes fare, and that an undo is pending."""
    async with fleet("web") as house, anyio.create_task_group() as group:
        player = await house.player(PAUSE + PROBES)
        group.start_soon(player.play, f"{player.id}@/")
        await anyio.sleep(3)
        view = player.view()
        assert (view.state, view.undo) == (ExecutionState.RUNNING, UndoState.PENDING)
        assert view.progress is not None
        assert (view.progress.phase, view.progress.active_faults) == ("p", ("container_pause web",))
        assert view.progress.remaining_s is not None
        assert 1 < view.progress.remaining_s < 4
        assert view.progress.probes["up"].bad > 10
        assert len(player.samples()["up"]) > 20
