"""Commands run in this process, against a scripted coordinator and a DATA_DIR of the test's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from coordinator.cli import main
from coordinator.cli.tools import Tools
from tests.unit.cli.scripted import (
    ScriptedConnect,
    ScriptedControl,
    docker_cli_version,
    engine_info,
    helper_image_error,
    try_abilities,
)

SCENARIO = """
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: kill-one-replica}
variables: {service: web}
targets:
  replica: {compose_service: "{{ service }}", pick: 1}
phases:
  - name: outage
    duration: 1s
    faults:
      - {type: container_kill, target: replica}
    assert:
      - {container: {target: replica, state: running}}
"""


@dataclass(frozen=True)
class Said:
    """What a command did on its streams, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a scenario in `kill.yaml`, and no setting of the machine but DATA_DIR."""
    for variable in ("TEST_COORDINATOR_TOKEN", "API_TOKEN", "API_TOKEN_FILE", "NO_COLOR", "DOCKER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kill.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.fixture
def call(workplace: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command line: `call("status", control=…)`."""

    def called(*argv: str, control: ScriptedControl | None = None, tools: Tools | None = None) -> Said:
        acting = tools or Tools(
            connect=ScriptedConnect(control or ScriptedControl()),
            engine_info=engine_info,
            docker_cli_version=docker_cli_version,
            helper_image_error=helper_image_error,
            try_abilities=try_abilities,
        )
        capfd.readouterr()
        code = main(argv, acting)
        streams = capfd.readouterr()
        return Said(code, streams.out, streams.err)

    return called
