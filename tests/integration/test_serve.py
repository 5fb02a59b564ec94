"""The real process on the real engine: what it breaks it puts back, whatever ends it."""

import json
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.integration.coordinator_process import PROGRAM, Coordinator, coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker

PAUSE: dict[str, object] = {"type": "container_pause"}
STOP: dict[str, object] = {"type": "container_stop", "grace": "1s"}


def paused(served: Coordinator, target: Container) -> str:
    """Start an execution that holds the target paused; its id, once the effect is recorded."""
    execution_id = served.submit(scenario([PAUSE], names=[target.name]))
    eventually(
        lambda: [fault["state"] for fault in served.execution(execution_id)["faults"]] == ["active"], "the effect"
    )
    assert target.status == "paused"
    return execution_id


def locks() -> set[str]:
    """The target locks on the engine."""
    return set(docker("volume", "ls", "--quiet", "--filter", "label=test-coordinator.role=lock").split())


def test_sigterm_undoes_and_ends_with_0(served: Coordinator, containers: Sandbox) -> None:
    """SIGTERM while a container is paused: unpaused, its lock gone, exit status 0, the verdict on disk."""
    target, by_a_person = containers.run("target"), containers.run("other")
    docker("pause", by_a_person.id)
    execution_id = paused(served, target)
    assert f"tc-{target.id}" in locks()
    served.signal(signal.SIGTERM)
    assert served.wait() == 0
    assert (target.status, by_a_person.status) == ("running", "paused")
    assert f"tc-{target.id}" not in locks()
    report = json.loads(served.command("report", execution_id, "--format", "json").stdout)
    assert (report["verdict"], report["undo"], report["left_broken"]) == ("aborted", "complete", [])


def test_sigkill_is_undone_before_anything_is_accepted(served: Coordinator, containers: Sandbox) -> None:
    """SIGKILL while containers are paused and stopped: the next start puts them back before it answers."""
    frozen, stopped, by_a_person = containers.run("frozen"), containers.run("stopped"), containers.run("other")
    docker("pause", by_a_person.id)
    both = [frozen.name, stopped.name]
    targets = {"f": {"names": [frozen.name]}, "s": {"names": [stopped.name]}}
    faults = [{**PAUSE, "target": "f"}, {**STOP, "target": "s"}]
    execution_id = served.submit(scenario(faults, names=both, targets=targets))
    eventually(
        lambda: [fault["state"] for fault in served.execution(execution_id)["faults"]] == ["active"] * 2, "both effects"
    )
    assert (frozen.status, stopped.status) == ("paused", "exited")
    served.kill()
    assert (frozen.status, stopped.status) == ("paused", "exited")
    served.start()
    assert (frozen.status, stopped.status, by_a_person.status) == ("running", "running", "paused")
    execution = served.execution(execution_id)
    assert (execution["verdict"], execution["reason"]) == ("aborted", "coordinator restarted")
    assert execution["undo"] == "complete"
    assert served.call("GET", "/api/v1/faults").json()["items"] == []
    assert not {f"tc-{frozen.id}", f"tc-{stopped.id}"} & locks()


def test_a_stop_cut_off_in_its_grace_is_undone(served: Coordinator, containers: Sandbox) -> None:
    """SIGKILL while the engine waits out a grace period: the container dies later, and is started again."""
    target = containers.run("stubborn", command=["sh", "-c", "trap 'echo asked' TERM; while :; do sleep 1; done"])
    execution_id = served.submit(scenario([{"type": "container_stop", "grace": "4s"}], names=[target.name]))
    eventually(lambda: "asked" in docker("logs", target.id), "the engine to ask the container to stop")
    assert [fault["state"] for fault in served.execution(execution_id)["faults"]] == ["fired"]
    before = target.started_at
    served.kill()
    assert target.status == "running"
    served.start()
    eventually(lambda: target.status == "running" and target.started_at != before, "the container to be back")
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "the undo to be recorded")


def test_a_persons_own_pause_is_not_injected_and_not_undone(served: Coordinator, containers: Sandbox) -> None:
    """A container that a person paused is left alone: not_injected, exit 4, still paused."""
    target = containers.run("target")
    docker("pause", target.id)
    file = served.data_dir.parent / "pause.json"
    file.write_text(json.dumps(scenario([PAUSE], names=[target.name], duration="100ms")))
    done = served.command("run", str(file), "--json")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["verdict"] == "not_injected"
    assert target.status == "paused"


def test_a_later_run_that_the_engine_failed_to_start_is_put_back(served: Coordinator, containers: Sandbox) -> None:
    """Killed by us, started and ended by a person, and then not started, by the engine's own error: nobody wants it
    down. The same without the error is the person's own will.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failed, ended = (containers.run(name, options=["--publish", f"127.0.0.1:{port}:9"] if name == "failed" else [])
                     for name in ("failed", "ended"))  # fmt: skip
    execution_id = served.submit(scenario([{"type": "container_kill"}], names=[failed.name, ended.name]))
    eventually(lambda: {failed.status, ended.status} == {"exited"}, "the kills")
    for each in (failed, ended):
        docker("start", each.id)
        docker("stop", "-t", "0", each.id)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(DockerFailed):
        docker("start", failed.id)
    assert served.call("DELETE", f"/api/v1/executions/{execution_id}").status_code == 202
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert (failed.status, ended.status) == ("running", "exited")
    assert served.execution(execution_id)["undo"] == "complete"


def test_stopping_an_execution_puts_back(served: Coordinator, containers: Sandbox) -> None:
    """DELETE of an execution, of a single fault, and the red button each put the container back."""
    target = containers.run("target")
    execution_id = paused(served, target)
    assert served.call("DELETE", f"/api/v1/executions/{execution_id}").status_code == 202
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert target.status == "running"

    execution_id = paused(served, target)
    fault_id = served.execution(execution_id)["faults"][0]["id"]
    assert served.call("DELETE", f"/api/v1/faults/{fault_id}").status_code == 200
    assert target.status == "running"
    assert served.execution(execution_id)["state"] == "running"

    other = containers.run("other")
    paused(served, other)
    answer = served.call("DELETE", "/api/v1/faults")
    assert (answer.status_code, answer.json()["failed"]) == (200, {})
    assert (target.status, other.status) == ("running", "running")


def test_a_target_held_by_another_instance_is_refused(served: Coordinator, containers: Sandbox, tmp_path: Path) -> None:
    """Two instances cannot fight over a container: the second is told who holds it."""
    target = containers.run("target")
    paused(served, target)
    with coordinator(tmp_path / "second", SERVICE_INSTANCE_NAME="test-coordinator-Chaos1") as second:
        second.start()
        execution_id = second.submit(scenario([STOP], names=[target.name], duration="100ms"))
        eventually(lambda: second.execution(execution_id)["state"] == "finished", "the end")
        execution = second.execution(execution_id)
    assert execution["verdict"] == "error"
    assert "test-coordinator" in execution["reason"]
    assert target.status == "paused"


def test_two_coordinators_on_one_data_dir(served: Coordinator) -> None:
    """The second says who holds the folder and ends with 2 or more, without a traceback."""
    second = served.command("serve")
    assert second.returncode != 0
    assert str(served.process.pid if served.process else "") in second.stderr
    assert "Traceback" not in second.stderr


def test_without_an_engine_it_starts_degraded(tmp_path: Path) -> None:
    """No engine: `serve` is up and degraded, `doctor` and `run` say in one line what to do."""
    missing = f"unix://{tmp_path}/no-engine.sock"
    with coordinator(tmp_path, DOCKER_HOST=missing) as made:
        made.start()
        health = made.call("GET", "/api/v1/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert made.call("GET", "/api/v1/ready").status_code == 200
        doctor = made.command("doctor")
        assert missing in doctor.stdout
        run = made.command("run", "kill-one-replica")
        assert run.returncode == 4
        assert missing in run.stdout + run.stderr
        assert "Traceback" not in run.stdout + run.stderr + doctor.stdout + doctor.stderr


def test_rows_of_another_engine_stay_outstanding(served: Coordinator, containers: Sandbox) -> None:
    """A ledger that was written for another engine: its fault is shown and kept, and nothing is undone here."""
    target = containers.run("target")
    paused(served, target)
    served.kill()
    rename = (
        "import sqlite3,sys;c=sqlite3.connect(sys.argv[1]);"
        "c.execute(\"update faults set engine_id='other',document=json_set(document,'$.engine_id','other')\");"
        "c.commit()"
    )
    subprocess.run([PROGRAM[0], "-c", rename, str(served.data_dir / "ledger.db")], check=True)
    served.start()
    faults = served.call("GET", "/api/v1/faults").json()["items"]
    assert len(faults) == 1
    assert target.status == "paused"
    assert served.call("GET", "/api/v1/health").json()["status"] == "degraded"
    status = served.command("status")
    assert "outstanding" in status.stdout


def test_events_are_live_and_end_with_the_process(served: Coordinator, containers: Sandbox) -> None:
    """A stream shows the fault coming on; SIGTERM undoes, tells the stream so, and is not held by it."""
    target = containers.run("target")
    execution_id = served.submit(scenario([PAUSE], names=[target.name]))
    seen: list[str] = []
    headers = {"Authorization": f"Bearer {served.token}"}
    url = f"{served.url}/api/v1/executions/{execution_id}/events"
    with httpx.stream("GET", url, headers=headers, timeout=30, trust_env=False) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
            if seen[-1:] == ["fault_effective"] and line == "":
                served.signal(signal.SIGTERM)
    assert served.wait() == 0
    assert target.status == "running"
    assert {"fault_armed", "fault_effective", "fault_undone", "finished"} <= set(seen)
