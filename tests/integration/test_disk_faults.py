"""Faults of the disk on the real engine, measured by the kernel's accounting and by tools inside the container."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from actors.docker.programs import fill, limits
from actors.docker.programs.crash import started
from actors.docker.programs.limits import Failed
from actors.docker.programs.load_target import Target
from coordinator import __version__
from coordinator.faults.catalogue import KINDS
from coordinator.faults.commands import FAULT, MARK, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.scenarios.side_by_side import run_all
from tests.conftest import PATIENCE
from tests.integration.coordinator_process import Coordinator, eventually
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker
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
        runner = DockerCommandRunner(
            engine,
            lambda name: name,
            helper_image=HelperImage("", __version__),
            instance="disk-test",
            slowness=PATIENCE,
        )
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


def inside(container: Container, *argv: str) -> str:
    """What a program of the container's own prints."""
    return docker("exec", container.id, *argv)


def filling(folder: Path) -> list[Path]:
    """The files of ours in a folder, as the host sees it."""
    return sorted(folder.glob(".tc-*.fill"))


def test_a_disk_is_filled_and_given_back(served: Coordinator, containers: Sandbox) -> None:
    """A size in the container's layer, by the count of its blocks, and all of a disk of its own: nothing can be written
    there any more. Afterwards there is no trace of it, whatever happened to the container meanwhile.
    """
    target = containers.run("filled", options=["--tmpfs", "/memory:size=32m", "--memory", "128m"])
    inside(target, "mkdir", "/data")
    had, free = layer(target), inside(target, "df", "-k", "/memory")
    faults: list[dict[str, object]] = [
        {"type": "disk_fill", "path": "/data", "size": "64m"},
        {"type": "disk_fill", "path": "/memory", "percent": "100%"},
    ]
    execution_id = put(served, target, faults)
    blocks, size = inside(target, "sh", "-c", "stat -c %b /data/.tc-*.fill").split(), 64 * MIB
    assert [int(each) * 512 >= size for each in blocks] == [True]
    assert inside(target, "df", "-k", "/memory").split()[-2] == "100%"
    with pytest.raises(DockerFailed, match="No space left on device"):
        inside(target, "sh", "-c", "echo full > /memory/more")
    inside(target, "sh", "-c", "echo fits > /data/more && rm /data/more")
    finish(served, execution_id)
    assert (layer(target), inside(target, "df", "-k", "/memory")) == (had, free)


def test_it_is_given_back_while_the_container_is_down_or_gone(
    served: Coordinator, containers: Sandbox, tmp_path: Path
) -> None:
    """SIGKILL of the coordinator and its warden, and the container is killed too: the next start removes the files from
    its layer, its volume and a folder of the machine without starting it; nothing is owed where that folder is gone, or
    was in memory.
    A container that is removed leaves none in its volume either.
    """
    volume, bound, gone = f"tc-test-{containers.tag}", tmp_path / "bound, by a person", tmp_path / "gone" / "in"
    bound.mkdir()
    gone.mkdir(parents=True)
    options = ["--volume", f"{volume}:/kept", "--volume", f"{bound}:/bound", "--volume", f"{gone}:/gone"]
    target = containers.run("full", options=[*options, "--mount", "type=tmpfs,destination=/memory"])
    try:
        kept = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume))
        upper = Path(target.look("{{.GraphDriver.Data.UpperDir}}"))
        paths = ("/", "/kept", "/bound", "/gone", "/memory")
        fills: list[dict[str, object]] = [{"type": "disk_fill", "path": path, "size": "8m"} for path in paths]
        put(served, target, fills)
        served.kill()
        docker("kill", target.id)
        assert [len(filling(each)) for each in (upper, kept, bound, gone)] == [1, 1, 1, 1]
        shutil.rmtree(gone.parent)
        served.start()
        eventually(lambda: filling(upper) + filling(kept) + filling(bound) == [], "the undo")
        eventually(lambda: not served.call("GET", "/api/v1/faults").json()["items"], "the end")
        assert target.status == "exited"
        assert not gone.parent.exists()

        gone.mkdir(parents=True)
        docker("start", target.id)
        execution_id = put(served, target, [fills[1], fills[3]])
        docker("rm", "--force", target.id)
        shutil.rmtree(gone.parent)
        assert len(filling(kept)) == 1
        finish(served, execution_id)
        assert filling(kept) == []
    finally:
        docker("rm", "--force", target.id)
        docker("volume", "rm", "--force", volume)


def test_what_is_only_starting_is_left_alone(
    containers: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the container's cgroup that has no mounts of its own yet: nothing is made nor removed where it is,
    which is this machine, and neither is said to be done. With its own mounts it is gone to.
    """
    monkeypatch.setattr(limits, "GROUPS", "/sys/fs/cgroup")
    target = containers.run("starting")
    own = limits.main_process(target.id)
    assert own is not None
    there = tmp_path / ".tc-f2.fill"
    there.touch()
    with subprocess.Popen(["unshare", "--mount", "sleep", "600"]) as process:
        try:
            for group in Target(target.id).groups:
                group.join(process.pid)
            early = limits.Process(started(process.pid), process.pid, own.cgroups)
            monkeypatch.setattr(limits, "main_process", lambda _: early)
            with pytest.raises(Failed, match="it is only starting"):
                fill.put("f1", "8192", 8192, str(tmp_path), MARK, target.id)
            with pytest.raises(Failed, match="it is only starting"):
                fill.remove("f2", "?", str(tmp_path), target.id)
            assert filling(tmp_path) == [there]
        finally:
            process.kill()
    monkeypatch.setattr(limits, "main_process", lambda _: own)
    fill.put("f1", "8192", 8192, "/", MARK, target.id)
    upper = Path(target.look("{{.GraphDriver.Data.UpperDir}}"))
    assert len(filling(upper)) == 1
    fill.remove("f1", "?", "/", target.id)
    assert filling(upper) == []


def test_a_disk_in_memory_that_has_no_room_for_it_is_as_it_was(containers: Sandbox, engine: str) -> None:
    """What fills it counts as the container's memory: it is killed there, and nothing of its file stays."""
    target = containers.run("tight", options=["--tmpfs", "/memory:size=256m", "--memory", "48m"])
    had = inside(target, "df", "-k", "/memory")
    (told,) = refusals(engine, target, [{"type": "disk_fill", "path": "/memory", "size": "128m"}])
    assert told == fill.KILLED
    assert (inside(target, "ls", "-A", "/memory"), inside(target, "df", "-k", "/memory")) == ("", had)
    assert target.status == "running"


def test_what_cannot_be_filled_is_refused(containers: Sandbox, engine: str) -> None:
    """With the reason, and nothing is there afterwards: a way through a link, no room, and what the host must keep."""
    target = containers.run("refusing", options=["--tmpfs", "/memory:size=8m", "--read-only"])
    inside(target, "ln", "-s", "/etc", "/memory/link")
    had = layer(target)
    cases: list[tuple[dict[str, object], str]] = [
        ({"path": "/nowhere", "size": "1m"}, "there is no folder /nowhere in it"),
        ({"path": "/bin/busybox", "size": "1m"}, "/bin/busybox is no folder"),
        ({"path": "/memory/link/x", "size": "1m"}, "leads through a link, link to /etc: give the path without it"),
        ({"path": "/", "size": "1m"}, "no file can be made there: Read-only file system"),
        ({"path": "/memory", "size": "9m"}, "9437184 bytes are more than is free there: 8388608"),
        (
            {"path": "/memory", "percent": "50%", "cap": "1m"},
            "50% would take 4194304 bytes, more than its cap of 1048576",
        ),
        ({"path": "/", "percent": "0.1%"}, "% are used as it is"),
        ({"path": "/", "percent": "99.9%", "cap": "99999g"}, "free of the host's disk, which must keep"),
        ({"path": "/", "size": "99999g"}, "are more than is free there"),
    ]
    told = refusals(engine, target, [{"type": "disk_fill", **fault} for fault, _ in cases])
    assert [(text, why) for text, (_, why) in zip(told, cases, strict=True) if why not in text] == []
    assert inside(target, "ls", "-A", "/memory") == "link"
    assert layer(target) == had
