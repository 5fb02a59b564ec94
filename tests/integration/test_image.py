"""The coordinator's image, run for real with the engine's socket mounted."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.docker.helper_image import fingerprint
from coordinator.faults.commands import LABEL_PROGRAMS
from tests.integration.coordinator_container import (
    SOCKET,
    CoordinatorContainer,
    coordinator_image,
    start,
)
from tests.integration.coordinator_process import eventually, scenario
from tests.integration.private_engine import PrivateEngine
from tests.integration.sandbox import DockerFailed, Sandbox, docker

# The first test builds the image.
pytestmark = pytest.mark.timeout(600)

USER = 10001
PAUSE: dict[str, object] = {"type": "container_pause"}
HEALTH_CHECK = ("/opt/venv/bin/python", "-I", "-S", "/usr/local/lib/test-coordinator/health_check.py")


@pytest.fixture
def coordinators(engine: str) -> Iterator[Sandbox]:
    """Makes coordinators, removed at the end."""
    sandbox = Sandbox(coordinator_image())
    try:
        yield sandbox
    finally:
        sandbox.close()


@pytest.fixture(scope="module")
def served(engine: str) -> Iterator[CoordinatorContainer]:
    """A coordinator that is healthy, for all tests that let it live."""
    sandbox = Sandbox(coordinator_image())
    try:
        made = start(sandbox)
        made.wait_healthy()
        yield made
    finally:
        sandbox.close()


def status_of_first_process(container: CoordinatorContainer) -> dict[str, str]:
    """/proc/1/status of a container."""
    lines = container.run("cat", "/proc/1/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_image_says_what_it_is(engine: str) -> None:
    """Ports, role label, HOST, DATA_DIR and a health check are declared by the image itself."""
    declared = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", coordinator_image()))
    assert set(declared["ExposedPorts"]) == {"8080/tcp", "50051/tcp"}
    assert declared["Labels"]["test-coordinator.role"] == "coordinator"
    assert {"HOST=0.0.0.0", "DATA_DIR=/var/lib/test-coordinator"} <= set(declared["Env"])
    assert declared["Healthcheck"]["Test"][0] == "CMD"
    assert declared["Cmd"] == ["serve"]
    # By it a coordinator outside knows that this image serves its helpers.
    assert declared["Labels"][LABEL_PROGRAMS] == fingerprint()


def test_it_brings_the_tools_of_the_helpers_and_a_current_docker_command_line(engine: str) -> None:
    """nft, tc, ip and iptables run; the docker command line is one that current engines accept: 25 or newer."""
    script = "nft --version; tc -V; ip -V; iptables --version; docker --version"
    output = docker("run", "--rm", "--entrypoint", "sh", coordinator_image(), "-e", "-c", script)
    tools = output.splitlines()
    assert len(tools) == 5
    assert int(tools[-1].removeprefix("Docker version ").split(".")[0]) >= 25


def test_it_becomes_a_user_without_rights(served: CoordinatorContainer) -> None:
    """Healthy with no process of root, no capability, no way to regain one, and no group but that of the socket."""
    rows = [line.split() for line in docker("top", served.id, "-eo", "pid,uid,args").splitlines()[1:]]
    # The engine's own health checks come and go beside the coordinator, each as `runc init` at first.
    own = [row for row in rows if HEALTH_CHECK[-1] not in row and row[-1] != "init"]
    assert {int(uid) for _, uid, *_ in own} == {USER}, own
    assert own[0][2] == "tini"
    first = status_of_first_process(served)
    assert {first[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert first["NoNewPrivs"] == "1"
    assert first["Groups"] == str(Path(SOCKET).stat().st_gid)
    ready = served.call("GET", "/api/v1/ready").json()
    assert ready["checks"]["docker"] == "ok"


def test_a_command_inside_is_run_as_the_same_user(served: CoordinatorContainer) -> None:
    """`docker exec … test-coordinator status` talks to the coordinator and leaves nothing of root's in DATA_DIR."""
    assert "healthy" in served.run("test-coordinator", "status")
    owners = served.run("sh", "-c", "stat -c %u $(find /var/lib/test-coordinator)")
    assert set(owners.split()) == {str(USER)}


def test_it_breaks_a_neighbour_and_never_itself(served: CoordinatorContainer, containers: Sandbox) -> None:
    """A scenario pauses and heals a neighbour; the coordinator is no target, not even by its own name."""
    neighbour = containers.run("neighbour")
    both = [neighbour.name, served.name]
    execution = served.wait_finished(served.submit(scenario([PAUSE], names=both, duration="1s")))
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution
    assert [target["name"] for target in execution["targets"]["t"]] == [neighbour.name]
    assert neighbour.status == "running"
    alone = served.wait_finished(served.submit(scenario([PAUSE], names=[served.name], duration="1s")))
    assert alone["verdict"] == "not_injected", alone


def test_its_own_image_serves_its_helpers(served: CoordinatorContainer, containers: Sandbox) -> None:
    """A crash from inside the container: the helper runs from the coordinator's own image, the restart policy acts."""
    neighbour = containers.run("neighbour", options=["--restart", "always"])
    crash = scenario([{"type": "container_crash"}], names=[neighbour.name], duration="3s")
    execution = served.wait_finished(served.submit(crash))
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution
    assert (neighbour.status, neighbour.look("{{.RestartCount}}")) == ("running", "1")


def test_docker_stop_undoes_and_ends_in_time(coordinators: Sandbox, containers: Sandbox) -> None:
    """`docker stop` with its ordinary grace while a neighbour is paused: unpaused, exit status 0, not killed."""
    served = start(coordinators)
    served.wait_healthy()
    neighbour = containers.run("neighbour")
    served.wait_active(served.submit(scenario([PAUSE], names=[neighbour.name])))
    assert neighbour.status == "paused"
    docker("stop", served.id)
    assert neighbour.status == "running"
    assert served.look("{{.State.ExitCode}}") == "0"


def serve_within(container: CoordinatorContainer) -> str:
    """The process id of `serve`, as the container knows it."""
    return str(json.loads(container.run("cat", "/var/lib/test-coordinator/endpoints.json"))["pid"])


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_a_sigkill_inside_is_undone_before_the_container_ends(
    coordinators: Sandbox, containers: Sandbox, options: tuple[str, ...]
) -> None:
    """SIGKILL of `serve` alone while a neighbour is paused: the warden unpauses it, and the status is that of a kill;
    so too below Docker's own init.
    """
    served = start(coordinators, *options)
    served.wait_healthy()
    neighbour = containers.run("neighbour")
    served.wait_active(served.submit(scenario([PAUSE], names=[neighbour.name])))
    served.run("sh", "-c", f"kill -9 {serve_within(served)}")
    eventually(lambda: served.status == "exited", "the container's end")
    assert neighbour.status == "running"
    assert served.look("{{.State.ExitCode}}") == "137"


def test_a_sigkill_inside_is_followed_by_a_restart(coordinators: Sandbox, containers: Sandbox) -> None:
    """With a restart policy: undone, then up and healthy again, the execution with its verdict."""
    served = start(coordinators, "--restart", "unless-stopped")
    served.wait_healthy()
    neighbour = containers.run("neighbour")
    execution_id = served.submit(scenario([PAUSE], names=[neighbour.name]))
    served.wait_active(execution_id)
    served.run("sh", "-c", f"kill -9 {serve_within(served)}")
    eventually(lambda: neighbour.status == "running", "the undo")
    eventually(lambda: served.look("{{.RestartCount}}") == "1", "the restart")
    served.wait_healthy()
    execution = served.execution(execution_id)
    assert (execution["verdict"], execution["undo"]) == ("aborted", "complete")


def test_a_given_user_is_honoured(coordinators: Sandbox, tmp_path: Path) -> None:
    """With --user nothing is prepared and no capability is needed: that user serves, from its own folder."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    owner = os.geteuid() or 12345
    os.chown(data, owner, owner)
    group = str(Path(SOCKET).stat().st_gid)
    user = ("--user", f"{owner}:{owner}", "--group-add", group, "--cap-drop", "ALL")
    options = (*user, "--volume", f"{data}:/var/lib/test-coordinator")
    made = start(coordinators, *options)
    made.wait_healthy()
    first = status_of_first_process(made)
    assert set(first["Uid"].split()) == {str(owner)}
    assert set(first["Groups"].split()) == {str(owner), group}
    assert {path.stat().st_uid for path in data.iterdir()} == {owner}


def test_it_needs_four_capabilities_and_writes_only_to_data_dir(coordinators: Sandbox) -> None:
    """All capabilities but four dropped, a read-only root file system: healthy, and `docker stop` still reaches it."""
    kept = [part for name in ("CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID") for part in ("--cap-add", name)]
    folder = ("--tmpfs", "/var/lib/test-coordinator", "--tmpfs", "/tmp")
    made = start(coordinators, "--cap-drop", "ALL", *kept, "--read-only", *folder)
    made.wait_healthy()
    docker("stop", made.id)
    assert made.look("{{.State.ExitCode}}") == "0"


def test_without_a_way_to_become_nobody_it_says_so(engine: str) -> None:
    """Root that may not change its user is told what to allow, in one line, with the exit code of bad settings."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE", "--cap-add", "CHOWN",
         coordinator_image(), "doctor"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "SETUID and SETGID" in done.stderr


def test_the_health_check_follows_the_port_and_tells_what_is_wrong(served: CoordinatorContainer) -> None:
    """The check passes where the coordinator answers, and names the address where nobody does."""
    served.run(*HEALTH_CHECK)
    with pytest.raises(DockerFailed, match="localhost:8099 does not answer"):
        docker("exec", "--env", "HTTP_PORT=8099", served.id, *HEALTH_CHECK)


def test_a_restart_of_the_engine_is_survived(private_engine: PrivateEngine, image: str) -> None:
    """The engine restarts under a paused neighbour: the deaf socket ends `serve` with 75, the restart policy starts it
    with the new socket, and the neighbour is unpaused.
    """
    private_engine.load(coordinator_image(), image)
    docker = private_engine.docker
    neighbour = docker("run", "--detach", "--name", "neighbour", image)
    patience = "import sys; from coordinator.assembly import run_serve; from coordinator.settings import get_settings; "
    patience += "sys.exit(run_serve(get_settings(), deaf_after_s=2))"
    warden = "import sys; from coordinator.warden.parent import Parent; "
    warden += "sys.exit(Parent([sys.executable, *sys.argv[1:]]).run())"
    served = docker(
        "run", "--detach", "--name", "coordinator", "--restart", "unless-stopped",
        *("--volume", f"{private_engine.socket}:{SOCKET}", "--user", "0:0"),
        *("--entrypoint", "/opt/venv/bin/python", coordinator_image(), "-c", warden, "-c", patience),
    )  # fmt: skip
    eventually(lambda: health(private_engine, served) == "healthy", "health before the restart")
    definition = json.dumps(scenario([PAUSE], names=["neighbour"]))
    docker(
        "exec", "--detach", served, "sh", "-c", f"echo '{definition}' >/tmp/s.json; test-coordinator run /tmp/s.json"
    )
    eventually(lambda: state(private_engine, neighbour) == "paused", "the pause")
    private_engine.restart()
    assert state(private_engine, neighbour) == "paused"
    eventually(lambda: state(private_engine, neighbour) == "running", "the unpause")
    eventually(lambda: health(private_engine, served) == "healthy", "health after the restart")
    since = str(int(time.time()) - 300)
    deaths = docker(
        "events", "--since", since, "--until", str(int(time.time())), "--filter", "event=die",
        "--filter", f"container={served}", "--format", '{{index .Actor.Attributes "exitCode"}}',
    )  # fmt: skip
    assert deaths.split() == ["75"]


def health(engine: PrivateEngine, container: str) -> str:
    """What the engine finds of a container's health."""
    return engine.docker("inspect", "--format", "{{.State.Health.Status}}", container)


def state(engine: PrivateEngine, container: str) -> str:
    """running, paused, exited."""
    return engine.docker("inspect", "--format", "{{.State.Status}}", container)
