"""Questions that are easy to ask and easy to answer wrongly."""

from pathlib import Path

from tests.integration.coordinator_process import Coordinator, coordinator, scenario
from tests.integration.sandbox import Sandbox
from tests.integration.test_serve import paused


def test_an_execution_is_no_actor_to_restart(served: Coordinator, containers: Sandbox) -> None:
    """Asked to restart a running execution, the API says how to stop it, and leaves it running."""
    execution_id = paused(served, containers.run("target"))
    answer = served.call("POST", f"/api/v1/actors/{execution_id}/restart")
    assert answer.status_code == 409
    assert "stop" in answer.json()["detail"]
    assert served.execution(execution_id)["state"] == "running"


def test_without_the_docker_command_line(tmp_path: Path, containers: Sandbox) -> None:
    """An engine that answers and no `docker` on PATH: one line that says what to install."""
    target = containers.run("target")
    (tmp_path / "empty").mkdir()
    with coordinator(tmp_path, PATH=str(tmp_path / "empty")) as made:
        made.start()
        execution_id = made.submit(scenario([{"type": "container_pause"}], names=[target.name], duration="100ms"))
        made.call("GET", f"/api/v1/executions/{execution_id}/events")
        execution = made.execution(execution_id)
    assert execution["verdict"] == "error"
    assert "docker CLI not found" in execution["reason"]
    assert target.status == "running"
