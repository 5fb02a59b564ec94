"""One recovery for a dead coordinator: what it says of its end."""

from __future__ import annotations

from pathlib import Path
from random import Random

import anyio
import pytest

from actors.docker.simulated import SimulatedEngine
from actors.ledger import LedgerActor
from actors.recovery import actor, order
from coordinator.assembly import recovery_pass
from coordinator.errors import LedgerUnavailable
from coordinator.faults.lifecycle import ContainerRestart
from coordinator.record import FaultRow, FaultState
from coordinator.scenarios.undo import Undoer
from coordinator.settings import Settings
from coordinator.warden.aftermath import DONE, LEFT
from coordinator.warden.debts import Ledger
from tests.clocks import LoopClock
from tests.unit.recovery.test_order import row_on
from tests.unit.warden.owing import execution, row, stored, undo, write

pytestmark = pytest.mark.anyio


RESTART = ContainerRestart(type="container_restart", target="x", grace="60s")


def simulated(engine: SimulatedEngine) -> recovery_pass._Hands:
    """Hands on an engine in memory."""
    rows, clock = recovery_pass._Rows(), LoopClock()
    undoer = Undoer(engine.runner, engine.facts, rows, clock)
    return recovery_pass._Hands(engine.facts, engine.runner, clock, rows, undoer)


@pytest.fixture
def anyio_backend() -> str:
    """The one that it runs on."""
    return "asyncio"


def settings(folder: Path) -> Settings:
    """Of a coordinator whose engine is away."""
    return Settings(data_dir=folder, docker_host="unix:///nowhere.sock", service_instance_name="test-coordinator")


async def test_what_it_could_not_look_at_is_left(tmp_path: Path) -> None:
    """The verdict is given and nothing is outstanding, but whoever could not ask the engine knows nothing of its locks:
    this is no end for a warden.
    """
    write(tmp_path, execution(), row(1, undo("start", "a"), state=FaultState.UNDONE))
    assert await recovery_pass.recover(settings(tmp_path)) == LEFT
    assert Ledger(str(tmp_path)).debts().duty == frozenset()


async def test_a_long_grace_is_waited_for_over_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart that nobody saw, and that the engine has done by itself, takes longer to be sure of than a pass may: it
    goes on in the next one of the same process, and in between a start that waits can have the folder.
    """
    monkeypatch.setattr(order, "LONGEST_S", 0.4)
    monkeypatch.setattr(actor, "FIRST_PASS_S", 0.1)
    async with SimulatedEngine(LoopClock(), Random(1)) as engine:
        engine.add("a")
        hit = row_on(engine, RESTART, 2, "a", at=LoopClock().now())
        undone = hit.undos[0].model_copy(update={"settle_s": 1.0})
        write(tmp_path, execution(), hit.model_copy(update={"undos": (undone,)}))
        await engine.stop("a", 0, 0)
        await engine.start("a")
        hands = simulated(engine)
        monkeypatch.setattr(recovery_pass, "_hands", lambda _: hands)
        begun = anyio.current_time()
        assert await recovery_pass.recover(settings(tmp_path)) == DONE
        assert anyio.current_time() - begun >= 1.0
    # Each pass alone leaves it, and so did every process that made but one.
    assert stored(tmp_path, hit.fault.id).attempts >= 2


async def test_a_ledger_that_fails_leaves_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the status that says so, and no traceback: whichever question it is that the ledger does not answer."""
    write(tmp_path, row(1, undo("start", "a"), state=FaultState.UNDONE))

    async def no_trouble(*_: object) -> tuple[FaultRow, ...]:
        return ()

    async def unavailable(*_: object, **__: object) -> tuple[FaultRow, ...]:
        raise LedgerUnavailable("the disk is gone")

    monkeypatch.setattr("actors.recovery.RecoveryActor.recover", no_trouble)
    assert await recovery_pass.recover(settings(tmp_path)) == DONE
    monkeypatch.setattr(LedgerActor, "faults", unavailable)
    assert await recovery_pass.recover(settings(tmp_path)) == LEFT
