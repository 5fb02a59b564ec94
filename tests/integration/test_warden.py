"""Deaths of a real coordinator that it cannot see coming: its warden puts back what it left, on the real engine."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from coordinator.data_dir_lock import DataDirLock
from tests.integration.coordinator_process import PROGRAM, Coordinator, coordinator, eventually, scenario
from tests.integration.sandbox import Container, Sandbox, docker, engine_host

PAUSE: dict[str, object] = {"type": "container_pause"}
SMALL_BYTES = 30 * 2**20


@pytest.fixture
def made(tmp_path: Path, engine: str) -> Iterator[Coordinator]:
    """A coordinator that is not started yet."""
    with coordinator(tmp_path) as ready:
        yield ready


@pytest.fixture
def served(made: Coordinator) -> Coordinator:
    """A coordinator that is up."""
    made.start()
    return made


def active(served: Coordinator, execution_id: str) -> None:
    """Wait until every fault has taken effect."""

    def all_active() -> bool:
        return {fault["state"] for fault in served.execution(execution_id)["faults"]} == {"active"}

    eventually(all_active, "the effects")


def paused(served: Coordinator, target: Container) -> str:
    """An execution that holds the container paused."""
    execution_id = served.submit(scenario([PAUSE], names=[target.name]))
    active(served, execution_id)
    assert target.status == "paused"
    return execution_id


def ended(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not looked at."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def messages(file: Path, message_type: str) -> list[dict[str, object]]:
    """What a log holds of one type."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [message for message in map(json.loads, lines) if message.get("message_type") == message_type]


def test_a_sigkill_leaves_nothing_broken(served: Coordinator, containers: Sandbox) -> None:
    """Pause, stop and kill are undone with nobody to start again, a person's own pause is not; locks are gone, the
    verdict is there, the story goes on in the execution's own tree, and the warden, small until then, has ended.
    """
    frozen, stopped, killed = (containers.run(name) for name in ("frozen", "stopped", "killed"))
    by_a_person = containers.run("other")
    docker("pause", by_a_person.id)
    targets = {each.name: {"names": [each.name]} for each in (frozen, stopped, killed)}
    kinds = {frozen.name: "container_pause", stopped.name: "container_stop", killed.name: "container_kill"}
    faults: list[dict[str, object]] = [{"type": kind, "target": name} for name, kind in kinds.items()]
    execution_id = served.submit(scenario(faults, names=[], targets=targets))
    active(served, execution_id)
    warden = psutil.Process(served.warden)
    assert warden.memory_info().rss < SMALL_BYTES
    assert served.process is not None
    assert os.getsid(warden.pid) not in {os.getsid(served.process.pid), warden.pid}

    served.signal(signal.SIGKILL)
    eventually(lambda: {each.status for each in (frozen, stopped, killed)} == {"running"}, "the undos")
    eventually(lambda: ended(warden.pid), "the warden's end")
    assert by_a_person.status == "paused"
    locked = docker("volume", "ls", "--quiet", "--filter", "label=test-coordinator.role=lock").split()
    assert not {f"tc-{each.id}" for each in (frozen, stopped, killed)} & set(locked)
    served.wait()
    report = json.loads(served.command("report", execution_id, "--format", "json").stdout)
    assert (report["verdict"], report["undo"], report["left_broken"]) == ("aborted", "complete", [])
    assert {fault["state"] for fault in report["faults"]} == {"undone"}
    tree = served.command("logs", execution_id).stdout
    assert "put back" in tree
    assert tree.count("actor: warden") >= 2 * len(faults)


def test_neither_group_nor_children_delay_it(served: Coordinator, containers: Sandbox) -> None:
    """Stopped, then killed with its whole process group, while a docker command of it hangs: undone all the same."""
    target, other = containers.run("target"), containers.run("other")
    hang: dict[str, object] = {"type": "exec", "target": "h", "command": ["sleep", "300"], "undo_command": ["true"]}
    faults = [{**PAUSE, "target": "p"}, {**hang, "at": "100ms"}]
    targets = {"p": {"names": [target.name]}, "h": {"names": [other.name]}}
    served.submit(scenario(faults, names=[], targets=targets))
    assert served.process is not None
    process = psutil.Process(served.process.pid)

    def hanging() -> list[psutil.Process]:
        # One that ends while it is looked at has no command line left.
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            return [child for child in process.children() if "exec" in child.cmdline()]
        return []

    eventually(lambda: bool(hanging()) and target.status == "paused", "the pause and the command that hangs")
    children = hanging()
    served.signal(signal.SIGSTOP)
    assert target.status == "paused"
    os.killpg(served.process.pid, signal.SIGKILL)
    eventually(lambda: target.status == "running", "the undo")
    try:
        assert any(child.is_running() for child in children)
    finally:
        for child in children:
            child.kill()


def test_its_own_death_is_mended(served: Coordinator, containers: Sandbox) -> None:
    """A warden that is killed is replaced, and that is seen; the next one knows what the first would have done."""
    target = containers.run("target")
    paused(served, target)
    first = served.warden
    os.kill(first, signal.SIGKILL)
    eventually(lambda: served.warden != first, "another warden")

    def seen() -> tuple[int, str]:
        actors = served.call("GET", "/api/v1/actors").json()["items"]
        return next((actor["restarts"], actor["state"]) for actor in actors if actor["id"] == "warden")

    eventually(lambda: seen() == (1, "running"), "the actor to have been restarted")
    assert served.call("GET", "/api/v1/health").json()["status"] == "healthy"
    served.signal(signal.SIGKILL)
    eventually(lambda: target.status == "running", "the undo")
    eventually(lambda: ended(served.warden), "the warden's end")


def test_an_orderly_end_lets_it_go(served: Coordinator) -> None:
    """SIGTERM to all, as a service manager sends it: the warden stays until the coordinator is done, then ends too."""
    warden = served.warden
    os.kill(warden, signal.SIGTERM)
    assert served.call("GET", "/api/v1/health").json()["status"] == "healthy"
    assert served.warden == warden
    served.signal(signal.SIGTERM)
    assert served.wait() == 0
    eventually(lambda: ended(warden), "the warden's end")
    assert not (served.data_dir / "logs" / "warden.jsonl").exists()


def test_what_an_end_leaves_outstanding_is_tried_on(made: Coordinator, containers: Sandbox, tmp_path: Path) -> None:
    """The engine is away when the coordinator is stopped: exit 5, and the undo comes as soon as the engine is back."""
    socket = tmp_path / "docker.sock"
    socket.symlink_to(engine_host().removeprefix("unix://"))
    made.settings = {"DOCKER_HOST": f"unix://{socket}", "SHUTDOWN_DEADLINE_SECONDS": "1"}
    made.start()
    target = containers.run("target")
    paused(made, target)
    warden = made.warden
    socket.unlink()
    made.signal(signal.SIGTERM)
    assert made.wait() == 5
    log = made.data_dir / "logs" / "warden.jsonl"
    eventually(lambda: bool(messages(log, "warden:engine_away")), "a look for the engine")
    assert target.status == "paused"
    socket.symlink_to(engine_host().removeprefix("unix://"))
    eventually(lambda: target.status == "running", "the undo")
    eventually(lambda: ended(warden), "the warden's end")


def test_locks_that_an_engine_kept_are_released_when_it_is_back(
    made: Coordinator, containers: Sandbox, tmp_path: Path
) -> None:
    """The engine goes away before anything is fired: `run` ends at once with its verdict and nothing outstanding, and
    the warden stays until the engine has let go of the lock.
    """
    socket = tmp_path / "docker.sock"
    socket.symlink_to(engine_host().removeprefix("unix://"))
    made.settings = {"DOCKER_HOST": f"unix://{socket}"}
    target = containers.run("target")
    text = scenario([PAUSE], names=[target.name])
    text["probes"] = {"up": {"type": "container", "target": "t", "every": "100ms"}}
    text["steady_state"] = [{"probe": "up", "availability": ">= 0%", "for": "3s"}]
    file = made.data_dir.parent / "steady.json"
    file.write_text(json.dumps(text))

    def locked() -> bool:
        return f"tc-{target.id}" in docker("volume", "ls", "--quiet").split()

    with made.log_file.open("wb") as log:
        run = subprocess.Popen([*PROGRAM, "run", str(file)], env=made.environment, stdout=log, stderr=log)
    eventually(locked, "the lock")
    socket.unlink()
    assert run.wait(60) == 4
    told = made.data_dir / "logs" / "warden.jsonl"
    eventually(lambda: bool(messages(told, "warden:engine_away")), "a look for the engine")
    assert locked()
    socket.symlink_to(engine_host().removeprefix("unix://"))
    eventually(lambda: not locked(), "the lock to be released")
    eventually(lambda: messages(told, "warden:recovery")[-1]["status"] == 0, "the warden's last recovery")
    assert target.status == "running"


def test_a_start_waits_for_a_warden_at_work(made: Coordinator) -> None:
    """The lock is the warden's: `serve` says that it waits, and is up once it is let go."""
    lock = DataDirLock(made.data_dir, "test-coordinator", "warden")
    lock.acquire()
    with made.log_file.open("wb") as log:
        made.process = subprocess.Popen([*PROGRAM, "serve"], env=made.environment, stdout=log, stderr=log)
    eventually(lambda: bool(messages(made.log_file, "warden:awaited")), "the word that it waits")
    assert not (made.data_dir / "endpoints.json").exists()
    lock.release()
    eventually((made.data_dir / "endpoints.json").exists, "serve")
    made.signal(signal.SIGTERM)
    assert made.wait() == 0


def test_a_run_without_a_coordinator_has_one_too(made: Coordinator, containers: Sandbox) -> None:
    """SIGKILL of `run` by itself: what it paused is unpaused, and its execution has a verdict."""
    target = containers.run("target")
    file = made.data_dir.parent / "pause.json"
    file.write_text(json.dumps(scenario([PAUSE], names=[target.name])))
    with made.log_file.open("wb") as log:
        run = subprocess.Popen([*PROGRAM, "run", str(file)], env=made.environment, stdout=log, stderr=log)
    eventually(lambda: target.status == "paused", "the pause")
    run.kill()
    run.wait()
    eventually(lambda: target.status == "running", "the undo")

    def verdicts() -> list[str]:
        listed = made.command("executions", "--json")
        return [item["verdict"] for item in json.loads(listed.stdout)["items"]]

    eventually(lambda: verdicts() == ["aborted"], "the verdict")


@pytest.fixture
def fathered(made: Coordinator) -> Iterator[Coordinator]:
    """A coordinator below its warden, as in the image."""
    made.start("warden", "--", "serve")
    yield made
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(serve_of(made), signal.SIGKILL)


def serve_of(fathered: Coordinator) -> int:
    """The process that serves."""
    return int(json.loads((fathered.data_dir / "endpoints.json").read_text())["pid"])


def test_as_a_parent_it_undoes_and_tells_the_status(fathered: Coordinator, containers: Sandbox) -> None:
    """SIGKILL of `serve`: undone before the parent ends with 128 + 9; a restart then finds nothing to do."""
    target = containers.run("target")
    execution_id = paused(fathered, target)
    assert fathered.process is not None
    assert fathered.warden == fathered.process.pid
    assert psutil.Process(fathered.process.pid).memory_info().rss < SMALL_BYTES
    os.kill(serve_of(fathered), signal.SIGKILL)
    assert fathered.wait() == 137
    assert target.status == "running"
    fathered.start("warden", "--", "serve")
    assert (fathered.execution(execution_id)["verdict"], fathered.execution(execution_id)["undo"]) == (
        "aborted", "complete",
    )  # fmt: skip
    fathered.signal(signal.SIGTERM)
    assert fathered.wait() == 0


def test_a_coordinator_that_lost_its_parent_has_another_warden(fathered: Coordinator, containers: Sandbox) -> None:
    """The parent is killed, then `serve`: a warden beside it has taken over."""
    target = containers.run("target")
    paused(fathered, target)
    serve, parent = serve_of(fathered), fathered.warden
    fathered.signal(signal.SIGKILL)
    fathered.wait()
    eventually(lambda: fathered.warden != parent, "another warden")
    os.kill(serve, signal.SIGKILL)
    eventually(lambda: target.status == "running", "the undo")
    eventually(lambda: ended(fathered.warden), "the warden's end")
