from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from actors.ledger import LedgerActor, writes
from actors.ledger.schema import MIGRATIONS
from actors.ledger.store import Store
from coordinator.outbox import Change, EntryTold, ExecutionSaved, FaultSaved, SamplesTaken
from coordinator.record import Sample, Series, Submission
from tests.unit.ledger.living import BEGAN, Life, alive, entry, execution, fault_row, ledger_in

pytestmark = pytest.mark.anyio
SUBMISSION = Submission(source="kind: Scenario")


async def everything(ledger: LedgerActor, after: int = 0) -> list[Change]:
    """All changes after a position."""
    found: list[Change] = []
    while True:
        batch = await ledger.changes(after, 7)
        found += batch.changes
        after = batch.position
        if after == batch.latest:
            return found


def first_version(path: Path) -> None:
    """A file as the first version of this program wrote it, with records in it."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        for number in (1, 2):
            saved = writes.save_execution(execution(number, finished=True), SUBMISSION)
            connection.execute(
                "INSERT INTO executions (id, state, undo, created_at, finished_at, submission, document)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    saved.id,
                    saved.state,
                    saved.undo,
                    saved.created_at,
                    saved.finished_at,
                    saved.submission,
                    saved.document,
                ),
            )
            row = writes.save_fault(fault_row(number, of=f"execution-{number}"))
            connection.execute(
                "INSERT INTO faults (id, execution_id, type, class, state, engine_id, task, document)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.execution_id, row.type, row.fault_class, row.state, row.engine_id, row.task, row.document),
            )
            for step in range(3):
                told = writes.append_timeline(f"uid-{number}-{step}", f"execution-{number}", entry(step))
                connection.execute(
                    "INSERT INTO timeline (uid, execution_id, document) VALUES (?, ?, ?)",
                    (told.uid, told.execution_id, told.document),
                )
            taken = writes.append_series(
                f"s-{number}", f"execution-{number}", Series(probe="p", samples=(Sample(0, True),))
            )
            connection.execute(
                "INSERT INTO series (uid, execution_id, probe, samples) VALUES (?, ?, ?, ?)",
                (taken.uid, taken.execution_id, taken.probe, taken.samples),
            )
        connection.commit()


async def test_a_file_of_the_first_version_tells_all_it_remembers(tmp_path: Path) -> None:
    """What was written before there was an outbox is told too, executions first, entries in their order; then news."""
    first_version(tmp_path / "ledger.db")
    async with alive(ledger := ledger_in(tmp_path)):
        told = await everything(ledger)
        kinds = [ExecutionSaved] * 2 + [FaultSaved] * 2 + [EntryTold] * 6 + [SamplesTaken] * 2
        assert [type(change) for change in told] == kinds
        assert [change.uid for change in told if isinstance(change, EntryTold)] == [
            f"uid-{number}-{step}" for number in (1, 2) for step in range(3)
        ]
        assert await ledger.lag() == 12
        await ledger.append_timeline("execution-1", entry(9))
        assert await everything(ledger, after=12) != []


async def test_the_next_process_goes_on_where_this_one_was(tmp_path: Path) -> None:
    """The file keeps its name, its numbers, even of purged records, and what was acknowledged."""
    async with alive(first := ledger_in(tmp_path)):
        await first.accept(execution(finished=True), SUBMISSION, "task")
        await first.append_timeline("execution-1", entry(1))
        position = (await first.changes(0, 100)).position
        await first.acknowledge(position)
        await first.purge(BEGAN + timedelta(days=1))
        name = await first.ledger()
    async with alive(second := ledger_in(tmp_path)):
        assert await second.ledger() == name
        assert await second.lag() == 0
        await second.append_timeline("execution-2", entry(2))
        assert await second.lag() == 1
        assert len(await everything(second, after=position)) == 1


async def test_every_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Two ledgers are never taken for one another: a position in one says nothing about the other."""
    names = set()
    for folder in ("a", "b"):
        async with alive(ledger := ledger_in(tmp_path / folder)):
            names.add(await ledger.ledger())
    assert len(names) == 2


@pytest.mark.parametrize("seed", range(3))
async def test_a_reader_misses_nothing_while_the_ledger_dies_again_and_again(tmp_path: Path, seed: int) -> None:
    """Lives are cancelled while writers write and a reader follows: it is told every entry once, in order."""
    ledger = ledger_in(tmp_path)
    draw = random.Random(seed)
    heard: list[str] = []
    wanted = [f"entry {number}" for number in range(30)]

    async def produce() -> None:
        for number in range(30):
            await ledger.append_timeline("execution-1", entry(number))

    async def follow() -> None:
        position = 0
        while len(heard) < 30:
            await ledger.news(position)
            batch = await ledger.changes(position, 4)
            heard.extend(change.entry.text for change in batch.changes if isinstance(change, EntryTold))
            position = batch.position

    async with ledger, anyio.create_task_group() as group:
        group.start_soon(produce)
        group.start_soon(follow)
        while len(heard) < 30:
            async with anyio.create_task_group() as life:
                life.start_soon(ledger.run, Life())
                for _ in range(draw.randrange(1, 40)):
                    await anyio.lowlevel.checkpoint()
                await anyio.sleep(draw.random() / 50)
                life.cancel_scope.cancel()
    assert heard == wanted


def test_reading_walks_indexes(tmp_path: Path) -> None:
    """A batch and the lag are found by index however much is remembered."""
    from actors.ledger import outbox

    with closing(Store(sqlite3.connect(tmp_path / "l", isolation_level=None))) as store:
        for query in (f"{outbox._EVERYTHING} ORDER BY change LIMIT 5", outbox._LAG):
            given = {"after": 1} if ":after" in query else {}
            plan = store.ask(lambda c: c.execute(f"EXPLAIN QUERY PLAN {query}", given).fetchall())  # noqa: B023 - called at once
            steps = [str(row[3]) for row in plan]
            assert not [
                step for step in steps if "TEMP B-TREE" in step or (step.startswith("SCAN") and "outbox" not in step)
            ]
            assert sum("_by_change" in step for step in steps) == 4
