"""Faults of the disk on the real engine, measured by the kernel's accounting and by tools inside the container."""

import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from coordinator import __version__
from coordinator.faults.catalogue import KINDS
from coordinator.faults.commands import FAULT, MARK, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.scenarios.undo import run_all
from tests.integration.coordinator_process import Coordinator, eventually
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.test_limits import put
from tests.integration.test_stress import finish, members, settled

MIB = 1 << 20


def layer(container: Container) -> list[str]:
    """The files that the container has written to its own layer, as the host sees them."""
    upper = Path(container.look("{{.GraphDriver.Data.UpperDir}}"))
    return sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))


def counted(pids: set[str], what: str) -> dict[str, int]:
    """What each of these processes has had of disks, in bytes, by the kernel's count."""
    texts = {pid: Path(f"/proc/{pid}/io").read_text().split() for pid in pids}
    return {pid: int(words[words.index(f"{what}_bytes:") + 1]) for pid, words in texts.items()}


def refusals(engine: str, container: Container, faults: Sequence[dict[str, object]]) -> list[str]:
    """Why each of these cannot be put, asked of the helpers that would put it."""
    facts = ContainerFacts(id=container.id, name="t", image="i", state=ContainerState.RUNNING, started_at="s")
    specs = [KINDS[str(fault["type"])].model_validate({**fault, "target": "t"}) for fault in faults]
    mark = f"fault=f execution=e instance=i expires={time.time() + 600:.0f}"
    plans = [spec.plan([facts]).filled({FAULT: f"f{number}", MARK: mark}) for number, spec in enumerate(specs)]
    commands = [plan.targets[0].inject for plan in plans]

    async def ask() -> list[Outcome]:
        image = HelperImage("", __version__)
        runner = DockerCommandRunner(engine, lambda name: name, helper_image=image, instance="disk-test")
        await runner.prepare_helper()
        return await run_all(runner, commands)

    outcomes = anyio.run(ask)
    assert [outcome.exit_code for outcome in outcomes] == [1] * len(faults)
    return [outcome.stderr.strip().partition(": ")[2] for outcome in outcomes]


def test_a_disk_is_kept_busy_and_nothing_stays(served: Coordinator, containers: Sandbox, engine: str) -> None:
    """The container is charged with it while it is on; no file is ever seen, and none left after SIGKILL either."""
    target = containers.run("churned", options=["--tmpfs", "/memory:size=128m"])
    docker("exec", target.id, "mkdir", "/data")
    before, had = settled(target), layer(target)
    execution_id = put(served, target, [{"type": "disk_io_stress", "workers": 2, "path": "/data"}])
    stressors = members(target) - before
    assert len(stressors) == 2
    first = counted(stressors, "write")
    assert min(first.values()) >= 4 * MIB
    for what in ("write", "read"):
        eventually(lambda: min(counted(stressors, what).values()) >= 48 * MIB, f"more of {what}")  # noqa: B023  # at once
    assert layer(target) == had
    assert docker("exec", target.id, "ls", "-A", "/data") == ""
    finish(served, execution_id)
    assert (members(target), layer(target)) == (before, had)

    paths = {
        "/bin/busybox": "/bin/busybox is no folder",
        "/dev/shm": "fewer than 64 MiB would stay free in /dev/shm beside a file of 32",
        "/proc": "nothing can be written to /proc: No such file or directory",
        "/nowhere": "there is no folder /nowhere in it",
        "/memory": "what is written there reaches no disk: it is kept in memory",
    }
    told = refusals(engine, target, [{"type": "disk_io_stress", "path": path} for path in paths])
    assert told == list(paths.values())
    assert (members(target), layer(target)) == (before, had)
