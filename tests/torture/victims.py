"""The coordinator of a round: started, given its executions, made to die, and brought back where the round says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import psutil

from actors.ledger.store import LEDGER_FILE
from tests.integration import coordinator_container
from tests.integration.coordinator_container import CoordinatorContainer, coordinator_image
from tests.integration.coordinator_process import PROGRAM, Coordinator, kill
from tests.integration.private_engine import PrivateEngine
from tests.integration.sandbox import Sandbox, docker
from tests.torture import leftovers
from tests.torture.model import FORGETS, LABELS_ALONE, LIVES, Death, Round
from tests.torture.stage import Stage
from tests.torture.waiting import happens

MENDED_WITHIN_S: Final = 120.0
ORDERLY: Final = (0, 5)
"""How `serve` ends when asked: 5 where its deadline was over first, and its warden goes on."""
SIGNALS: Final = {Death.TERM: signal.SIGTERM, Death.INT: signal.SIGINT, Death.HUP: signal.SIGHUP}


class Victim(Protocol):
    """What a round needs of its coordinator. Whatever does not happen in time raises AssertionError."""

    instance: str

    def start(self) -> None:
        """Up and answering."""

    def submit(self, definition: Mapping[str, object]) -> str:
        """The id of an execution that was accepted."""

    def told(self, execution_id: str, event: str, name: str) -> bool:
        """Whether it has told this event of the container of this name."""

    def die(self) -> None:
        """As the round says."""

    def come_back(self) -> None:
        """The next start, where the round has one."""

    def mended(self, accepted: list[str]) -> list[str]:
        """Wait until nothing is outstanding, and end what still runs; what is not as it must be."""

    def close(self) -> None:
        """Leave nothing of it."""


def damage(data_dir: Path) -> None:
    """Overwrite the beginnings of the ledger and of what is still to be written into it, as a failing disk does."""
    for name, size in ((LEDGER_FILE, 512), (f"{LEDGER_FILE}-wal", 32)):
        path = data_dir / name
        if path.exists():
            with path.open("r+b") as file:
                file.write(os.urandom(size))


def _is_told(execution: Mapping[str, Any], event: str, name: str) -> bool:
    return any((each["event"], each["target"]) == (event, name) for each in execution["timeline"])


class HostVictim:
    """`serve` as a process with its warden, on the stage's engine."""

    def __init__(self, drawn: Round, stage: Stage, folder: Path, engine: PrivateEngine | None) -> None:
        """Start nothing yet. `engine` is the stage's own, where it has one."""
        self.instance = f"torture-{stage.tag}-{drawn.seed}"
        settings = {"SERVICE_INSTANCE_NAME": self.instance, "DOCKER_HOST": stage.host}
        self._coordinator = Coordinator(folder / "data", settings)
        self._drawn = drawn
        self._engine = engine

    def start(self) -> None:
        """Up and answering; a warden at work, or an engine that is away, is waited for."""
        data_dir = self._coordinator.data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "endpoints.json").unlink(missing_ok=True)
        process = self._begin()
        happens(lambda: (data_dir / "endpoints.json").exists() or process.poll() is not None, MENDED_WITHIN_S)
        if process.poll() is not None or not (data_dir / "endpoints.json").exists():
            raise AssertionError(f"serve does not start: {self._coordinator.log_file.read_text()[-2000:]}")

    def _begin(self) -> subprocess.Popen[bytes]:
        coordinator = self._coordinator
        with coordinator.log_file.open("ab") as log:
            coordinator.process = subprocess.Popen(
                [*PROGRAM, "serve"], env=coordinator.environment, cwd=coordinator.data_dir.parent,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return coordinator.process

    def submit(self, definition: Mapping[str, object]) -> str:
        """Start an execution."""
        return self._coordinator.submit(definition)

    def told(self, execution_id: str, event: str, name: str) -> bool:
        """On the execution's timeline."""
        return _is_told(self._coordinator.execution(execution_id), event, name)

    def die(self) -> None:
        """Or have its engine die under it."""
        death, gap_s = self._drawn.death, self._drawn.gap_s
        if death in SIGNALS:
            self._coordinator.signal(SIGNALS[death])
        elif death in {Death.POWER, Death.FOLDER_LOST}:
            self._all_at_once()
        elif death is not Death.NONE and self._engine is None:
            self._killed(death, gap_s)
        elif self._engine is not None:
            self._engine_dies(self._engine, death, gap_s)
        if death is Death.FOLDER_LOST:
            shutil.rmtree(self._coordinator.data_dir)

    def _killed(self, death: Death, gap_s: float) -> None:
        process = self._coordinator.process
        assert process is not None
        if death in {Death.FROZEN, Death.DAMAGED}:
            process.send_signal(signal.SIGSTOP)
            time.sleep(gap_s)
        if death is Death.DAMAGED:
            damage(self._coordinator.data_dir)
        if death in {Death.WARDEN_FIRST, Death.WARDEN_REPLACED}:
            first = self._coordinator.warden
            for pid in self._wardens():
                kill(pid)
            if death is Death.WARDEN_REPLACED:
                assert happens(lambda: self._coordinator.warden != first, MENDED_WITHIN_S), "no other warden came"
            time.sleep(gap_s)
        if death is Death.GROUP:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()

    def _engine_dies(self, engine: PrivateEngine, death: Death, gap_s: float) -> None:
        if death is Death.ENGINE_RESTART:
            engine.restart()
            return
        engine.kill()
        if death is Death.ENGINE_AND_SERVE:
            self._coordinator.signal(signal.SIGKILL)
        if death is Death.ENGINE_AND_ALL:
            self._all_at_once()
        time.sleep(gap_s)
        engine.start()

    def _all_at_once(self) -> None:
        """The end of serve, warden, recovery and, in half of the rounds, of the docker commands under way."""
        process = self._coordinator.process
        assert process is not None
        # It would notice the death of its warden, and start another one.
        process.send_signal(signal.SIGSTOP)
        commands_too = self._drawn.gap_s > 0.25
        for pid in leftovers.processes(self._coordinator.data_dir) if commands_too else self._wardens():
            kill(pid)
        process.kill()
        process.wait()
        # One that was being started just now.
        for pid in self._wardens():
            kill(pid)

    def _wardens(self) -> list[int]:
        """Wardens, and what they have started to put things back."""
        ours = leftovers.processes(self._coordinator.data_dir)
        return [pid for pid in ours if "warden/program.py" in leftovers.told(pid)]

    def come_back(self) -> None:
        """One start, or one that dies while it mends and then another."""
        process = self._coordinator.process
        assert process is not None
        process.wait(MENDED_WITHIN_S)
        self._coordinator.data_dir.mkdir(exist_ok=True)
        if self._drawn.again_s is not None:
            self._begin()
            time.sleep(self._drawn.again_s)
            self._all_at_once()
        self.start()
        if self._drawn.death in FORGETS:
            self._coordinator.call("POST", "/api/v1/scan", json={}).raise_for_status()

    def mended(self, accepted: list[str]) -> list[str]:
        """By whoever is there: asked of the ledger, which outlives them all."""
        found: list[str] = []
        process = self._coordinator.process
        assert process is not None
        if self._drawn.death in LABELS_ALONE:
            accepted = []
        if self._drawn.restarted or self._drawn.death in LIVES:
            data_dir = self._coordinator.data_dir
            happens(lambda: not leftovers.in_the_ledger(data_dir, accepted), MENDED_WITHIN_S)
            process.send_signal(signal.SIGTERM)
        status = process.wait(MENDED_WITHIN_S)
        if status not in ORDERLY and (self._drawn.restarted or self._drawn.death in SIGNALS):
            found.append(f"serve ended with {status}")
        return found + self._gone(accepted)

    def _gone(self, accepted: list[str]) -> list[str]:
        data_dir = self._coordinator.data_dir
        happens(lambda: not leftovers.processes(data_dir), MENDED_WITHIN_S)
        left = [f"process left: {leftovers.told(pid)}" for pid in leftovers.processes(data_dir)]
        return left + leftovers.in_the_ledger(data_dir, accepted)

    def close(self) -> None:
        """End whatever was started for its folder."""
        process = self._coordinator.process
        if process is not None and process.poll() is None:
            self._all_at_once()
        for pid in leftovers.processes(self._coordinator.data_dir):
            kill(pid)


class ImageVictim:
    """The image's container on the machine's engine."""

    def __init__(self, drawn: Round) -> None:
        """Start nothing yet."""
        self._sandbox = Sandbox(coordinator_image())
        self.instance = f"test-coordinator-T{self._sandbox.tag}"
        self._drawn = drawn
        self._container: CoordinatorContainer | None = None
        self._http: httpx.Client | None = None

    @property
    def _it(self) -> CoordinatorContainer:
        assert self._container is not None
        return self._container

    def start(self) -> None:
        """Up and answering."""
        self._container = coordinator_container.start(self._sandbox)
        self._answers()

    def _answers(self) -> None:
        url = f"http://127.0.0.1:{self._it.published(coordinator_container.HTTP_PORT)}"

        def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{url}/api/v1/ready", timeout=30, trust_env=False).status_code == 200
            return False

        if not happens(ready, MENDED_WITHIN_S):
            raise AssertionError(f"the coordinator's container does not get ready: {self._it.logs[-2000:]}")
        if self._http is not None:
            # Of the container before this one.
            self._http.close()
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {self._it.token}"}, timeout=120, trust_env=False
        )

    @property
    def _client(self) -> httpx.Client:
        assert self._http is not None
        return self._http

    def _asked(self, path: str) -> Any:
        return self._client.get(f"/api/v1/{path}").raise_for_status().json()

    def submit(self, definition: Mapping[str, object]) -> str:
        """Start an execution."""
        answer = self._client.post("/api/v1/executions", json={"definition": definition})
        return str(answer.raise_for_status().json()["id"])

    def told(self, execution_id: str, event: str, name: str) -> bool:
        """On the execution's timeline."""
        return _is_told(self._asked(f"executions/{execution_id}"), event, name)

    def die(self) -> None:
        """As containers do."""
        match self._drawn.death:
            case Death.DOCKER_KILL:
                docker("kill", self._it.id)
            case Death.DOCKER_STOP:
                docker("stop", self._it.id)
            case Death.DOCKER_REMOVE:
                docker("rm", "--force", "--volumes", self._it.id)
            case _:
                first = psutil.Process(int(self._it.look("{{.State.Pid}}")))
                below = first.children(recursive=True)
                next(each for each in below if each.cmdline()[-1] == "serve" and "warden" not in each.cmdline()).kill()
                happens(lambda: self._it.status == "exited", MENDED_WITHIN_S)

    def come_back(self) -> None:
        """The same container again, or another one of the same name of its instance."""
        if self._drawn.death is Death.DOCKER_REMOVE:
            self._container = coordinator_container.start(self._sandbox)
        else:
            docker("start", self._it.id)
        self._answers()
        if self._drawn.death in FORGETS:
            self._client.post("/api/v1/scan", json={}).raise_for_status()

    def mended(self, accepted: list[str]) -> list[str]:
        """Asked of the coordinator itself; then it is stopped."""
        if self._drawn.death in FORGETS:
            accepted = []

        def outstanding() -> list[str]:
            rows = self._asked("faults")["items"]
            states = {each: self._asked(f"executions/{each}") for each in accepted}
            open_ones = [
                f"execution {each} is {shown['state']}, verdict {shown['verdict']}"
                for each, shown in states.items() if shown["verdict"] is None
            ]  # fmt: skip
            return [f"fault {row['type']} {row['id']} is {row['state']}" for row in rows] + open_ones

        happens(lambda: not outstanding(), MENDED_WITHIN_S)
        found = outstanding()
        self._client.close()
        docker("stop", self._it.id)
        status = int(self._it.look("{{.State.ExitCode}}"))
        return found if status in ORDERLY else [*found, f"the container ended with {status}"]

    def close(self) -> None:
        """Remove its container."""
        self._sandbox.close()
