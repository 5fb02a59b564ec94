"""A real crash on the real engine: the restart policy acts, or the undo does, and no helper stays behind."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PATIENCE
from tests.integration.coordinator_container import coordinator_image, start
from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.sandbox import Container, Sandbox, docker

CRASH: dict[str, object] = {"type": "container_crash"}
INSTANCE = "test-coordinator-Crash"


@pytest.fixture
def served(tmp_path: Path, engine: str) -> Iterator[Coordinator]:
    """A coordinator that is up, with a name by which its helpers are known."""
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME=INSTANCE) as made:
        made.start()
        yield made
    assert helpers() == []


def helpers() -> list[str]:
    """The helper containers of this instance, in any state."""
    labels = ("test-coordinator.role=helper", f"test-coordinator.instance={INSTANCE}")
    filters = [part for label in labels for part in ("--filter", f"label={label}")]
    return docker("ps", "--all", "--quiet", *filters).split()


def restarts(container: Container) -> int:
    """How often the engine's policy has restarted it since its last start by hand."""
    return int(container.look("{{.RestartCount}}"))


def faults(served: Coordinator, execution_id: str) -> dict[str, str]:
    """The state of each fault by its type."""
    return {fault["type"]: fault["state"] for fault in served.execution(execution_id)["faults"]}


def outcomes(served: Coordinator, execution_id: str) -> dict[str, str]:
    """What became of each container, by its name."""
    every = (target for fault in served.execution(execution_id)["faults"] for target in fault["targets"])
    return {target["name"]: target["outcome"] for target in every}


def test_a_crash_is_restarted_by_the_policy_and_a_kill_is_not(served: Coordinator, containers: Sandbox) -> None:
    """Beside each other, with the same policy: the crashed one is up again at once and counted, the killed one stays
    down until its undo; without a policy the undo starts the crashed one.
    """
    always = ["--restart", "always"]
    crashed, killed = containers.run("crashed", options=always), containers.run("killed", options=always)
    alone = containers.run("alone")
    targets = {"crashed": {"names": [crashed.name, alone.name]}, "killed": {"names": [killed.name]}}
    both: list[dict[str, object]] = [{**CRASH, "target": "crashed"}, {"type": "container_kill", "target": "killed"}]
    execution_id = served.submit(scenario(both, names=[], targets=targets))
    active = {"container_crash": "active", "container_kill": "active"}
    eventually(lambda: faults(served, execution_id) == active, "both effects")
    eventually(lambda: crashed.status == "running" and restarts(crashed) == 1, "the policy's restart")
    assert (killed.status, restarts(killed)) == ("exited", 0)
    assert alone.status == "exited"

    assert served.call("DELETE", f"/api/v1/executions/{execution_id}").status_code == 202
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert [each.status for each in (crashed, killed, alone)] == ["running"] * 3
    assert [restarts(each) for each in (crashed, killed, alone)] == [1, 0, 0]
    assert served.execution(execution_id)["undo"] == "complete"


def test_what_does_not_run_is_left_alone(served: Coordinator, containers: Sandbox) -> None:
    """A paused and an exited container are named with their state, and are afterwards as they were."""
    paused, exited, up = containers.run("paused"), containers.run("exited"), containers.run("up")
    docker("pause", paused.id)
    docker("stop", exited.id)
    names = [paused.name, exited.name, up.name]
    execution_id = served.submit(scenario([CRASH], names=names, duration="100ms"))
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    told = outcomes(served, execution_id)
    assert told[paused.name] == "is paused, not running: left alone"
    assert told[exited.name] == "is exited, not running: left alone"
    assert told[up.name].startswith("effective")
    assert (paused.status, exited.status, up.status) == ("paused", "exited", "running")


def test_sigkill_after_a_crash_leaves_nothing_broken(served: Coordinator, containers: Sandbox) -> None:
    """The coordinator dies between a crash and its undo: the next start puts back what no policy restarted, alone."""
    policy, alone = containers.run("policy", options=["--restart", "on-failure"]), containers.run("alone")
    execution_id = served.submit(scenario([CRASH], names=[policy.name, alone.name]))
    eventually(lambda: faults(served, execution_id) == {"container_crash": "active"}, "the effect")
    served.kill()
    eventually(lambda: policy.status == "running" and restarts(policy) == 1, "the policy's restart")
    run = policy.started_at
    assert alone.status == "exited"
    served.start()
    assert (policy.status, alone.status) == ("running", "running")
    assert (policy.started_at, restarts(policy)) == (run, 1)
    assert served.execution(execution_id)["undo"] == "complete"


def test_sigkill_while_the_helper_starts_leaves_nothing_broken(served: Coordinator, containers: Sandbox) -> None:
    """The coordinator dies with the command on its way: the crash happens, is undone, and the helper is gone."""
    target = containers.run("target")
    execution_id = served.submit(scenario([{**CRASH, "at": "1s"}], names=[target.name]))
    eventually(lambda: faults(served, execution_id) == {"container_crash": "fired"}, "the firing")
    served.signal(signal.SIGKILL)
    served.wait()
    served.start()
    eventually(lambda: served.execution(execution_id)["undo"] in {"complete", "none"}, "the undo to be recorded")
    eventually(lambda: target.status == "running", "the container to be up")
    eventually(lambda: helpers() == [], "the helper to be gone")
    # Whether the command still reached the engine is chance; that nothing is owed and the container is whole is not.
    assert served.call("GET", "/api/v1/faults").json()["items"] == []
    assert target.status == "running"


def test_without_a_helper_image_it_is_an_error_that_says_so(tmp_path: Path, containers: Sandbox) -> None:
    """An image that lacks the program is no crash: nothing is hit, and the reason is the program's absence."""
    target = containers.run("target")
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME=INSTANCE, HELPER_IMAGE=containers.image) as made:
        made.start()
        execution_id = made.submit(scenario([CRASH], names=[target.name], duration="100ms"))
        eventually(lambda: made.execution(execution_id)["state"] == "finished", "the end")
        execution = made.execution(execution_id)
    assert execution["verdict"] == "not_injected"
    assert "crash.py" in execution["reason"]
    assert target.status == "running"


@pytest.mark.timeout(600)  # it may build the image
def test_in_a_container_helpers_run_the_own_image(engine: str, containers: Sandbox) -> None:
    """The coordinator as a container crashes a neighbour with a helper of its own image, and builds none."""
    own = Sandbox(coordinator_image())
    try:
        made = start(own)
        made.wait_healthy()
        target = containers.run("target", options=["--restart", "always"])
        since = docker("info", "--format", "{{.SystemTime}}")
        execution_id = made.submit(scenario([CRASH], names=[target.name]))
        made.wait_active(execution_id)
        eventually(lambda: target.status == "running" and restarts(target) == 1, "the policy's restart")
        label = f"label=test-coordinator.execution={execution_id}"
        until = docker("info", "--format", "{{.SystemTime}}")
        image = "{{.Actor.Attributes.image}}"
        events = ["--since", since, "--until", until, "--filter", label, "--filter", "event=create"]
        images = docker("events", *events, "--format", image).split()
        assert images == [made.look("{{.Image}}")]
        assert made.call("DELETE", f"/api/v1/executions/{execution_id}").status_code == 202
        assert made.wait_finished(execution_id)["undo"] == "complete"
    finally:
        own.close()


LENIENT = {
    "apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": "crash-and-recover",
    "metadata": {"name": "crash-and-recover"},
    "steady_state": [{"probe": "api", "availability": ">= 80%", "for": "3s"}],
}  # fmt: skip
"""With a steady state that a busy machine meets as well, on which one answer in thirty comes late."""


@pytest.mark.timeout(180)  # two runs of some 15 s each, on a machine that may be busy
def test_the_built_in_scenario_shows_the_restart(served: Coordinator, containers: Sandbox) -> None:
    """crash-and-recover passes on a container with a policy and counts its restart; without one it fails on just that.

    `plan` names the helper image as a variable, `doctor` says that the fault is ready once it has an image.
    """
    serve = ["python3", "-m", "http.server", "--directory", "/tmp", "8000"]
    # In a network of their own nobody takes the address of one that restarts.
    own = ["--network", containers.network()]
    with_policy = containers.run("web", command=serve, options=["--restart", "always", *own])
    without = containers.run("other", command=serve, options=own)
    plan = served.command("plan", "crash-and-recover", "--var", f"container={with_policy.name}")
    assert " ${HELPER_IMAGE} " in plan.stdout

    lenient = served.data_dir.parent / "crash-and-recover.json"
    lenient.write_text(json.dumps(LENIENT))

    def run(container: Container) -> dict[str, object]:
        done = served.command(
            "run", str(lenient), "--json", "--var", f"container={container.name}",
            "--var", f"url=http://{container.address}:8000/", "--var", f"watch={6 * PATIENCE:g}s",
            "--var", f"recovery={10 * PATIENCE:g}s", "--var", f"abort_after={30 * PATIENCE:g}s",
        )  # fmt: skip
        report: dict[str, object] = json.loads(done.stdout)
        return report

    passed, failed = run(with_policy), run(without)
    assert (passed["verdict"], restarts(with_policy)) == ("passed", 1), passed["reason"]
    assert failed["verdict"] == "failed", failed["reason"]
    assert without.status == "running"
    # By now the helper image is there, so that it could be tried.
    doctor = json.loads(served.command("doctor", "--json").stdout)
    assert {"type": "container_crash", "state": "ready", "why": ""} in doctor["faults"]
