"""The engine under a running coordinator stops, restarts with and without its containers, or hangs: undos are retried
until they are seen, verdicts are right, and exit code 5 is kept for what is really left.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.coordinator_process import PROGRAM, Coordinator, coordinator, eventually, scenario
from tests.integration.private_engine import PrivateEngine

pytestmark = pytest.mark.timeout(300)
PAUSE: dict[str, object] = {"type": "container_pause"}
STOP: dict[str, object] = {"type": "container_stop", "grace": "0s"}
UNDO_DEADLINE_S = "4"


@pytest.fixture(scope="module")
def engine_with_web(private_engine: PrivateEngine, image: str) -> PrivateEngine:
    """An engine with one container and another that comes back whatever happens."""
    private_engine.load(image)
    private_engine.docker("run", "--detach", "--network", "none", "--name", "web", image)
    private_engine.docker("run", "--detach", "--network", "none", "--name", "db", "--restart", "always", image)
    return private_engine


@pytest.fixture(scope="module")
def served(engine_with_web: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator that lives through all of it, in one life, and does not wait long for an undo."""
    settings = {"DOCKER_HOST": f"unix://{engine_with_web.socket}", "UNDO_DEADLINE_SECONDS": UNDO_DEADLINE_S}
    with coordinator(tmp_path_factory.mktemp("moves"), **settings) as made:
        made.start()
        yield made
        actors = made.call("GET", "/api/v1/actors").json()["items"]
        assert {actor["id"]: actor["restarts"] for actor in actors if actor["restarts"]} == {}
        made.signal(signal.SIGTERM)
        assert made.wait() == 0


@pytest.fixture(autouse=True)
def whole_again(engine_with_web: PrivateEngine, served: Coordinator) -> Iterator[None]:
    """After each test nothing is left: no fault, no lock, no docker command of the coordinator's."""
    yield
    eventually(lambda: served.call("GET", "/api/v1/faults").json()["items"] == [], "all faults to be undone", 90)
    locks = ("volume", "ls", "--quiet", "--filter", "label=test-coordinator.role=lock")
    eventually(lambda: engine_with_web.docker(*locks) == "", "all locks to be released", 90)
    # The engine has removed a lock a moment before the command that asked for it ends.
    eventually(lambda: commands_of(served) == [], "its docker commands to end")
    assert {state(engine_with_web, name) for name in ("web", "db")} == {"running"}


def state(engine: PrivateEngine, name: str) -> str:
    """running, paused, exited."""
    return engine.docker("inspect", "--format", "{{.State.Status}}", name)


def commands_of(served: Coordinator) -> list[str]:
    """The docker processes that a coordinator has not yet killed or reaped."""
    assert served.process is not None
    listed = ["ps", "--ppid", str(served.process.pid), "-o", "stat=,comm="]
    lines = subprocess.run(listed, check=False, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if line.split()[-1] == "docker"]


def states(served: Coordinator, execution_id: str) -> list[str]:
    """The states of an execution's faults."""
    return [str(fault["state"]) for fault in served.execution(execution_id)["faults"]]


def undo_is_due(served: Coordinator, execution_id: str) -> None:
    """Wait until the coordinator has begun to undo, as only its log tells while it cannot look at the engine."""

    def begun_to() -> bool:
        lines = served.log_file.read_text().splitlines()
        return any(execution_id in line and '"action_type":"undo"' in line for line in lines)

    eventually(begun_to, "the undo to be due")


def begun(served: Coordinator, fault: dict[str, object], duration: str, name: str = "web") -> str:
    """An execution whose fault is on."""
    execution_id = served.submit(scenario([fault], names=[name], duration=duration))
    eventually(lambda: states(served, execution_id) == ["active"], "the effect")
    return execution_id


def ended(served: Coordinator, execution_id: str) -> dict[str, Any]:
    """An execution when it has its verdict."""
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the verdict", 60)
    return served.execution(execution_id)


def test_down_when_the_undo_is_due(engine_with_web: PrivateEngine, served: Coordinator) -> None:
    """Back within the undo's deadline: the fault's own task undoes it, and the verdict is that of a quiet engine."""
    execution_id = begun(served, PAUSE, "5s")
    with engine_with_web.stopped():
        undo_is_due(served, execution_id)
    execution = ended(served, execution_id)
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution["reason"]
    assert state(engine_with_web, "web") == "running"


def test_down_beyond_the_undos_deadline(engine_with_web: PrivateEngine, served: Coordinator) -> None:
    """The execution ends as incomplete, and `recover` with 5 and the command to run; when the engine is back, recovery
    undoes it by itself, and `recover` ends with 0.
    """
    execution_id = begun(served, PAUSE, "5s")
    with engine_with_web.stopped():
        execution = ended(served, execution_id)
        assert execution["undo"] == "incomplete"
        (fault,) = served.call("GET", "/api/v1/faults").json()["items"]
        assert fault["state"] == "stuck"
        left = served.command("recover")
        assert left.returncode == 5
        assert fault["undo_commands"][0] in left.stderr
        assert "Docker engine at " in left.stderr
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "recovery", 90)
    assert served.command("recover").returncode == 0


def test_restarted_without_its_containers(engine_with_web: PrivateEngine, served: Coordinator) -> None:
    """Without live-restore the engine's end stops every container: one that was stopped by us is started again, one
    with a policy runs anew by itself, and a pause has ended with the run it was in.
    """
    stopped = begun(served, STOP, "60s", "web")
    paused = begun(served, PAUSE, "60s", "db")
    engine_with_web.live_restore = False
    engine_with_web.restart()
    for execution_id in (stopped, paused):
        served.call("DELETE", f"/api/v1/executions/{execution_id}")
        execution = ended(served, execution_id)
        assert (execution["verdict"], execution["undo"]) == ("aborted", "complete"), execution["reason"]
    assert (state(engine_with_web, "web"), state(engine_with_web, "db")) == ("running", "running")
    engine_with_web.live_restore = True
    engine_with_web.restart()
    engine_with_web.docker("start", "web")


def test_hanging_when_the_undo_is_due(engine_with_web: PrivateEngine, served: Coordinator) -> None:
    """Neither a look nor a command that gets no answer holds the execution up; when the engine wakes, it is undone."""
    execution_id = begun(served, PAUSE, "5s")
    with engine_with_web.hanging():
        execution = ended(served, execution_id)
        assert execution["undo"] == "incomplete"
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "recovery", 90)
    assert state(engine_with_web, "web") == "running"


def test_hanging_when_the_fault_is_fired(engine_with_web: PrivateEngine, served: Coordinator) -> None:
    """A command that the engine works off only after it was killed is put back as well."""
    execution_id = served.submit(scenario([{**PAUSE, "at": "2s"}], names=["web"]))
    eventually(lambda: states(served, execution_id) == ["armed"], "the arming")
    with engine_with_web.hanging():
        eventually(lambda: states(served, execution_id) != ["armed"], "the firing")
        served.call("DELETE", f"/api/v1/executions/{execution_id}")
        execution = ended(served, execution_id)
    assert execution["verdict"] == "aborted"
    eventually(lambda: served.execution(execution_id)["undo"] in {"complete", "none"}, "recovery", 90)
    assert state(engine_with_web, "web") == "running"


def test_a_run_that_loses_its_engine(engine_with_web: PrivateEngine, tmp_path: Path, served: Coordinator) -> None:
    """`run` by itself ends with 5 and the command while the engine is away; `recover` undoes it when it is back."""
    settings = {"DOCKER_HOST": f"unix://{engine_with_web.socket}", "UNDO_DEADLINE_SECONDS": UNDO_DEADLINE_S}
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME="another", **settings) as alone:
        (tmp_path / "pause.json").write_text(json.dumps(scenario([PAUSE], names=["web"], duration="5s")))
        running = subprocess.Popen(
            [*PROGRAM, "run", "pause.json", "--json"], env=alone.environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        eventually(lambda: state(engine_with_web, "web") == "paused", "the pause")
        with engine_with_web.stopped():
            out, err = running.communicate(timeout=60)
            assert running.returncode == 5, err
            (command,) = json.loads(out)["left_broken"]
            assert command in err
        done = alone.command("recover")
        assert done.returncode == 0, done.stderr
        assert state(engine_with_web, "web") == "running"


def test_another_engines_faults_stay(engine_with_web: PrivateEngine, tmp_path: Path, served: Coordinator) -> None:
    """What was done on one engine is not undone on another: it stays outstanding, and is told with where it belongs."""
    with coordinator(tmp_path, DOCKER_HOST=f"unix://{engine_with_web.socket}", SERVICE_INSTANCE_NAME="third") as made:
        made.start()
        begun(made, PAUSE, "60s")
        made.kill()
        own = engine_with_web.docker("info", "--format", "{{.ID}}")
        # Engines of one machine may share their id: so the row is moved, not the engine.
        belongs_to(made, "ELSEWHERE")
        done = made.command("recover", "--json")
        assert done.returncode == 5
        (reason,) = json.loads(done.stdout)["failed"].values()
        assert reason.startswith(f"belongs to engine ELSEWHERE, this is {own} at ")
        assert reason.endswith("undo it with DOCKER_HOST set to that engine")
        assert "docker unpause " in done.stderr
        assert made.command("recover", "--scan").returncode == 5
        assert state(engine_with_web, "web") == "paused"
        belongs_to(made, own)
        assert made.command("recover").returncode == 0


def belongs_to(made: Coordinator, engine_id: str) -> None:
    """Say in the ledger of which engine its faults are."""
    moved = "UPDATE faults SET document = json_set(document, '$.engine_id', ?)"
    with contextlib.closing(sqlite3.connect(made.data_dir / "ledger.db")) as ledger, ledger:
        ledger.execute(moved, (engine_id,))
