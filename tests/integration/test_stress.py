"""Stressors on the real engine: counted by the target's own accounting, limited by its limits, and gone afterwards."""

import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from coordinator import __version__
from coordinator.faults.commands import FAULT, MARK, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.stress import CpuStress
from coordinator.identity import LABEL_EXECUTION
from tests.conftest import PATIENCE
from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker
from tests.integration.test_limits import begun, put

GROUPS = Path("/sys/fs/cgroup")
LEASE_S = 10.0
"""How long a stressor may outlive whoever it was started by."""

WINDOW_S = 4.0
"""Over which CPU time is measured."""

CASES: tuple[tuple[int, float | None], ...] = ((30, None), (60, None), (90, 0.2))
"""A load in per cent, and the container's own quota of CPUs."""

IDLE_PROCESSES = 2
"""A shell, and what it waits for."""

OTHERS = 2.0
"""Points of one CPU that an idle container may use."""


def folder(container: Container, controller: str) -> Path:
    """Its cgroup, as the kernel says of its main process, in either version."""
    for line in Path(f"/proc/{container.look('{{.State.Pid}}')}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", maxsplit=2)
        if controller in controllers.split(","):
            return GROUPS / controllers / path.lstrip("/")
        if number == "0" and not (GROUPS / controller).exists():
            return GROUPS / path.lstrip("/")
    raise AssertionError(controller)


def cpu_s(where: Path) -> float:
    """CPU time used so far in a cgroup."""
    if (where / "cpuacct.usage").exists():
        return int((where / "cpuacct.usage").read_text()) / 1e9
    return int((where / "cpu.stat").read_text().split()[1]) / 1e6


def loads(targets: Sequence[Container]) -> list[tuple[float, float]]:
    """Per cent of one CPU over a while, by the kernel's accounting of each container; and the same with the time that
    its processes waited for a CPU which others had: what they asked for.
    """
    # The engine is asked before any clock is read.
    places = [(folder(each, "cpuacct"), folder(each, "memory")) for each in targets]

    def looked() -> list[tuple[float, float, float]]:
        return [(time.monotonic(), cpu_s(cpu), waited_s(memory)) for cpu, memory in places]

    before = looked()
    time.sleep(WINDOW_S)
    spent = [
        (late[0] - early[0], late[1] - early[1], late[2] - early[2])
        for early, late in zip(before, looked(), strict=True)
    ]
    return [(cpu / took * 100, (cpu + waited) / took * 100) for took, cpu, waited in spent]


def waited_s(where: Path) -> float:
    """How long the processes in a cgroup have been ready to run and did not, by the kernel's count."""
    pids = (where / "cgroup.procs").read_text().split()
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9


def held(container: Container) -> int:
    """Anonymous memory, in bytes, by the same."""
    words = (folder(container, "memory") / "memory.stat").read_text().split()
    name = "rss" if "rss" in words else "anon"
    return int(words[words.index(name) + 1])


def members(container: Container) -> set[str]:
    """Every process in its cgroup."""
    return set((folder(container, "memory") / "cgroup.procs").read_text().split())


def settled(container: Container) -> set[str]:
    """The same of a container that idles, once its shell has started the process it waits for."""
    eventually(lambda: len(members(container)) == IDLE_PROCESSES, "the container to idle")
    return members(container)


def events(served: Coordinator, execution_id: str) -> dict[str, str]:
    """What the timeline tells, by event."""
    return {each["event"]: each["text"] for each in served.execution(execution_id)["timeline"]}


def helpers(execution_id: str) -> list[str]:
    """The helper containers of an execution."""
    return docker("ps", "-q", "--filter", f"label={LABEL_EXECUTION}={execution_id}").split()


def finish(served: Coordinator, execution_id: str) -> None:
    """End it, and see that all is undone."""
    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert served.execution(execution_id)["undo"] == "complete"


def test_cpu_is_used_as_asked_within_the_limits(served: Coordinator, containers: Sandbox) -> None:
    """Within 5 points of what was asked, or of the container's own quota where that is less; nothing afterwards."""
    targets = [containers.run("busy", options=["--cpus", str(quota)] if quota else []) for _, quota in CASES]
    before = [settled(target) for target in targets]
    faults: list[dict[str, object]] = [
        {"type": "cpu_stress", "target": f"t{at}", "load": f"{percent}%"} for at, (percent, _) in enumerate(CASES)
    ]
    named = {f"t{at}": {"names": [target.name]} for at, target in enumerate(targets)}
    execution_id = begun(served, scenario(faults, names=[], targets=named))
    assert [len(members(target) - own) for target, own in zip(targets, before, strict=True)] == [1] * len(CASES)
    wanted = [min(percent, 100 * (quota or 1)) for percent, quota in CASES]

    def as_asked() -> bool:
        # On a busy machine it gets less, and waits for the rest; what it was kept from at first it makes up for.
        return all(
            used - due < 5 and asked - due > -5 for (used, asked), due in zip(loads(targets), wanted, strict=True)
        )

    eventually(as_asked, f"loads of {wanted}")
    finish(served, execution_id)
    assert [members(target) for target in targets] == before
    assert max(used for used, _ in loads(targets)) < OTHERS


def test_memory_is_held_within_the_limits(served: Coordinator, containers: Sandbox) -> None:
    """Half of its limit; more than it leaves ends the stressor and says so, and the container's process lives."""
    target = containers.run("full", options=["--memory", "128m", "--memory-swap", "128m"])
    before, had = settled(target), held(target)
    execution_id = put(served, target, [{"type": "memory_stress", "percent": "50%"}])
    assert 64 << 20 <= held(target) - had <= 66 << 20
    finish(served, execution_id)
    assert members(target) == before
    assert held(target) - had < 1 << 20

    execution_id = served.submit(scenario([{"type": "memory_stress", "size": "200m"}], names=[target.name]))
    why = "the stressor was killed, not the container"
    eventually(lambda: why in str(served.execution(execution_id)), "the failure")
    finish(served, execution_id)
    assert target.status == "running"
    assert target.look("{{.State.OOMKilled}}") == "false"
    assert members(target) == before


def test_they_end_with_the_run_and_soon_after_everything_of_ours(served: Coordinator, containers: Sandbox) -> None:
    """A restart leaves none in the new run. A helper that is killed is replaced, and takes its own with it. SIGKILL of
    the coordinator and its warden ends them without anybody's doing; the next start has nothing to put back.
    """
    target = containers.run("killed")
    own = settled(target)
    execution_id = put(served, target, [{"type": "cpu_stress", "load": "20%", "workers": 2}])
    stressors = members(target) - own
    assert len(stressors) == 2
    docker("restart", "-t", "0", target.id)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in stressors), "their end")
    finish(served, execution_id)

    before = settled(target)
    execution_id = put(served, target, [{"type": "cpu_stress", "load": "20%"}])
    first = members(target) - before
    (helper,) = helpers(execution_id)
    docker("kill", helper)
    eventually(lambda: not members(target) & first, "the end of what it held")
    eventually(lambda: "fault_reapplied" in events(served, execution_id), "another helper")
    assert len(members(target)) == len(before) + 1

    served.kill()
    eventually(lambda: members(target) == before, "their end", LEASE_S)
    served.start()
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "the undo")


def test_what_is_killed_for_want_of_memory_is_told_apart(served: Coordinator, containers: Sandbox) -> None:
    """First the stressor, which the kernel prefers, and then a process of the container's that asks for too much."""
    target = containers.run("greedy", options=["--memory", "64m", "--memory-swap", "64m"])
    before = settled(target)
    execution_id = put(served, target, [{"type": "memory_stress", "size": "30m"}])
    with pytest.raises(DockerFailed):
        docker("exec", target.id, "dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1")
    eventually(lambda: "target_out_of_memory" in events(served, execution_id), "what the kernel did")
    told = events(served, execution_id)
    assert told["fault_interrupted"] == "the kernel killed a stressor for want of memory, not the container"
    assert told["target_out_of_memory"].startswith("the kernel killed a process of the container for want of memory")
    assert list(told).index("fault_interrupted") < list(told).index("target_out_of_memory")
    finish(served, execution_id)
    assert members(target) == before
    assert target.status == "running"


def test_what_a_person_starts_by_a_plans_command_stays_until_the_undo(containers: Sandbox, engine: str) -> None:
    """Nobody holds what it starts: it is in the container when the helper has ended, until the undo is run as well."""
    target = containers.run("alone")
    own = settled(target)
    facts = ContainerFacts(id=target.id, name="t", image="i", state=ContainerState.RUNNING, started_at="s")
    spec = CpuStress.model_validate({"type": "cpu_stress", "target": "t", "load": "20%", "workers": 2})
    mark = f"fault=f-alone execution=e instance=i expires={time.time() + 600:.0f}"
    (planned,) = spec.plan([facts]).filled({FAULT: "f-alone", MARK: mark}).targets
    assert planned.undo is not None
    undo = planned.undo.command

    async def play() -> tuple[Outcome, int, Outcome]:
        runner = DockerCommandRunner(
            engine,
            lambda name: name,
            helper_image=HelperImage("", __version__),
            instance="stress-test",
            slowness=PATIENCE,
        )
        await runner.prepare_helper()
        put = await runner.run(planned.inject)
        loaded = len(members(target))
        return put, loaded, await runner.run(undo)

    put, loaded, removed = anyio.run(play)
    assert put.ok, put.stderr
    assert loaded == len(own) + 2
    assert removed.ok, removed.stderr
    assert members(target) == own


def test_a_paused_container_is_undone(served: Coordinator, containers: Sandbox) -> None:
    """The stressor cannot go while it is frozen; it is gone when the container goes on."""
    target = containers.run("frozen")
    before = settled(target)
    execution_id = put(served, target, [{"type": "cpu_stress", "load": "20%"}])
    docker("pause", target.id)
    finish(served, execution_id)
    docker("unpause", target.id)
    eventually(lambda: members(target) == before, "their end")
