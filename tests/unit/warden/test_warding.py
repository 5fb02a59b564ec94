"""What `coordinator.assembly.warding` does around a real ledger."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from actors.ledger import LedgerActor
from actors.warden import WardenActor
from coordinator.assembly import warding
from coordinator.assembly.warding import held, ward_of
from coordinator.data_dir_lock import DataDirLock
from coordinator.errors import DataDirInUse, WardenAtWork
from coordinator.record import FaultState
from coordinator.settings import Settings, load
from tests.unit.ledger.living import Life, fault_row
from tests.unit.warden.owing import execution, lose, ward, write

pytestmark = pytest.mark.anyio


class Dismissed(WardenActor):
    """Remembers how it was let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(ward(folder), {})
        self.words: list[bool] = []

    def dismiss(self, *, nothing_left: bool) -> None:
        self.words.append(nothing_left)


async def test_a_warden_at_work_is_waited_for(tmp_path: Path) -> None:
    """The folder is held as soon as the warden lets go, and a person is told once what is waited for."""
    lock = DataDirLock(tmp_path, "test-coordinator-Chaos1", "warden")
    lock.acquire()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        lock.release()

    async with held(LedgerActor(tmp_path, "test-coordinator"), None, say):
        with pytest.raises(DataDirInUse):
            lock.acquire()
    (text,) = said
    assert "warden of test-coordinator-Chaos1" in text
    lock.acquire()
    lock.release()


async def test_it_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while whoever starts is told why it cannot."""
    monkeypatch.setattr(warding, "PATIENCE_S", 0.1)
    lock = DataDirLock(tmp_path, "test-coordinator", "warden")
    lock.acquire()
    with pytest.raises(WardenAtWork):
        async with held(LedgerActor(tmp_path, "test-coordinator"), None):
            pytest.fail("it is the warden's")
    lock.release()


async def test_another_coordinator_is_not_waited_for(tmp_path: Path) -> None:
    """It does not end by itself."""
    lock = DataDirLock(tmp_path, "test-coordinator", "serve")
    lock.acquire()
    said: list[str] = []
    with pytest.raises(DataDirInUse):
        async with held(LedgerActor(tmp_path, "test-coordinator"), None, said.append):
            pytest.fail("it is another's")
    lock.release()
    assert said == []


@pytest.mark.parametrize(("state", "nothing_left"), [(FaultState.UNDONE, True), (FaultState.STUCK, False)])
async def test_the_warden_is_told_whether_something_is_left(
    tmp_path: Path, state: FaultState, *, nothing_left: bool
) -> None:
    """After the tree has stopped, the ledger itself says whether the warden may go."""
    ledger, warden = LedgerActor(tmp_path, "test-coordinator"), Dismissed(tmp_path)
    async with held(ledger, warden):
        life = Life()
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.run, life)
            await life.up.wait()
            await ledger.save_fault(fault_row(1, state))
            life.stopping.set()
        assert warden.words == []
    assert warden.words == [nothing_left]


@pytest.mark.parametrize("unsure", [True, False])
async def test_what_may_be_on_the_engine_keeps_the_warden(tmp_path: Path, *, unsure: bool) -> None:
    """A ledger that owes nothing is no word of the locks and helpers that the engine did not let go of."""
    ledger, warden = LedgerActor(tmp_path, "test-coordinator"), Dismissed(tmp_path)
    async with held(ledger, warden, unsure=lambda: unsure), anyio.create_task_group() as group:
        life = Life()
        group.start_soon(ledger.run, life)
        await life.up.wait()
        life.stopping.set()
    assert warden.words == [not unsure]


async def test_a_verdict_that_is_owed_keeps_the_warden(tmp_path: Path) -> None:
    """An execution whose end could not be recorded is left to it."""
    write(tmp_path, execution())
    ledger, warden = LedgerActor(tmp_path, "test-coordinator"), Dismissed(tmp_path)
    async with held(ledger, warden), anyio.create_task_group() as group:
        life = Life()
        group.start_soon(ledger.run, life)
        await life.up.wait()
        life.stopping.set()
    assert warden.words == [False]


async def test_while_a_scan_is_owed_the_warden_stays(tmp_path: Path) -> None:
    """Nothing outstanding in a ledger in place of a damaged one says nothing, until the engine is scanned."""
    for scanned in (False, True):
        lose(tmp_path)
        ledger, warden = LedgerActor(tmp_path, "test-coordinator"), Dismissed(tmp_path)
        async with held(ledger, warden), anyio.create_task_group() as group:
            life = Life()
            group.start_soon(ledger.run, life)
            await life.up.wait()
            if scanned:
                await ledger.scanned()
            life.stopping.set()
        assert warden.words == [scanned]


async def test_where_nobody_knows_the_warden_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that never opened cannot say that nothing is left."""
    monkeypatch.setattr(warding, "LAST_LOOK_S", 0.1)
    warden = Dismissed(tmp_path)
    async with held(LedgerActor(tmp_path, "test-coordinator"), warden):
        pass
    assert warden.words == [False]


def test_a_recovery_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ward hands over, read as environment, names the same ledger, engine, instance and helpers; no secret."""
    settings = Settings(
        data_dir=tmp_path / "data", service_instance_name="test-coordinator-Chaos1", environment="testing",
        docker_host="tcp://127.0.0.1:2375", helper_image="h:1", log_level="DEBUG", scenario_results_retention_days=3,
        api_token="secret-token", postgres_url="postgresql://u:secret-password@h/db",
    )  # fmt: skip
    handed = ward_of(settings)
    assert "secret" not in handed.line()
    for name, value in handed.environ.items():
        monkeypatch.setenv(name, value)
    read = load(env_file=False)
    same = ("data_dir", "docker_host", "identity", "helper_image", "log_level", "scenario_results_retention_days")
    assert [getattr(read, name) for name in same] == [getattr(settings, name) for name in same]
