"""What CommandRunner and EngineFacts promise, of the real engine and of the simulated one alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from functools import partial

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.errors import EngineUnreachable, MissingSecret
from coordinator.faults.commands import DockerCommand, EnvEntry, batch
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent
from coordinator.faults.lifecycle import ContainerCrash
from coordinator.faults.looks import RunEnded, RunsAnew, SignalSeen, seen
from coordinator.scenarios.whose import changed_before
from tests.contracts.engine_stage import Stage

pytestmark = pytest.mark.anyio


async def take(events: AsyncIterator[EngineEvent], container: ContainerFacts, until: str) -> list[EngineEvent]:
    """The events of this container up to the first with this action; others share the engine."""
    taken: list[EngineEvent] = []
    with anyio.fail_after(30):
        async for event in events:
            if event.container_id == container.id:
                taken.append(event)
                if event.action == until:
                    break
    return taken


async def test_pause_and_unpause(stage: Stage) -> None:
    """Pause freezes a run without ending it; doing either twice is refused with the state as the reason."""
    target = await stage.add()

    paused = await stage.run("pause", target.id)
    assert paused.ok, paused
    assert paused.stdout == f"{target.id}\n"
    assert (await stage.look(target)).state is ContainerState.PAUSED
    again = await stage.run("pause", target.id)
    refused = await stage.run("exec", target.id, "true")
    assert (await stage.run("unpause", target.id)).ok
    twice = await stage.run("unpause", target.id)

    after = await stage.look(target)
    assert (after.state, after.started_at) == (ContainerState.RUNNING, target.started_at)
    assert again.exit_code == refused.exit_code == twice.exit_code == 1
    assert f"Container {target.id} is already paused" in again.stderr
    assert "is paused, unpause the container before exec" in refused.stderr
    assert f"Container {target.id} is not paused" in twice.stderr


async def test_kill_and_start(stage: Stage) -> None:
    """A kill ends the run and switches the restart policy off; a start begins another run, a second changes nothing."""
    target = await stage.add(policy="always")

    killed = await stage.run("kill", "--signal", "SIGKILL", target.id)
    down = await stage.look(target)
    assert killed.ok, killed
    assert (down.state, down.exit_code, down.started_at) == (ContainerState.EXITED, 137, target.started_at)
    again = await stage.run("kill", target.id)
    assert again.exit_code == 1
    assert f"Cannot kill container: {target.id}: Container {target.id} is not running" in again.stderr
    for refused in (await stage.run("pause", target.id), await stage.run("exec", target.id, "true")):
        assert refused.exit_code == 1
        assert f"Container {target.id} is not running" in refused.stderr

    assert (await stage.run("start", target.id)).ok
    up = await stage.look(target)
    assert seen(RunsAnew(started_at=target.started_at), up)
    assert (await stage.run("start", target.id)).ok
    assert (await stage.look(target)).started_at == up.started_at


async def test_a_crash_honours_the_restart_policy(stage: Stage) -> None:
    """A main process killed from outside the engine is started again by the policy, and counted."""
    target = await stage.add(policy="always")

    async with stage.facts.events() as events:
        await stage.crash(target)
        happened = await take(events, target, "start")
    after = await stage.until(target, lambda facts: facts.state is ContainerState.RUNNING)

    assert [event.action for event in happened] == ["die", "disconnect", "connect", "start"]
    assert after.restart_count == 1
    assert after.started_at != target.started_at


async def test_a_helper_crashes_many_at_once(stage: Stage) -> None:
    """One command ends the runs of several containers without a `kill` in the log: policies act, others stay down."""
    kept, gone, spared = await stage.add("kept", policy="always"), await stage.add("gone"), await stage.add("spared")
    since = stage.now()
    fault = ContainerCrash.model_validate({"type": "container_crash", "target": "t"})
    (command,) = batch(target.inject for target in fault.plan([kept, gone]).targets)

    crashed = await stage.runner.run(command)

    assert crashed.ok, crashed
    back = await stage.until(kept, lambda facts: seen(RunsAnew(started_at=kept.started_at), facts))
    down = await stage.until(gone, lambda facts: facts.state is ContainerState.EXITED)
    assert (back.restart_count, down.restart_count, down.exit_code) == (1, 0, 137)
    assert (await stage.look(spared)).started_at == spared.started_at
    logged = await stage.facts.events_since(since, [kept.id, gone.id])
    assert "kill" not in {event.action for event in logged}


async def test_a_start_does_not_hurry_the_restart_policy(stage: Stage) -> None:
    """Between two runs of a container that crashes again and again, a start succeeds and changes nothing."""
    target = await stage.add(policy="always")
    for _ in range(6):
        # Each crash doubles the policy's delay: 3.2 s after the sixth.
        running = await stage.until(target, lambda facts: facts.state is ContainerState.RUNNING)
        await stage.crash(running)
        await stage.until(target, partial(seen, RunEnded(started_at=running.started_at)))
    waiting = await stage.until(target, lambda facts: facts.state is ContainerState.RESTARTING)

    assert (await stage.run("start", target.id)).ok
    after = await stage.look(target)

    assert (after.state, after.started_at) == (ContainerState.RESTARTING, waiting.started_at)
    assert (await stage.until(target, lambda facts: facts.state is ContainerState.RUNNING)).restart_count == 6


async def test_a_helper_that_finds_nothing_says_so(stage: Stage) -> None:
    """A container that is down already is named on standard error, and the others are crashed all the same."""
    down, up = await stage.add("down"), await stage.add("up")
    fault = ContainerCrash.model_validate({"type": "container_crash", "target": "t"})
    (command,) = batch(target.inject for target in fault.plan([down, up]).targets)
    assert (await stage.run("kill", down.id)).ok

    crashed = await stage.runner.run(command)

    assert crashed.exit_code == 1
    assert f"{down.id[:12]}: no process of this container" in crashed.stderr
    assert (await stage.until(up, lambda facts: facts.state is ContainerState.EXITED)).exit_code == 137


async def test_stop_honours_the_grace(stage: Stage) -> None:
    """A container that ends on TERM is stopped with its own status, a stubborn one is killed after the grace."""
    gentle, stubborn = await stage.add("gentle"), await stage.add("stubborn", stubborn=True)

    stopped = await stage.run("stop", "-t", "1", gentle.id, stubborn.id)

    assert stopped.ok, stopped
    assert sorted(stopped.stdout.split()) == sorted([gentle.id, stubborn.id])
    assert stopped.duration_s >= 1.0
    assert (await stage.look(gentle)).exit_code == 0
    assert (await stage.look(stubborn)).exit_code == 137
    assert (await stage.run("stop", gentle.id)).ok, "stopping what is down is no error"


async def test_restart_makes_a_new_run(stage: Stage) -> None:
    """A restart ends one run and begins another, paused or not, and its events tell so in order."""
    target = await stage.add()
    assert (await stage.run("pause", target.id)).ok

    async with stage.facts.events() as events:
        assert (await stage.run("restart", "-t", "1", target.id)).ok
        happened = await take(events, target, "restart")

    after = await stage.look(target)
    assert (after.state, after.started_at != target.started_at) == (ContainerState.RUNNING, True)
    told = [event.action for event in happened]
    assert told[:2] == ["kill", "unpause"]
    assert told[-6:] == ["die", "disconnect", "stop", "connect", "start", "restart"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("pause",), "No such container: absent"),
        (("unpause",), "No such container: absent"),
        (("kill",), "Cannot kill container: absent: No such container: absent"),
        (("stop",), "No such container: absent"),
        (("restart",), "No such container: absent"),
        (("start",), "Error: failed to start containers: absent"),
        (("volume", "rm"), "get absent: no such volume"),
        (("kill", "--signal", "NOPE"), "Invalid signal: NOPE"),
        (("frobnicate",), "unknown command: docker frobnicate"),
    ],
)
async def test_a_refusal_is_an_outcome(stage: Stage, argv: tuple[str, ...], message: str) -> None:
    """What the engine or the command line refuses ends with status 1 and the reason on standard error."""
    refused = await stage.run(*argv, "absent")

    assert (refused.exit_code, refused.timed_out, refused.stdout) == (1, False, "")
    assert message in refused.stderr


async def test_a_batch_goes_on_after_a_failure(stage: Stage) -> None:
    """One command for many containers works on the good ones, names the others and ends with status 1."""
    one, two = await stage.add("one"), await stage.add("two")

    mixed = await stage.run("pause", one.id, "absent", two.id)

    assert mixed.exit_code == 1
    assert sorted(mixed.stdout.split()) == sorted([one.id, two.id])
    assert "No such container: absent" in mixed.stderr
    assert await stage.facts.states([one.id, two.id, "absent"]) == dict.fromkeys([one.id, two.id], "paused")


async def test_exec_gives_the_commands_own_end(stage: Stage) -> None:
    """Exit code and output of a command in a container come back."""
    stage.script(["sh"], ExecResult(exit_code=3, stdout="out\n", stderr="err\n"))
    target = await stage.add()

    ended = await stage.run("exec", target.id, "sh", "-c", "echo out; echo err >&2; exit 3")
    absent = await stage.run("exec", "absent", "true")

    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "out\n", "err\n")
    assert (absent.exit_code, "No such container: absent" in absent.stderr) == (1, True)


async def test_secrets_are_resolved_when_the_command_runs(stage: Stage) -> None:
    """A secret that is not there stops the command; one that is there works and never comes back in the output."""
    stage.script(["sh"], ExecResult(stdout="***\n"))
    target = await stage.add()
    argv = ("exec", "--env", "PASSWORD", target.id, "sh", "-c", 'echo "$PASSWORD"')

    shown = await stage.runner.run(DockerCommand(argv=argv, env=(EnvEntry(name="PASSWORD", secret="PASSWORD"),)))
    assert shown.stdout == "***\n"
    with pytest.raises(MissingSecret):
        await stage.runner.run(DockerCommand(argv=argv, env=(EnvEntry(name="PASSWORD", secret="ABSENT"),)))


async def test_a_place_in_a_network_is_taken_and_given_back(stage: Stage) -> None:
    """It is gone and back in the facts; doing either twice is refused; in between, nothing else of it changed."""
    target = await stage.add()
    (network,) = (each.name for each in target.networks)

    async with stage.facts.events() as events:
        assert (await stage.run("network", "disconnect", network, target.id)).ok
        assert (await take(events, target, "disconnect"))[-1].name == network
    without = await stage.look(target)
    assert (without.networks, without.state, without.started_at) == ((), target.state, target.started_at)
    again = await stage.run("network", "disconnect", network, target.id)
    assert (again.exit_code, "is not connected to" in again.stderr) == (1, True)

    assert (await stage.run("network", "connect", network, target.id)).ok
    back = await stage.look(target)
    assert [(each.name, each.aliases) for each in back.networks] == [
        (each.name, each.aliases) for each in target.networks
    ]
    assert back.address
    twice = await stage.run("network", "connect", network, target.id)
    assert (twice.exit_code, "already exists in network" in twice.stderr) == (1, True)


async def test_a_deadline_ends_the_command_but_not_the_engine(stage: Stage) -> None:
    """A command killed at its deadline has no exit code, and what it began in the engine is finished there."""
    target = await stage.add(stubborn=True)

    late = await stage.run("stop", "-t", "5", target.id, deadline_s=3.0)

    assert (late.exit_code, late.timed_out, late.ok) == (None, True, False)
    assert (await stage.until(target, lambda facts: facts.state is ContainerState.EXITED)).exit_code == 137


async def test_cancelling_ends_the_command_but_not_the_engine(stage: Stage) -> None:
    """A cancelled command returns at once, and what it began in the engine is finished there."""
    target = await stage.add(stubborn=True)

    async with stage.facts.events() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(stage.run, "stop", "-t", "4", target.id)
        await take(events, target, "kill")
        tasks.cancel_scope.cancel()
    assert (await stage.look(target)).state is ContainerState.RUNNING

    assert (await stage.until(target, lambda facts: facts.state is ContainerState.EXITED)).exit_code == 137


async def test_a_signal_is_seen_in_the_log(stage: Stage) -> None:
    """A signal thaws a paused container, leaves a stubborn one running, and stands in the engine's log by number."""
    target = await stage.add(stubborn=True)
    since = stage.now()
    assert (await stage.run("pause", target.id)).ok

    assert (await stage.run("kill", "--signal", "HUP", target.id)).ok
    await stage.until(target, lambda facts: facts.state is ContainerState.RUNNING)
    logged = await stage.facts.events_since(since, [target.id])

    assert [event.action for event in logged] == ["pause", "kill", "unpause"]
    assert all(event.container_id == target.id and event.name == target.name for event in logged)
    assert seen(SignalSeen(signals=("SIGHUP", "1")), target, logged)
    assert await stage.facts.events_since(stage.now(), [target.id]) == ()


async def test_events_of_a_kill(stage: Stage) -> None:
    """The stream shows a kill as kill, die and the network let go, with signal and exit code; execs are left out."""
    target = await stage.add()

    async with stage.facts.events() as events:
        assert (await stage.run("exec", target.id, "true")).ok
        assert (await stage.run("kill", target.id)).ok
        happened = await take(events, target, "disconnect")

    assert [(event.type, event.action) for event in happened] == [
        ("container", "kill"), ("container", "die"), ("network", "disconnect")
    ]  # fmt: skip
    assert happened[0].signal == "9"
    assert happened[1].exit_code == 137
    assert happened[2].name == "bridge"
    assert [event.at for event in happened] == sorted(event.at for event in happened)


async def test_facts_of_containers(stage: Stage) -> None:
    """Containers come sorted by name, with addresses while they are up; those that are not there are left out."""
    two, one = await stage.add("two", policy="on-failure"), await stage.add("one")
    assert (await stage.run("kill", two.id)).ok

    found = await stage.facts.containers([two.id, one.id, "0" * 64])
    everything = await stage.facts.containers()

    assert [container.id for container in found] == [one.id, two.id]
    assert [bool(container.address) for container in found] == [True, False]
    assert [bool(container.pid) for container in found] == [True, False]
    assert [container.restart_policy for container in found] == ["no", "on-failure"]
    assert {one.id, two.id} <= {container.id for container in everything}
    assert await stage.facts.containers([]) == ()
    assert await stage.facts.states([]) == {}


async def test_the_engine_has_an_identity(stage: Stage) -> None:
    """Two looks at one engine differ in nothing but its time, which goes on."""
    first, second = await stage.facts.engine(), await stage.facts.engine()

    assert first.id
    assert datetime.fromisoformat(first.time) < datetime.fromisoformat(second.time)
    assert first.model_copy(update={"time": second.time}) == second


async def test_an_engine_that_is_not_there(stage: Stage) -> None:
    """Every look at an engine that is gone raises EngineUnreachable naming it; a command ends with status 1."""
    runner, facts = stage.gone()

    outcome = await runner.run(DockerCommand(argv=("pause", "x")))
    assert outcome.exit_code == 1
    assert "Cannot connect to the Docker daemon at unix://" in outcome.stderr
    looks: list[Callable[[], object]] = [facts.engine, facts.containers, facts.locks]
    for look in looks:
        with pytest.raises(EngineUnreachable, match=r"Docker engine at unix:///\S+: "):
            await look()  # type: ignore[misc]  # the looks have different results
    with pytest.raises(EngineUnreachable):
        async with facts.events():
            pytest.fail("the stream opened")


async def test_its_own_times_tell_who_was_first(stage: Stage) -> None:
    """What was paused or ended before something was fired is told from what may have been paused or ended by it."""
    target, hour = await stage.add(), timedelta(hours=1)

    async def first(armed_h: float, fired_h: float) -> bool:
        now = clock.now()
        found = await stage.facts.containers([target.id])
        before = await changed_before(found, now + armed_h * hour, now + fired_h * hour, stage.facts, clock)
        return target.id in before

    clock = stage.clock
    for verb, back in (("pause", "unpause"), ("kill", "start")):
        assert (await stage.run(verb, target.id)).ok
        assert [await first(-1, 1), await first(-2, -1), await first(1, 2)] == [True, False, False]
        assert (await stage.run(back, target.id)).ok
    assert not await first(-1, 1)
