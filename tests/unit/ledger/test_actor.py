from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from actors.ledger import LedgerActor
from coordinator.errors import LedgerUnavailable
from coordinator.record import Submission
from tests.conftest import ROOT
from tests.unit.ledger.living import Life, alive, entry, execution, fault_row, ledger_in

pytestmark = pytest.mark.anyio
SUBMISSION = Submission(source="kind: Scenario")


async def texts(ledger: LedgerActor) -> list[str]:
    """The timeline of the first execution."""
    found = await ledger.execution("execution-1")
    assert found is not None
    return [told.text for told in found.timeline]


async def test_next_process_finds_what_was_written(tmp_path: Path) -> None:
    """What was acknowledged is there for the next ledger on the same folder."""
    async with alive(ledger_in(tmp_path)) as life:
        assert life.up.is_set()
    async with alive(first := ledger_in(tmp_path)):
        await first.accept(execution(), SUBMISSION, "task")
        await first.save_fault(fault_row())
    async with alive(second := ledger_in(tmp_path)):
        assert await second.execution("execution-1") is not None
        assert await second.faults(outstanding=True) == (fault_row(),)


async def test_calls_wait_for_the_first_life(tmp_path: Path) -> None:
    """Writes and reads made before the actor lives are answered once it does."""
    ledger = ledger_in(tmp_path)
    life, answers = Life(), list[str | None]()

    async def ask() -> None:
        answers.append(await ledger.task("execution-1"))

    async with ledger, anyio.create_task_group() as group:
        group.start_soon(ask)
        group.start_soon(ledger.accept, execution(), SUBMISSION, "task")
        await anyio.wait_all_tasks_blocked()
        assert answers == []
        group.start_soon(ledger.run, life)
        await life.up.wait()
        await ledger.append_timeline("execution-1", entry(1))
        life.stopping.set()
    assert answers in (["task"], [None])


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("seed", range(5))
async def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path, seed: int, inline: bool) -> None:
    """Lives are cancelled again and again while writers write: each writer goes on, its entries are all there, once,
    in order.
    """
    ledger = ledger_in(tmp_path, inline=inline)
    draw = random.Random(seed)
    ended = anyio.Event()

    async def produce() -> None:
        await ledger.accept(execution(), SUBMISSION, "task")
        for number in range(40):
            await ledger.append_timeline("execution-1", entry(number))
        ended.set()

    async def live_and_die() -> None:
        while not ended.is_set():
            async with anyio.create_task_group() as group:
                group.start_soon(ledger.run, Life())
                for _ in range(draw.randrange(1, 30)):
                    await anyio.lowlevel.checkpoint()
                if draw.random() < 0.5:
                    await anyio.sleep(draw.random() / 100)
                group.cancel_scope.cancel()

    async with ledger, anyio.create_task_group() as group:
        group.start_soon(produce)
        group.start_soon(live_and_die)
        await ended.wait()
        life = Life()
        group.start_soon(ledger.run, life)
        assert await texts(ledger) == [f"entry {number}" for number in range(40)]
        life.stopping.set()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_killed_while_its_thread_writes(tmp_path: Path, anyio_backend: str) -> None:
    """A foreign cancel that leaves a thread behind loses nothing either: the next life waits for its turn."""
    ledger = ledger_in(tmp_path)
    draw = random.Random(1)
    async with ledger:
        writer = asyncio.ensure_future(_produce(ledger, 40))
        while not writer.done():
            body = asyncio.ensure_future(ledger.run(Life()))
            await asyncio.sleep(draw.random() / 100)
            body.cancel()
            await asyncio.wait([body])
        await writer
        life = Life()
        body = asyncio.ensure_future(ledger.run(life))
        assert await texts(ledger) == [f"entry {number}" for number in range(40)]
        life.stopping.set()
        await body


async def _produce(ledger: LedgerActor, count: int) -> None:
    await ledger.accept(execution(), SUBMISSION, "task")
    for number in range(count):
        await ledger.append_timeline("execution-1", entry(number))


async def test_cancelled_caller_may_have_written(tmp_path: Path) -> None:
    """A caller that is cancelled leaves at once; its write is made all the same, and nobody else is disturbed."""
    ledger, life = ledger_in(tmp_path), Life()
    async with ledger, anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.accept(execution(), SUBMISSION, "task")
        assert scope.cancelled_caught
        group.start_soon(ledger.run, life)
        await ledger.append_timeline("execution-1", entry(1))
        assert await texts(ledger) == ["entry 1"]
        life.stopping.set()


async def test_stop_writes_what_waits(tmp_path: Path) -> None:
    """Asked to stop, a life still writes what was handed in before."""
    ledger, life = ledger_in(tmp_path), Life()
    life.stopping.set()
    async with ledger:
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.accept, execution(), SUBMISSION, "task")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(ledger.run, life)
        assert await ledger.task("execution-1") == "task"


async def test_nobody_waits_for_a_closed_ledger(tmp_path: Path) -> None:
    """When DATA_DIR is let go, those who wait are told, and so is who comes later."""
    ledger = ledger_in(tmp_path)
    told: list[str] = []

    async def write() -> None:
        with pytest.raises(LedgerUnavailable) as refused:
            await ledger.save_execution(execution())
        told.append(str(refused.value))

    async with anyio.create_task_group() as group:
        async with ledger:
            group.start_soon(write)
            await anyio.wait_all_tasks_blocked()
        await write()
    assert told == ["the ledger is closed: the coordinator is stopping"] * 2
    with pytest.raises(LedgerUnavailable):
        await ledger.executions()


async def test_patience_ends(tmp_path: Path) -> None:
    """While nobody writes, a caller waits only so long, and what it gave up is not written later."""
    ledger = ledger_in(tmp_path, patience_s=0.05)
    async with ledger:
        with pytest.raises(LedgerUnavailable, match=r"did not write within 0\.05 s"):
            await ledger.accept(execution(), SUBMISSION, "task")
        with pytest.raises(LedgerUnavailable):
            await ledger.executions()
        async with anyio.create_task_group() as group:
            life = Life()
            group.start_soon(ledger.run, life)
            await life.up.wait()
            assert await ledger.executions() == ()
            life.stopping.set()


async def test_unwritable_ledger_lives_degraded_and_mends(tmp_path: Path) -> None:
    """Where the file cannot be written the actor is up and says why, refuses writes at once, and mends by itself."""
    (tmp_path / "ledger.db").mkdir()
    ledger = ledger_in(tmp_path)
    async with alive(ledger) as life:
        assert life.said[-1] is not None
        assert str(tmp_path / "ledger.db") in life.said[-1]
        with pytest.raises(LedgerUnavailable, match="nothing is injected until then"):
            await ledger.save_execution(execution())
        with pytest.raises(LedgerUnavailable, match="cannot be read"):
            await ledger.executions()
        (tmp_path / "ledger.db").rmdir()
        await life.until_mended()
        await ledger.save_execution(execution())
        assert len(await ledger.executions()) == 1


async def test_file_taken_away_under_it(tmp_path: Path) -> None:
    """A file that vanishes while it is open is noticed at the next write, which is refused; a fresh one follows."""
    ledger = ledger_in(tmp_path)
    async with alive(ledger) as life:
        await ledger.save_execution(execution())
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).rename(tmp_path / f"elsewhere-{name}")
        with pytest.raises(LedgerUnavailable):
            await ledger.save_execution(execution(2))
        await life.until_mended()
        await ledger.save_execution(execution(3))
        assert [found.seed for found in await ledger.executions()] == [3]


async def test_a_record_that_does_not_read_is_told(tmp_path: Path) -> None:
    """A document that is no record (by hand, by another version) is an error with advice, never a crash, and the others
    are read as ever.
    """
    async with alive(ledger := ledger_in(tmp_path)):
        await ledger.save_execution(execution(1))
        await ledger.save_execution(execution(2))
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
            connection.execute("UPDATE executions SET document = '{}' WHERE id = 'execution-1'")
        with pytest.raises(LedgerUnavailable, match=r"a record of it does not read .Execution: .*recover --scan"):
            await ledger.execution("execution-1")
        found = await ledger.execution("execution-2")
        assert found is not None
        assert found.seed == 2


async def test_those_who_wait_together_are_written_together(tmp_path: Path) -> None:
    """Writes that arrive while one is on its way to the disk share one transaction, and so one flush."""
    async with alive(ledger := ledger_in(tmp_path)):
        await ledger.save_execution(execution())
        before = commits(tmp_path / "ledger.db-wal")
        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(ledger.append_timeline, "execution-1", entry(number))
        assert commits(tmp_path / "ledger.db-wal") - before <= 10
        assert len(await texts(ledger)) == 500


def commits(journal: Path) -> int:
    """Transactions in a write-ahead log: the frames that tell the size of the file after a commit."""
    content = journal.read_bytes()
    page = int.from_bytes(content[8:12], "big")
    frames = range(32, len(content), 24 + page)
    return sum(1 for at in frames if int.from_bytes(content[at + 4 : at + 8], "big"))


FULL_DISK = """
import resource, sys, anyio
from pathlib import Path
from coordinator.errors import LedgerUnavailable
from tests.unit.ledger.living import alive, entry, execution, ledger_in

async def main():
    ledger = ledger_in(Path(sys.argv[1]))
    async with alive(ledger) as life:
        await ledger.save_execution(execution())
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        made = 0
        try:
            while True:
                await ledger.append_timeline("execution-1", entry(made))
                made += 1
        except LedgerUnavailable as refused:
            print("refused", "free space" in str(refused), life.said[-1] == str(refused))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await life.until_mended()
        await ledger.append_timeline("execution-1", entry(made))
        found = await ledger.execution("execution-1")
        print("kept", [told.text for told in found.timeline] == [f"entry {n}" for n in range(made + 1)])

anyio.run(main)
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_full_disk_loses_nothing(tmp_path: Path, anyio_backend: str) -> None:
    """When a file may grow no further, the write is refused with advice; with space again all that was acknowledged
    is there, and writing goes on.
    """
    done = await anyio.run_process([sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=ROOT, check=False)
    assert done.stdout.decode().splitlines() == ["refused True True", "kept True"], done.stderr.decode()


KILLED = """
import sys, anyio
from pathlib import Path
from tests.unit.ledger.living import alive, entry, execution, ledger_in

async def main():
    async with alive(ledger := ledger_in(Path(sys.argv[1]))):
        await ledger.save_execution(execution())
        for number in range(10**9):
            await ledger.append_timeline("execution-1", entry(number))
            print(number, flush=True)

anyio.run(main)
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_sigkill_keeps_what_was_acknowledged(tmp_path: Path, anyio_backend: str) -> None:
    """After kill -9 every acknowledged entry is there, in order, and the folder is free."""
    acknowledged = -1
    async with await anyio.open_process(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        said = b""
        while said.count(b"\n") < 50:
            said += await child.stdout.receive()
        child.kill()
    acknowledged = int(said.rsplit(b"\n", 1)[0].rsplit(b"\n", 1)[-1])
    async with alive(ledger := ledger_in(tmp_path)):
        told = await texts(ledger)
    assert told == [f"entry {number}" for number in range(len(told))]
    assert len(told) > acknowledged >= 49
