import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ledger.schema import VERSION
from actors.ledger.store import read
from coordinator.faults.commands import EnvEntry
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import need
from coordinator.record import ExecutionState, FaultState
from coordinator.warden.debts import KNOWN_VERSION, Ledger
from coordinator.warden.engine import Seen
from tests.unit.warden.owing import LATER_RUN, RUN, execution, lose, row, stored, undo, write


def test_it_reads_the_present_version() -> None:
    """A new version of the tables must be looked at here too: until then the quick pass would be left out."""
    assert KNOWN_VERSION == VERSION


def test_what_is_outstanding_is_read_newest_first(tmp_path: Path) -> None:
    """Fired faults in the order they are undone, those only armed by their id, those that owe nothing not at all."""
    write(
        tmp_path,
        execution(),
        row(1, undo("unpause", "a")),
        row(2, undo("start", "b"), undo("unpause", "c")),
        row(3, undo("unpause", "d"), state=FaultState.UNDONE),
        row(4, undo("unpause", "e"), state=FaultState.ARMED, fired=False),
    )
    debts = Ledger(str(tmp_path)).debts()
    assert debts.ids == {"fault-1", "fault-2", "fault-4"}
    assert [debt.fault_id for debt in debts.fired] == ["fault-2", "fault-1"]
    assert [(owed.container_id, owed.quick) for owed in debts.fired[0].owed] == [("c", "unpause"), ("b", "start")]
    assert (debts.unfinished, debts.settled) == (frozenset({"execution-1"}), False)


def test_only_plain_undos_are_quick(tmp_path: Path) -> None:
    """A command inside the container, or one that needs a secret, is nothing for the quick pass."""
    secret = (EnvEntry(name="A", secret="b"),)
    write(tmp_path, row(1, undo("exec", "a"), undo("start", "b", env=secret), undo("start", "c")))
    (debt,) = Ledger(str(tmp_path)).debts().fired
    assert {owed.container_id: owed.quick for owed in debt.owed} == {"a": None, "b": None, "c": "start"}


def test_a_ledger_that_owes_nothing_is_settled(tmp_path: Path) -> None:
    """Every execution has its verdict and every fault is undone."""
    write(tmp_path, execution(ExecutionState.FINISHED), row(1, undo("unpause", "a"), state=FaultState.UNDONE))
    assert Ledger(str(tmp_path)).debts().settled


def test_a_ledger_in_place_of_a_damaged_one_owes_a_scan(tmp_path: Path) -> None:
    """It is not settled though it knows of nothing; and there is one even where the damaged file alone is left."""
    ledger = Ledger(str(tmp_path))
    assert not ledger.exists()
    lose(tmp_path)
    debts = ledger.debts()
    assert (debts.duty, debts.owes_scan, debts.settled) == (frozenset(), True, False)
    ledger.path.unlink()
    assert ledger.exists()


def test_it_knows_how_long_a_recovery_may_wait(tmp_path: Path) -> None:
    """For the slowest of each fault, where nobody saw its effect or it may come once more, and no undo was tried."""
    slow, quick = (undo("start", name).model_copy(update={"settle_s": s}) for name, s in (("a", 65.0), ("b", 5.0)))
    seen = row(1, slow, quick)
    unseen = tuple(target.model_copy(update={"effective_at": None}) for target in seen.fault.targets)
    fault = seen.fault.model_copy(update={"id": "fault-2", "targets": unseen})
    again = seen.fault.model_copy(update={"id": "fault-3"})
    tried = seen.fault.model_copy(update={"id": "fault-4", "targets": unseen})
    write(
        tmp_path, seen,
        seen.model_copy(update={"fault": fault}),
        seen.model_copy(update={"fault": again, "unsettled": ("b",)}),
        seen.model_copy(update={"fault": tried, "attempted": ("a",)}),
    )  # fmt: skip
    debts = Ledger(str(tmp_path)).debts()
    assert {debt.fault_id: debt.settles_s for debt in debts.fired} == {
        "fault-1": 0.0, "fault-2": 65.0, "fault-3": 5.0, "fault-4": 5.0,
    }  # fmt: skip
    assert debts.settles_s == 75.0


def test_an_attempt_is_remembered_as_the_coordinator_remembers_it(tmp_path: Path) -> None:
    """The row says who was tried and that it is being undone, and is a change that Postgres will be told."""
    write(tmp_path, row(1, undo("start", "a"), undo("start", "b")), row(2, undo("start", "c")))
    ledger = Ledger(str(tmp_path))
    before = read(ledger.path, lambda c: c.execute("SELECT latest FROM outbox").fetchone()[0])
    ledger.remember("fault-1", ["b"])
    ledger.remember("fault-1", ["a"])
    found = stored(tmp_path, "fault-1")
    assert found.attempted == ("a", "b")
    assert found.fault.state is FaultState.UNDOING
    assert found.undos == (undo("start", "a"), undo("start", "b"))
    latest, change, state = read(
        ledger.path,
        lambda c: c.execute("SELECT latest, change, state FROM outbox, faults WHERE faults.id = 'fault-1'").fetchone(),
    )
    assert (latest, change, state) == (before + 2, before + 2, "undoing")
    assert all(owed.attempted for debt in ledger.debts().fired[1:] for owed in debt.owed)


def test_another_version_is_refused(tmp_path: Path) -> None:
    """Tables that this program does not know are not guessed at."""
    write(tmp_path, row(1, undo("unpause", "a")))
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(sqlite3.NotSupportedError, match=f"version {VERSION + 1}"):
        Ledger(str(tmp_path)).debts()


def test_a_missing_ledger_is_not_made(tmp_path: Path) -> None:
    """Looking creates no file."""
    with pytest.raises(sqlite3.OperationalError):
        Ledger(str(tmp_path)).debts()
    assert list(tmp_path.iterdir()) == []


@given(
    verb=st.sampled_from(["unpause", "start", "exec"]),
    state=st.sampled_from([None, *ContainerState]),
    run=st.sampled_from(["", RUN, LATER_RUN, "2026-01-02T03:04:06.1Z"]),
    attempted=st.booleans(),
    effective=st.booleans(),
    lost=st.booleans(),
)
def test_it_judges_as_the_coordinator_does(
    tmp_path_factory: pytest.TempPathFactory,
    verb: str,
    state: ContainerState | None,
    run: str,
    *,
    attempted: bool,
    effective: bool,
    lost: bool,
) -> None:
    """For every undo and every container, what the warden finds needed is what the coordinator would."""
    folder = tmp_path_factory.mktemp("ledger")
    owing = undo(verb, "c")
    armed = row(1, owing)
    if attempted:
        armed = armed.model_copy(update={"attempted": ("c",)})
    if not effective:
        unseen = tuple(target.model_copy(update={"effective_at": None}) for target in armed.fault.targets)
        armed = armed.model_copy(update={"fault": armed.fault.model_copy(update={"targets": unseen})})
    write(folder, armed)
    ((owed,),) = (debt.owed for debt in Ledger(str(folder)).debts().fired)
    there = None if state is None else ContainerFacts(
        id="c", name="c", image="i", state=state, started_at=run, lost=lost
    )  # fmt: skip
    since = None if effective else "2026-01-02T03:04:07.678Z"
    assert owed.need(Seen(state, run, lost=lost)) is need(owing, there, attempted=attempted, unseen_since=since)
