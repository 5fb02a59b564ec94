"""A ledger on disk, as a coordinator that died leaves it, and an engine that is a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from actors.ledger.store import read
from actors.ledger.writer import Writer
from actors.ledger.writes import Scanned, Write, save_execution, save_fault
from coordinator.faults.commands import DockerCommand, EnvEntry
from coordinator.faults.facts import ContainerState
from coordinator.faults.looks import Undo
from coordinator.record import Execution, ExecutionState, Fault, FaultClass, FaultRow, FaultState, TargetOutcome
from coordinator.warden.engine import Engine, EngineAway, Ran, Seen
from coordinator.warden.ward import LEDGER_FILE, Ward

ENGINE = "ENGINE"
RUN, LATER_RUN = "2026-01-02T03:00:00.1Z", "2026-01-02T04:00:00.1Z"
FIRED = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
NEEDED_IN = {
    "unpause": (ContainerState.PAUSED,),
    "start": (ContainerState.EXITED, ContainerState.CREATED, ContainerState.DEAD),
    "exec": (ContainerState.RUNNING, ContainerState.PAUSED),
}


def undo(verb: str, container_id: str, *, env: tuple[EnvEntry, ...] = ()) -> Undo:
    """How one container is put back."""
    argv = ("exec", container_id, "mend") if verb == "exec" else (verb, container_id)
    return Undo(
        container_id=container_id,
        name=f"name-{container_id}",
        started_at=RUN,
        command=DockerCommand(argv=argv, env=env),
        needed_in=NEEDED_IN[verb],
        restores=None if verb == "exec" else ContainerState.RUNNING,
    )


def row(
    number: int, *undos: Undo, state: FaultState = FaultState.ACTIVE, engine_id: str = ENGINE, fired: bool = True
) -> FaultRow:
    """Fault `number`, fired that many seconds after FIRED."""
    fault = Fault.model_validate(
        {
            "id": f"fault-{number}", "execution_id": "execution-1", "phase": "p", "type": "container_pause",
            "target": "t", "class": FaultClass.JOURNAL, "mechanism": "docker", "state": state,
            "fired_at": FIRED + timedelta(seconds=number) if fired else None,
            "targets": [
                TargetOutcome(container_id=one.container_id, name=one.name, effective_at=FIRED if fired else None)
                for one in undos
            ],
        }
    )  # fmt: skip
    return FaultRow(fault=fault, engine_id=engine_id, task=f"task-{number}@/2/3", undos=undos)


def execution(state: ExecutionState = ExecutionState.RUNNING) -> Execution:
    """The one whose faults they are."""
    return Execution(id="execution-1", scenario="s", state=state, seed=1, created_at=FIRED)


def write(data_dir: Path, *written: FaultRow | Execution | Scanned) -> None:
    """Put records into the ledger of a folder."""
    writer = Writer(data_dir / LEDGER_FILE, Lock(), lambda: FIRED, durable=False)
    writer.write([_write_of(one) for one in written])
    writer.close()


def _write_of(one: FaultRow | Execution | Scanned) -> Write:
    match one:
        case Execution():
            return save_execution(one, task="task@/")
        case FaultRow():
            return save_fault(one)
        case Scanned():
            return one


def lose(data_dir: Path) -> None:
    """A ledger that was damaged, and that a coordinator set aside just before it died."""
    (data_dir / LEDGER_FILE).write_bytes(b"not a database" * 100)
    write(data_dir)


def stored(data_dir: Path, fault_id: str) -> FaultRow:
    """A row as the coordinator would read it."""
    (document,) = read(
        data_dir / LEDGER_FILE,
        lambda c: c.execute("SELECT document FROM faults WHERE id = ?", (fault_id,)).fetchone(),
    )
    return FaultRow.model_validate_json(document)


def ward(data_dir: Path, endpoint: str = "unix:///nowhere.sock") -> Ward:
    """A coordinator of this folder."""
    return Ward(str(data_dir), endpoint, "test-coordinator", "test-coordinator-Chaos1", "testing")


class FakeEngine(Engine):
    """Containers by id; unpause and start work on those that are not `stubborn`, and begin no run of their own."""

    def __init__(
        self, containers: Mapping[str, Seen], *, engine_id: str = ENGINE, stubborn: Sequence[str] = ()
    ) -> None:
        super().__init__("unix:///fake.sock", {})
        self.containers = dict(containers)
        self.engine_id = engine_id
        self.stubborn = stubborn
        self.ran: list[tuple[str, ...]] = []
        self.away = False
        self.asked = 0

    def id(self) -> str:
        self.asked += 1
        if self.away:
            raise EngineAway("away")
        return self.engine_id

    def look(self, container_id: str) -> Seen:
        return self.containers.get(container_id, Seen(None))

    def run(self, commands: Sequence[tuple[str, ...]]) -> list[Ran]:
        self.ran += commands
        for _, *ids in commands:
            for container_id in ids:
                if container_id not in self.stubborn:
                    self.containers[container_id] = Seen("running", self.containers[container_id].run)
        return [Ran(argv, 0, 0.01) for argv in commands]
