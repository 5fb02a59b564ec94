"""What a coordinator did is put back from the engine alone, on an engine of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.docker.helper_image import PROGRAMS
from actors.docker.programs.crash import started
from actors.docker.programs.running import start, stressors
from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.private_engine import PrivateEngine

pytestmark = pytest.mark.timeout(300)
NAMES = ("web", "db", "mine", "down")
PAUSE: dict[str, object] = {"type": "container_pause"}
FAULT = "0123456789abcdef0123456789abcdef"
FILE = f".tc-{FAULT}.fill"


@pytest.fixture(scope="module")
def engine_of_four(private_engine: PrivateEngine, image: str) -> PrivateEngine:
    """An engine with four containers."""
    private_engine.load(image)
    for name in NAMES:
        private_engine.docker("run", "--detach", "--network", "none", "--name", name, image)
    return private_engine


@pytest.fixture
def served(engine_of_four: PrivateEngine, tmp_path: Path) -> Iterator[Coordinator]:
    """A coordinator that is up, and one container that a person has paused, one that he has stopped."""
    docker = engine_of_four.docker
    docker("pause", "mine")
    docker("stop", "--time", "0", "down")
    with coordinator(tmp_path, DOCKER_HOST=f"unix://{engine_of_four.socket}") as made:
        made.start()
        yield made
    assert (state(engine_of_four, "mine"), state(engine_of_four, "down")) == ("paused", "exited")
    docker("unpause", "mine")
    docker("start", "down")
    assert locks(engine_of_four) == 0
    assert {state(engine_of_four, name) for name in NAMES} == {"running"}


def state(engine: PrivateEngine, name: str) -> str:
    """running, paused, exited."""
    return engine.docker("inspect", "--format", "{{.State.Status}}", name)


def locks(engine: PrivateEngine) -> int:
    """How many locks there are."""
    return len(engine.docker("volume", "ls", "--quiet", "--filter", "label=test-coordinator.role=lock").split())


def broken(served: Coordinator, engine: PrivateEngine, *more: dict[str, object]) -> str:
    """An execution under which web is paused and db stopped; with more faults, of the container `gone`."""
    faults: list[dict[str, object]] = [*more, PAUSE, {"type": "container_stop", "target": "d", "grace": "0s"}]
    targets = {"t": {"names": ["web"]}, "d": {"names": ["db"]}} | ({"g": {"names": ["gone"]}} if more else {})
    execution_id = served.submit(scenario(faults, names=[], targets=targets))
    eventually(lambda: (state(engine, "web"), state(engine, "db")) == ("paused", "exited"), "both effects")
    return execution_id


def plant(engine: PrivateEngine, name: str, instance: str) -> None:
    """Rules in a container's network namespace, as a fault of a coordinator leaves them."""
    comment = f"exec=gone of={instance} until=4000000000"
    table = f'table inet tc_{FAULT} {{ comment "{comment}"; }}'
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", name)
    subprocess.run(["nsenter", "-t", pid, "-n", "nft", table], check=True)


def plant_inside(engine: PrivateEngine, name: str, instance: str) -> None:
    """A stressor and a file that fills a disk, as faults of a coordinator leave them."""
    pid, identity = engine.docker("inspect", "--format", "{{.State.Pid}} {{.Id}}", name).split()
    mark = f"fault=f execution=gone instance={instance} expires=4000000000"
    Path(f"/proc/{pid}/root/tmp/{FILE}").write_text(f"{mark}\n")
    words = ["f", "cpu", "0.01", mark, identity]
    _, given, told = start([sys.executable, "-I", "-S", str(PROGRAMS / "stressors.py"), *words])
    os.write(given, f"{pid} {started(int(pid))} 1\n".encode())
    os.read(told, 100)


def inside(engine: PrivateEngine, name: str) -> tuple[int, bool]:
    """How many stressors there are for a container, and whether the file is there."""
    pid, identity = engine.docker("inspect", "--format", "{{.State.Pid}} {{.Id}}", name).split()
    return len(stressors("f", identity)), Path(f"/proc/{pid}/root/tmp/{FILE}").exists()


def tables(engine: PrivateEngine, name: str) -> str:
    """The tables in a container's network namespace."""
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", name)
    entered = ["nsenter", "-t", pid, "-n", "nft", "list", "tables"]
    return subprocess.run(entered, check=True, capture_output=True, text=True).stdout.strip()


def test_without_its_folder(served: Coordinator, engine_of_four: PrivateEngine) -> None:
    """A coordinator is killed and its DATA_DIR deleted: `recover --scan` puts back what it did, takes its rules out of
    the network, and leaves what a person paused and stopped, and the rules of another coordinator, as they are.
    """
    plant(engine_of_four, "web", "test-coordinator")
    plant(engine_of_four, "mine", "another")
    plant_inside(engine_of_four, "web", "test-coordinator")
    plant_inside(engine_of_four, "mine", "another")
    broken(served, engine_of_four)
    served.kill()
    shutil.rmtree(served.data_dir)
    served.data_dir.mkdir()
    done = served.command("recover", "--scan", "--json")
    assert done.returncode == 0, done.stderr
    found = {(each["kind"], each["where"]): each["state"] for each in json.loads(done.stdout)["found"]}
    assert found == {
        ("lock", "web"): "undone", ("lock", "db"): "undone", ("table", "web"): "undone", ("table", "mine"): "kept",
        ("stressor", "web"): "undone", ("stressor", "mine"): "kept",
        ("file", "web"): "undone", ("file", "mine"): "kept",
    }  # fmt: skip
    assert (state(engine_of_four, "web"), state(engine_of_four, "db")) == ("running", "running")
    assert (tables(engine_of_four, "web"), tables(engine_of_four, "mine")) == ("", f"table inet tc_{FAULT}")
    assert (inside(engine_of_four, "web"), inside(engine_of_four, "mine")) == ((0, False), (1, True))

    taken_over = served.command("recover", "--scan", "--instance", "another")
    assert taken_over.returncode == 0, taken_over.stderr
    assert "removed" in taken_over.stdout
    assert tables(engine_of_four, "mine") == ""
    assert inside(engine_of_four, "mine") == (0, False)
    assert served.command("recover", "--scan").stderr.splitlines()[:2] == [
        "nothing is outstanding", "the engine shows nothing of any coordinator's",
    ]  # fmt: skip


def test_a_damaged_ledger(served: Coordinator, engine_of_four: PrivateEngine, image: str) -> None:
    """A coordinator that finds its ledger damaged keeps the file, says so, and puts back from the engine what the file
    knew, in the volume of a container that was removed meanwhile too; a scan through it leaves the execution that is
    running alone.
    """
    docker = engine_of_four.docker
    docker("run", "--detach", "--network", "none", "--name", "gone", "--volume", "kept:/data", image)
    kept = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", "kept"))
    broken(served, engine_of_four, {"type": "disk_fill", "target": "g", "path": "/data", "size": "1m"})
    eventually(lambda: len(list(kept.iterdir())) == 1, "the file")
    served.kill()
    docker("rm", "--force", "gone")
    (served.data_dir / "ledger.db").write_bytes(b"torn" * 5000)
    # From a whole journal SQLite would mend the file.
    (served.data_dir / "ledger.db-wal").write_bytes(b"torn" * 5000)
    served.start()
    eventually(lambda: (state(engine_of_four, "web"), state(engine_of_four, "db")) == ("running",) * 2, "the undos")
    eventually(lambda: locks(engine_of_four) == 0, "the locks to be released")
    assert list(kept.iterdir()) == []
    assert [path.read_bytes()[:4] for path in served.data_dir.glob("ledger.corrupt-*Z")] == [b"torn"]
    status = served.command("status")
    assert "the ledger was damaged" in status.stdout
    ready = served.call("GET", "/api/v1/ready")
    assert (ready.status_code, ready.json()["checks"]["ledger"][:9]) == (200, "degraded:")
    assert '"level":"CRITICAL"' in served.log_file.read_text()

    execution_id = broken(served, engine_of_four)
    found = served.call("POST", "/api/v1/scan", json={}).json()["found"]
    # The first who asks is told what the start has put back.
    undone = {each["where"] for each in found if (each["kind"], each["state"]) == ("lock", "undone")}
    assert undone == {"web", "db", "a container that is gone"}
    assert {each["why"] for each in found if each["state"] != "undone"} == {f"execution {execution_id} is running"}
    assert (state(engine_of_four, "web"), state(engine_of_four, "db")) == ("paused", "exited")
    assert served.command("recover", "--scan").returncode == 0
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert (state(engine_of_four, "web"), state(engine_of_four, "db")) == ("running", "running")


def damage(served: Coordinator) -> None:
    """As a bad disk leaves the ledger: its first bytes are gone, and the journal that could mend them."""
    with (served.data_dir / "ledger.db").open("r+b") as file:
        file.write(b"torn" * 128)
    (served.data_dir / "ledger.db-wal").write_bytes(b"torn" * 5000)


def kept(served: Coordinator) -> dict[str, bytes]:
    """The ledger and what was set aside, but for the index that SQLite makes anew at each opening."""
    return {path.name: path.read_bytes() for path in served.data_dir.glob("ledger.*") if path.suffix != ".db-shm"}


def running(engine: PrivateEngine) -> bool:
    """Whether all that was broken is put back."""
    return (state(engine, "web"), state(engine, "db")) == ("running", "running")


def test_a_damaged_ledger_is_no_all_clear(served: Coordinator, engine_of_four: PrivateEngine) -> None:
    """A warden that meets a damaged ledger scans the engine and puts back what the file knew, says so, and so does the
    next start. Commands that look leave a damaged one as it is and end with an error; `recover` puts back and tells.
    """
    broken(served, engine_of_four)
    served.signal(signal.SIGSTOP)
    damage(served)
    served.kill_alone()
    eventually(lambda: running(engine_of_four) and locks(engine_of_four) == 0, "the warden's undos")
    assert '"level":"CRITICAL"' in (served.data_dir / "logs" / "warden.jsonl").read_text().replace(" ", "")
    served.start()
    assert served.call("GET", "/api/v1/ready").json()["checks"]["ledger"].startswith("degraded: the ledger was damaged")

    broken(served, engine_of_four)
    served.kill()
    damage(served)
    before = kept(served)
    for command, code in (("status", 4), ("doctor", 1)):
        done = served.command(command)
        assert (done.returncode, "is damaged" in done.stdout + done.stderr) == (code, True), (command, done)
    assert kept(served) == before
    assert not running(engine_of_four)
    done = served.command("recover")
    assert done.returncode == 0, done.stderr
    told = [line.split()[2:4] for line in done.stdout.splitlines() if line.startswith("lock")]
    assert sorted(told) == [["db", "undone"], ["web", "undone"]]
    assert "the ledger was damaged: it is kept as" in done.stderr
    assert running(engine_of_four)
