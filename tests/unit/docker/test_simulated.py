"""What the simulated engine adds to the contract: virtual time, one run per seed, and failures that a test chooses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
import trio
from trio.testing import MockClock

from actors.docker.simulated import ExecResult, SimulatedEngine
from actors.docker.simulated_state import RULE_LEASE_S
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import FAULT, MARK, Command, DockerCommand, Outcome
from coordinator.faults.disk import DiskFill
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent
from coordinator.faults.limits import CgroupFault, CpuLimit, PidExhaustion
from coordinator.faults.stress import CpuStress
from tests.clocks import LoopClock

Story = Callable[[SimulatedEngine], Awaitable[None]]


def play(story: Story, seed: int = 1) -> SimulatedEngine:
    """Play a story in virtual time and give back the engine as it is at the end."""

    async def main() -> SimulatedEngine:
        async with SimulatedEngine(LoopClock(), random.Random(seed)) as engine:
            await story(engine)
        return engine

    return trio.run(main, clock=MockClock(autojump_threshold=0))


async def run(engine: SimulatedEngine, *argv: str, deadline_s: float = 60.0) -> Outcome:
    """Run a command."""
    return await engine.runner.run(DockerCommand(argv=argv, deadline_s=deadline_s))


async def look(engine: SimulatedEngine, name: str = "web") -> ContainerFacts:
    """The container of this name, now."""
    return engine.state.find(name).facts()


def test_loads_add_up_and_are_taken_off_by_their_own_id() -> None:
    """Beside a limit of the same kind; what one fault's undo takes off is its own. They end with their lease."""

    async def story(engine: SimulatedEngine) -> None:
        web = engine.add("web")
        undos: dict[str, Command] = {}
        load = CpuStress.model_validate({"type": "cpu_stress", "target": "t"})
        limit = CpuLimit.model_validate({"type": "cpu_limit", "target": "t", "cpus": "0.5"})
        faults: dict[str, CgroupFault] = {"f1": load, "f2": load, "f3": limit}
        for fault, spec in faults.items():
            (target,) = spec.plan([web]).filled({FAULT: fault, MARK: f"fault={fault} expires=9"}).targets
            assert target.undo is not None
            undos[fault] = target.undo.command
            assert (await engine.runner.run(target.inject)).ok
        assert engine.state.rules("web") == {"f1": "cpu 1x100", "f2": "cpu 1x100"}
        assert (await engine.runner.run(undos["f1"])).ok
        assert engine.state.rules("web") == {"f2": "cpu 1x100"}
        await anyio.sleep(RULE_LEASE_S)
        assert engine.state.rules("web") == {}
        assert engine.state.find("web").limits == {"cpu": ("f3", "0.500000")}

    play(story)


def test_a_file_that_fills_a_disk_outlives_runs() -> None:
    """It is made where a container runs, and removed by its own id wherever it is."""

    async def story(engine: SimulatedEngine) -> None:
        web = engine.add("web")
        spec = DiskFill.model_validate({"type": "disk_fill", "target": "t", "size": "1m"})
        (target,) = spec.plan([web]).filled({FAULT: "f1", MARK: "fault=f1 expires=9"}).targets
        assert target.undo is not None
        assert (await engine.runner.run(target.inject)).ok
        await run(engine, "kill", "web")
        assert engine.state.find("web").files == {"f1": "1048576"}
        assert not (await engine.runner.run(target.inject)).ok
        assert (await engine.runner.run(target.undo.command)).ok
        assert engine.state.find("web").files == {}

    play(story)


def test_limits_of_a_cgroup_end_with_its_run() -> None:
    """One fault of a kind at a time, taken back by its own id alone, gone with the run, refused for what is down."""

    async def story(engine: SimulatedEngine) -> None:
        web = engine.add("web")

        def helper(fault: str) -> tuple[Command, Command]:
            spec = PidExhaustion.model_validate({"type": "pid_exhaustion", "target": "t"})
            (target,) = spec.plan([web]).filled({FAULT: fault}).targets
            assert target.undo is not None
            return target.inject, target.undo.command

        (put, remove), (second, other) = helper("f1"), helper("f2")
        assert (await engine.runner.run(put)).ok
        refused = await engine.runner.run(second)
        assert (refused.ok, "another fault" in refused.stderr) == (False, True)
        assert (await engine.runner.run(other)).ok
        assert engine.state.find("web").limits == {"pids": ("f1", "0")}
        assert (await engine.runner.run(remove)).ok
        assert engine.state.find("web").limits == {}
        assert (await engine.runner.run(put)).ok
        await run(engine, "kill", "web")
        assert engine.state.find("web").limits == {}
        assert not (await engine.runner.run(put)).ok

    play(story)


def test_a_seed_gives_one_run() -> None:
    """A seed gives one log to the microsecond, whatever order the scheduler takes, and another seed another."""

    async def story(engine: SimulatedEngine) -> None:
        for number in range(6):
            engine.add(f"web{number}", restart_policy="always")
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(run, engine, "kill", f"web{number}", f"web{5 - number}")
            tasks.start_soon(run, engine, "restart", "web0", "web1")
        await run(engine, "start", *(f"web{number}" for number in range(6)))
        engine.die("web3")
        await anyio.sleep(60)

    def log(seed: int) -> list[EngineEvent]:
        return sorted(play(story, seed).state.log, key=lambda event: (event.at, event.container_id, event.action))

    first = log(1)
    assert len(first) > 40
    assert all(log(1) == first for _ in range(5))
    assert log(2) != first


def test_hours_take_no_time() -> None:
    """Under a virtual clock a container with a grace of an hour is stopped after exactly that hour."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", ends_on=())
        outcome = await run(engine, "stop", "-t", "3600", "web", deadline_s=4000)
        assert 3600 < outcome.duration_s < 3601

    assert play(story).state.find("web").exit_code == 137


def test_an_engine_that_is_down_loses_what_it_was_asked() -> None:
    """When the engine goes down, commands and streams break, their work is lost, and its containers live on."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", ends_on=())
        outcomes: list[Outcome] = []

        async def stop() -> None:
            outcomes.append(await run(engine, "stop", "-t", "5", "web"))

        async with engine.facts.events() as events, anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            assert (await anext(events)).action == "kill"
            engine.down()
            with pytest.raises(EngineUnreachable):
                await anext(events)
        assert outcomes[0].exit_code == 1
        assert "Cannot connect to the Docker daemon" in outcomes[0].stderr
        with pytest.raises(EngineUnreachable):
            await engine.facts.containers()
        await anyio.sleep(60)
        engine.up()
        (web,) = await engine.facts.containers()
        assert web.state is ContainerState.RUNNING

    play(story)


def test_an_engine_that_hangs_works_off_later_what_it_was_asked() -> None:
    """While the engine hangs commands time out and looks give up; when it is back it does what it was asked."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web")
        engine.hang()
        late = await run(engine, "pause", "web", deadline_s=5)
        assert (late.exit_code, late.timed_out, late.duration_s) == (None, True, 5.0)
        with pytest.raises(EngineUnreachable, match="no answer within 10 s"):
            await engine.facts.states([])
        assert (await look(engine)).state is ContainerState.RUNNING
        engine.up()
        await anyio.sleep(1)
        assert (await look(engine)).state is ContainerState.PAUSED

    play(story)


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts", "state"),
    [
        ("no", 1, 0, "exited"),
        ("always", 0, 1, "running"),
        ("unless-stopped", 1, 1, "running"),
        ("on-failure", 0, 0, "exited"),
        ("on-failure", 1, 1, "running"),
        ("on-failure:0", 1, 0, "exited"),
    ],
)
def test_a_crash_goes_by_the_policy(policy: str, exit_code: int, restarts: int, state: str) -> None:
    """A container that dies by itself is restarted exactly where its restart policy says so."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", restart_policy=policy)
        engine.die("web", exit_code)
        await anyio.sleep(5)

    web = play(story).state.find("web")
    assert (web.restart_count, web.state.value) == (restarts, state)


def test_a_container_touched_by_hand_is_not_restarted() -> None:
    """Any signal through the engine switches the policy off until the next start."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", restart_policy="always")
        assert (await run(engine, "kill", "--signal", "WINCH", "web")).ok
        engine.die("web")
        await anyio.sleep(60)
        assert (await look(engine)).state is ContainerState.EXITED
        assert (await run(engine, "start", "web")).ok
        engine.die("web")
        await anyio.sleep(60)
        assert (await look(engine)).state is ContainerState.RUNNING

    play(story)


def test_crashes_in_a_row_are_restarted_more_and_more_slowly() -> None:
    """A container that dies at once each time waits twice as long for each restart."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", restart_policy="always")
        waits = []
        for _ in range(4):
            engine.die("web")
            died = anyio.current_time()
            async with engine.facts.events() as events:
                while (await anext(events)).action != "start":
                    pass
            waits.append(anyio.current_time() - died)
        assert waits == sorted(waits)
        assert waits[3] > 4 * 0.1 * 2

    play(story)


def test_a_crash_while_the_engine_is_down_is_mended_on_its_return() -> None:
    """What the policy owes a container while the engine is down is given when it is up."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", restart_policy="always")
        engine.down()
        engine.die("web")
        await anyio.sleep(60)
        assert (await look(engine)).state is ContainerState.RESTARTING
        engine.up()
        await anyio.sleep(1)
        assert (await look(engine)).state is ContainerState.RUNNING

    play(story)


def test_health_follows_pause_and_start() -> None:
    """A paused container becomes unhealthy without an event, and healthy after it runs again; a start begins anew."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web", health_check=True)
        seen = [(await look(engine)).health]
        for argv, wait in ((("pause", "web"), 5), (("unpause", "web"), 5), (("restart", "web"), 0), ((), 5)):
            if argv:
                assert (await run(engine, *argv)).ok
            await anyio.sleep(wait)
            seen.append((await look(engine)).health)
        assert seen == ["healthy", "unhealthy", "healthy", "starting", "healthy"]
        told = [event.action for event in engine.state.log if event.action.startswith("health_status")]
        assert told == ["health_status: healthy"] * 2

    play(story)


def test_an_exec_goes_on_when_its_command_is_killed() -> None:
    """The process of an exec does its work after the command that began it was killed at its deadline."""

    async def story(engine: SimulatedEngine) -> None:
        done: list[str] = []
        engine.add("web")
        engine.script(["work"], ExecResult(takes_s=10, then=lambda: done.append("work")))
        assert (await run(engine, "exec", "-i", "web", "work", "-x", deadline_s=1)).timed_out
        assert done == []
        await anyio.sleep(10)
        assert done == ["work"]

    play(story)


def test_an_exec_ends_with_its_container() -> None:
    """A command in a container that is killed ends with it."""

    async def story(engine: SimulatedEngine) -> None:
        engine.add("web")
        engine.script(["work"], ExecResult(takes_s=1000), container="web")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, engine, "kill", "web")
            assert (await run(engine, "exec", "web", "work", deadline_s=2000)).exit_code == 137
        assert anyio.current_time() < 10

    play(story)


def test_a_killed_start_has_not_asked_for_the_rest() -> None:
    """Starts are asked for one after another, so a command killed early leaves the later containers down."""

    async def story(engine: SimulatedEngine) -> None:
        names = [f"web{number}" for number in range(20)]
        for name in names:
            engine.add(name, started=False)
        assert (await run(engine, "start", *names, deadline_s=1)).timed_out
        await anyio.sleep(60)
        running = [name for name in names if engine.state.find(name).up]
        assert running == names[: len(running)]
        assert 2 <= len(running) <= 10

    play(story)


def test_a_removed_container_is_gone() -> None:
    """A container removed by force shows its end and is then unknown, also to a command already under way."""

    async def story(engine: SimulatedEngine) -> None:
        web = engine.add("web")
        outcomes = []

        async def pause() -> None:
            outcomes.append(await run(engine, "pause", "web"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pause)
            await anyio.sleep(0.016)
            engine.remove("web")
        assert "No such container: web" in outcomes[0].stderr
        assert await engine.facts.containers([web.id]) == ()
        assert [event.action for event in engine.state.log][-4:] == ["kill", "die", "disconnect", "destroy"]

    play(story)


def test_the_bodys_error_is_its_own() -> None:
    """What is raised inside the engine's context comes out as it is, and outside nothing can be asked."""

    async def story(engine: SimulatedEngine) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        play(story)

    async def outside() -> None:
        engine = SimulatedEngine(LoopClock(), random.Random(1))
        engine.add("web", restart_policy="always")
        with pytest.raises(RuntimeError, match="only inside"):
            engine.die("web")

    anyio.run(outside)
