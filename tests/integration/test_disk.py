"""The disk under DATA_DIR is full or read-only: nothing is injected any more, and what is broken is put back."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.sandbox import Sandbox

PAUSE: dict[str, object] = {"type": "container_pause"}


@pytest.fixture
def served(tmp_path: Path, engine: str) -> Iterator[Coordinator]:
    """A coordinator that is not started, whose DATA_DIR is a small disk of its own."""
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME="test-coordinator-Disk") as made:
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(made.data_dir)]
        subprocess.run(mount, check=True)
        try:
            yield made
        finally:
            made.close()
            subprocess.run(["umount", "--lazy", str(made.data_dir)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space there is; the file that does."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 512):
            pass
    return ballast


def test_a_full_disk(served: Coordinator, containers: Sandbox) -> None:
    """New work is refused with the reason, by 503 and exit code 4, and touches nothing; the pause that is on is undone
    from memory; with space again everything is as it should be, without a restart.
    """
    paused, spared = containers.run("paused"), containers.run("spared")
    served.start()
    execution_id = served.submit(scenario([PAUSE], names=[paused.name]))
    eventually(lambda: paused.status == "paused", "the pause")
    ballast = fill(served.data_dir)

    refused = served.call("POST", "/api/v1/executions", json={"definition": scenario([PAUSE], names=[spared.name])})
    assert refused.status_code == 503
    assert "free space or mend the disk; nothing is injected until then" in refused.json()["detail"]
    assert served.call("GET", "/api/v1/ready").json()["checks"]["ledger"].startswith("error: ")
    assert "free space" in served.command("status").stdout

    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    eventually(lambda: paused.status == "running", "the undo")
    assert spared.status == "running"

    ballast.unlink()
    eventually(lambda: served.call("GET", "/api/v1/ready").status_code == 200, "the ledger to be mended")
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    eventually(lambda: served.call("GET", "/api/v1/faults").json()["items"] == [], "the undo to be recorded")
    again = served.submit(scenario([PAUSE], names=[spared.name], duration="100ms"))
    eventually(lambda: served.execution(again)["state"] == "finished", "another execution")
    assert served.execution(again)["verdict"] == "passed"


def test_a_read_only_disk(served: Coordinator, containers: Sandbox) -> None:
    """Neither `serve` nor `run` begins: it is said which folder cannot be written, and nothing is touched."""
    target = containers.run("target")
    subprocess.run(["mount", "-o", "remount,ro", str(served.data_dir)], check=True)
    (served.data_dir.parent / "pause.json").write_text(json.dumps(scenario([PAUSE], names=[target.name])))
    for command in (("serve",), ("run", "pause.json")):
        done = served.command(*command)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].endswith(
            f"DATA_DIR: {served.data_dir}: Read-only file system; give a folder that this user can write"
        )
    assert target.status == "running"
