"""What the documentation tells a stranger to do works, word for word but for images and ports."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import HelperImage
from tests.integration.coordinator_container import coordinator_image
from tests.integration.coordinator_process import coordinator, eventually
from tests.integration.pages import Reader
from tests.integration.sandbox import Sandbox, docker
from tests.integration.services import free_port

TUTORIAL = "tutorial/first-scenario.md"

# The first one may build an image.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def reader(tmp_path: Path, image: str) -> Iterator[Reader]:
    """A reader in an empty folder, with a Compose project of a name of its own, which is taken away."""
    project = f"tc-test-{uuid4().hex[:8]}"
    instead = {
        # The same server in an image that is here; it ignores SIGTERM, and nobody waits for that.
        "image: python:3.13-alpine": f"image: {image}\n    stop_signal: SIGKILL",
        "127.0.0.1:8000": f"127.0.0.1:{free_port()}",
        "127.0.0.1:8080": f"127.0.0.1:{free_port()}",
        # Others may have a service `web` on this engine as well.
        "{compose_service: web": f"{{compose_project: {project}, compose_service: web",
    }
    folder = tmp_path / "shop"
    folder.mkdir()
    environment = {"COMPOSE_PROJECT_NAME": project, "DATA_DIR": str(tmp_path / "data")}
    made = Reader(folder, instead, environment)
    try:
        yield made
    finally:
        files = " ".join(f"--file {path.name}" for path in sorted(folder.glob("compose*.yaml"), reverse=True))
        made.run(f"docker compose {files} down --volumes --remove-orphans --timeout 20")


def test_the_tutorial_leads_to_a_verdict(reader: Reader) -> None:
    """From an empty folder to a passed scenario about one's own Compose project, by the commands of the page alone."""
    said = reader.follow(TUTORIAL)
    assert re.search(r"about \S+web\S+, as it runs here", said)
    assert re.search(r"inject +docker kill --signal SIGKILL", said)
    assert re.search(r"verdict +passed\nrecovery +[\d.]+s \(site, recovery\)\nundo +complete", said)
    (page,) = (reader.folder / "reports").glob("*.html")
    assert "passed" in page.read_text()


def test_the_recipe_for_ci_leaves_junit_and_an_exit_code(reader: Reader) -> None:
    """The steps of the page bring the system up, play the scenario, and leave what a pipeline reads."""
    reader.take(TUTORIAL, "compose.yaml")
    said = reader.follow("how-to/run-in-ci.md")
    assert said.splitlines()[-1] == "exit code 0", said
    (junit,) = (reader.folder / "reports").glob("*.junit.xml")
    suite = re.search(r"<testsuite [^>]*>", junit.read_text())
    assert suite is not None
    assert {'name="web-dies"', 'failures="0"', 'errors="0"'} <= set(suite[0].rstrip(">").split())


def test_a_coordinator_beside_compose_reaches_services_by_name(reader: Reader) -> None:
    """The service that the page adds plays a scenario whose probe asks another service by its name."""
    reader.take(TUTORIAL, "compose.yaml")
    own = {"image: test-coordinator": f"image: {coordinator_image()}"}
    said = replace(reader, instead={**reader.instead, **own}).follow("how-to/run-beside-compose.md")
    assert "verdict    passed" in said
    assert re.search(r"web-freezes +finished +passed +complete", said)


THROUGH_THE_FILTER = """
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: filtered}
targets:
  it: {names: [NAME]}
probes:
  said: {type: log, target: it, pattern: "error", every: 500ms}
  state: {type: container, target: it, every: 500ms, show: restarts}
phases:
  - name: beside
    duration: 1s
    faults:
      - {type: cpu_limit, target: it, cpus: 0.5}
      - {type: network_loss, target: it, percent: 1%}
  - {name: gone, duration: 500ms, faults: [{type: network_disconnect, target: it, network: NETWORK}]}
  - {name: frozen, duration: 500ms, faults: [{type: container_pause, target: it}]}
  - {name: crashed, duration: 500ms, faults: [{type: container_crash, target: it}]}
  - {name: killed, duration: 500ms, faults: [{type: container_kill, target: it}]}
"""


@pytest.fixture
def filtered(engine: str) -> Iterator[str]:
    """The engine behind the filter of the page, as DOCKER_HOST is written."""
    if shutil.which("haproxy") is None:
        pytest.fail("HAProxy is missing: tools/provision.sh haproxy")
    # A socket's path may not be long.
    folder = Path(tempfile.mkdtemp(prefix="tc-f-"))
    instead = {"/run/chaos": str(folder), "unix@/var/run/docker.sock": engine.replace("unix://", "unix@")}
    reader = Reader(folder, instead)
    reader.take("how-to/keep-it-safe.md", "filter.cfg")
    with (folder / "log").open("wb") as log:
        proxy = subprocess.Popen(["haproxy", "-db", "-f", "filter.cfg"], cwd=folder, stdout=log, stderr=log)
    try:
        eventually((folder / "docker.sock").exists, f"the filter's socket ({(folder / 'log').read_text()})")
        yield f"unix://{folder}/docker.sock"
    finally:
        proxy.terminate()
        proxy.wait()
        shutil.rmtree(folder)


@pytest.fixture
def helper_image(engine: str) -> Iterator[str]:
    """An image for helpers, made without the filter, which does not allow that."""
    name = f"test-coordinator-filtered:{uuid4().hex[:8]}"
    anyio.run(HelperImage(name, "0").ready, DockerCommandRunner(engine, lambda _: ""))
    yield name
    docker("image", "rm", name)


def test_the_filter_lets_through_all_that_is_needed(
    helper_image: str, filtered: str, containers: Sandbox, tmp_path: Path
) -> None:
    """Behind the proxy of the page every kind of effect works, helpers included; what is not needed is refused."""
    network = containers.network()
    target = containers.run(options=["--network", network, "--restart", "on-failure"])
    scenario = tmp_path / "filtered.yaml"
    scenario.write_text(THROUGH_THE_FILTER.replace("NAME", target.name).replace("NETWORK", network))
    # As an engine leaves it that dies while it makes a lock: in the way, until it is looked at and removed.
    docker("volume", "create", f"tc-{target.id}")
    with coordinator(tmp_path, DOCKER_HOST=filtered, HELPER_IMAGE=helper_image) as made:
        done = made.command("run", str(scenario))
    assert (done.returncode, "undo       complete" in done.stdout) == (0, True), done.stdout + done.stderr
    assert " 403" not in (Path(filtered.removeprefix("unix://")).parent / "log").read_text()
    asked = subprocess.run(["docker", "-H", filtered, "top", target.id], check=False, capture_output=True, text=True)
    assert "403 Forbidden" in asked.stderr
