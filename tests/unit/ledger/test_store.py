from __future__ import annotations

import shutil
import sqlite3
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from actors.ledger import writes
from actors.ledger.schema import VERSION
from actors.ledger.store import JOURNAL_BYTES, NewerLedger, Store, UntrustedLedger, open_or_renew, open_to_look
from coordinator.errors import LedgerUnavailable
from tests.unit.ledger.living import BEGAN, entry, execution, fault_row


def opened(path: Path) -> Store:
    """A ledger file, fresh or as it was."""
    store, aside = open_or_renew(path, BEGAN, durable=True)
    assert aside is None
    return store


def column(path: Path, query: str) -> list[tuple[object, ...]]:
    """What a person would see with the sqlite3 command."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_file_is_durable_and_private(tmp_path: Path) -> None:
    """Commits are flushed to disk, the journal is write-ahead, and no other user can read file or journal."""
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as store:
        store.apply([writes.save_execution(execution())])
        assert store.ask(lambda connection: connection.execute("PRAGMA synchronous").fetchone()) == (2,)
        assert store.ask(lambda connection: connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        modes = {part.name: part.stat().st_mode & 0o777 for part in tmp_path.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_columns_tell_a_person_how_to_undo(tmp_path: Path) -> None:
    """Without this program, the tables show state, engine, task, and per container its run, former state and undo."""
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as store:
        store.apply([writes.save_fault(fault_row())])
    assert column(path, "SELECT state, class, engine_id, task FROM faults") == [
        ("armed", "journal", "ENGINE", "uuid@/2/3")
    ]
    assert column(path, "SELECT name, started_at, pre_state, undo_command FROM fault_targets") == [
        ("web-1", "2026-01-02T03:00:00.123456789Z", "running", f"docker unpause {'c' * 64}")
    ]


def test_playing_writes_again_changes_nothing(tmp_path: Path) -> None:
    """Every write may be played twice: the tables are the same after, but for the numbers of the changes."""
    path = tmp_path / "ledger.db"
    group: list[writes.Write] = [
        writes.save_execution(execution(), task="task", idempotency_key="key"),
        writes.save_fault(fault_row()),
        writes.append_timeline("uid-1", "execution-1", entry(1)),
        writes.append_timeline("uid-2", "execution-1", entry(2)),
    ]
    queries = [
        "SELECT * FROM executions",
        "SELECT * FROM faults",
        "SELECT *, 'no change' FROM fault_targets",
        "SELECT * FROM timeline",
    ]
    with closing(opened(path)) as store:
        store.apply(group)
        once = [[row[:-1] for row in column(path, query)] for query in queries]
        store.apply(group)
    assert [[row[:-1] for row in column(path, query)] for query in queries] == once
    assert [len(rows) for rows in once] == [1, 1, 1, 2]


def test_unstorable_write_fails_alone(tmp_path: Path) -> None:
    """A write that can never be stored is refused for itself; its neighbours are on disk."""
    path = tmp_path / "ledger.db"
    bad = writes.AppendTimeline(uid="\udc80", execution_id="execution-1", document="{}")
    good = writes.append_timeline("uid", "execution-1", entry(1))
    with closing(opened(path)) as store:
        results = store.apply([bad, good])
    assert [type(result) for result in results] == [LedgerUnavailable, int]
    assert column(path, "SELECT uid FROM timeline") == [("uid",)]


def test_present_version_is_recorded_and_kept(tmp_path: Path) -> None:
    """Opening again migrates nothing and loses nothing."""
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as store:
        store.apply([writes.save_execution(execution())])
    opened(path).close()
    assert column(path, "PRAGMA user_version") == [(VERSION,)]
    assert column(path, "SELECT id FROM executions") == [("execution-1",)]


def test_newer_file_is_left_alone(tmp_path: Path) -> None:
    """A file of a later version is refused with the advice to use that, and is not set aside."""
    path = tmp_path / "ledger.db"
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(NewerLedger, match="use a later test-coordinator"):
        open_or_renew(path, BEGAN, durable=True)
    assert [part.name for part in tmp_path.iterdir() if part.name.startswith("ledger.corrupt")] == []


@pytest.mark.parametrize("damage", ["not a database", "torn page"])
def test_damaged_file_is_kept_aside(tmp_path: Path, damage: str) -> None:
    """A damaged file keeps its bytes under another name, and a fresh ledger takes its place."""
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as store:
        store.apply([writes.append_timeline(str(number), "execution-1", entry(number)) for number in range(500)])
    content = bytearray(path.read_bytes())
    if damage == "torn page":
        content[len(content) // 3 : len(content) // 2] = b"\xff" * (len(content) // 2 - len(content) // 3)
    else:
        content[:] = b"no database at all " * 1000
    path.write_bytes(content)
    store, aside = open_or_renew(path, BEGAN, durable=True)
    store.close()
    assert aside == tmp_path / "ledger.corrupt-20260102T030405678000Z"
    assert aside.read_bytes() == bytes(content)
    assert column(path, "SELECT count(*) FROM timeline") == [(0,)]


def contents(folder: Path) -> dict[str, bytes]:
    """All that is there, but for the index that SQLite makes anew at each opening."""
    return {part.name: part.read_bytes() for part in folder.iterdir() if not part.name.endswith("-shm")}


@pytest.mark.parametrize("damage", ["not a database", "torn page", "only a journal", "emptied"])
def test_who_only_looks_leaves_a_damaged_file_alone(tmp_path: Path, damage: str) -> None:
    """Whatever is damaged, opening to look says so and changes no byte; opening to work sets it aside and owes a scan,
    and until that is made who looks is told so.
    """
    path = tmp_path / "ledger.db"
    store = opened(path)
    store.apply([writes.append_timeline(str(number), "execution-1", entry(number)) for number in range(500)])
    if damage in {"only a journal", "emptied"}:
        journal = (tmp_path / "ledger.db-wal").read_bytes()
        store.close()
        (tmp_path / "ledger.db-wal").write_bytes(journal)
        path.write_bytes(b"") if damage == "emptied" else path.unlink()
    else:
        store.close()
        content = bytearray(path.read_bytes())
        torn = slice(len(content) // 3, len(content) // 2) if damage == "torn page" else slice(0, 4096)
        content[torn] = b"\xff" * len(content[torn])
        path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(UntrustedLedger, match="is damaged"):
        open_to_look(path, durable=True)
    assert contents(tmp_path) == before

    store, aside = open_or_renew(path, BEGAN, durable=True)
    assert (store.owes_scan, aside is not None) == (True, True)
    store.close()
    with pytest.raises(UntrustedLedger, match="not scanned yet"):
        open_to_look(path, durable=True)
    with closing(opened(path)) as store:
        store.apply([writes.Scanned()])
    open_to_look(path, durable=True).close()


@pytest.mark.parametrize("died", ["after the first rename", "after the last rename", "with an empty new file"])
def test_a_death_while_it_is_set_aside_loses_no_duty(tmp_path: Path, died: str) -> None:
    """Killed anywhere between the first rename and the new tables, the next to open it owes the scan all the same, and
    no journal of the damaged file gets into the new one.
    """
    path = tmp_path / "ledger.db"
    store = opened(path)
    store.apply([writes.save_execution(execution())])
    journal = (tmp_path / "ledger.db-wal").read_bytes()
    store.close()
    path.rename(tmp_path / "ledger.corrupt-20260102T030405678000Z")
    if died == "after the first rename":
        (tmp_path / "ledger.db-wal").write_bytes(journal)
    if died == "with an empty new file":
        path.touch()
    with pytest.raises(UntrustedLedger):
        open_to_look(path, durable=True)
    store, _ = open_or_renew(path, BEGAN + timedelta(seconds=1), durable=True)
    assert store.owes_scan
    store.close()
    assert column(path, "SELECT count(*) FROM executions") == [(0,)]
    assert len(list(tmp_path.glob("ledger.corrupt-*Z"))) == 1


def test_newest_page_needs_no_sorting(tmp_path: Path) -> None:
    """The queries behind lists and recovery walk an index: they stay quick however much is remembered."""
    path = tmp_path / "ledger.db"
    opened(path).close()
    queries = (
        "SELECT document FROM executions WHERE 1 ORDER BY seq DESC LIMIT 50",
        "SELECT document FROM executions WHERE state IN ('running') ORDER BY seq DESC LIMIT 50",
        "SELECT document FROM faults WHERE state NOT IN ('undone', 'not_injected') ORDER BY seq",
        "SELECT document FROM timeline WHERE execution_id = 'x' ORDER BY seq",
        "SELECT samples FROM series WHERE execution_id = 'x' ORDER BY seq",
    )
    plans = ["\n".join(str(row[3]) for row in column(path, f"EXPLAIN QUERY PLAN {query}")) for query in queries]
    assert [plan for plan in plans if "TEMP B-TREE" in plan] == []
    assert "faults_outstanding" in plans[2]


def test_file_shrinks_when_records_are_deleted(tmp_path: Path) -> None:
    """Compacting gives free pages back, a bounded number at a time, and loses nothing."""
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as store:
        big = [writes.AppendSeries(f"uid-{number}", "execution-1", "probe", "x" * 20_000) for number in range(200)]
        store.apply([writes.save_execution(execution(finished=True)), *big])
        store.apply([writes.save_execution(execution(2))])
    grown = path.stat().st_size
    with closing(opened(path)) as store:
        assert store.apply([writes.purge(BEGAN + timedelta(days=1), 50)]) == [1]
        given = [store.apply([writes.Compact(256)])[0] for _ in range(6)]
    assert given[:3] == [256, 256, 256]
    assert given[-1] == 0
    assert path.stat().st_size < grown / 10
    assert column(path, "SELECT id FROM executions") == [("execution-2",)]


def test_journal_stays_bounded_under_readers(tmp_path: Path) -> None:
    """Readers that follow each other without a gap keep SQLite from reusing its write-ahead log; it is emptied all the
    same when it has grown beyond its bound.
    """
    path = tmp_path / "ledger.db"
    journal = tmp_path / "ledger.db-wal"
    with closing(opened(path)) as store, ExitStack() as readers:
        sizes = []
        for number in range(24):
            # There is always one that began before this write and one that goes on after it, but none stays.
            reader = sqlite3.connect(path, isolation_level=None)
            readers.callback(reader.close)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM series").fetchone()
            store.apply([writes.AppendSeries(f"uid-{number}", "execution-1", "probe", "x" * 2**20)])
            reader.execute("COMMIT")
            store.bound_journal(path)
            sizes.append(journal.stat().st_size)
        assert max(sizes) <= JOURNAL_BYTES + 2**21
        assert column(path, "SELECT count(*) FROM series") == [(24,)]


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    """Files that are cut or overwritten at random places open again: whole up to a moment in the past, or as a fresh
    ledger with every byte of the damaged one kept aside. Nothing else comes out.
    """
    path = tmp_path / "ledger.db"
    draw = Random(seed)
    with closing(opened(path)) as store:
        for number in range(60):
            store.apply([writes.append_timeline(str(number), "execution-1", entry(number))])
            if number == 30:
                store.ask(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        # As a power cut leaves them: a closed ledger has no journal.
        whole = {name: (tmp_path / name).read_bytes() for name in ("ledger.db", "ledger.db-wal")}
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    victim = tmp_path / draw.choice(["ledger.db", "ledger.db-wal"])
    damaged = bytearray(victim.read_bytes())
    at = draw.randrange(len(damaged))
    if draw.random() < 0.5:
        del damaged[at:]
    else:
        length = min(draw.choice([1, 40, 5000]), len(damaged) - at)
        damaged[at : at + length] = draw.randbytes(length)
    victim.write_bytes(damaged)

    store, aside = open_or_renew(path, BEGAN, durable=True, thorough=True)
    with closing(store):
        kept = store.ask(lambda connection: connection.execute("SELECT uid FROM timeline ORDER BY seq").fetchall())
        store.apply([writes.append_timeline("after", "execution-1", entry(61))])
    numbers = [int(uid) for (uid,) in kept if uid.isdigit()]
    if aside is None and victim.name == "ledger.db-wal":
        assert numbers == list(range(len(numbers)))
    if aside is not None:
        assert numbers == []
        assert aside.read_bytes() == (tmp_path / aside.name).read_bytes() != b""
