"""The history in a real Postgres: what the ledger says, once and in order; read back when the ledger is gone."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import psycopg2
import pytest

from actors.ledger import LedgerActor
from coordinator.errors import HistoryUnavailable, NotFound
from coordinator.logging import Message, configure
from coordinator.past import Past
from coordinator.record import (
    Execution,
    ExecutionState,
    FaultState,
    Report,
    Submission,
)
from coordinator.settings import Settings
from tests.integration.coordinator_process import coordinator, scenario
from tests.integration.history_stage import adapter, drained, execution, living, record
from tests.integration.remembered import TABLES, command, in_ledger, in_postgres, rows, schemas
from tests.integration.sandbox import Sandbox
from tests.integration.services import PostgresServer
from tests.unit.ledger.living import alive, fault_row, ledger_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Aiopg knows no other loop."""
    return "asyncio"


async def test_rows_are_what_the_ledger_says(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """While executions go on beside each other, history written before Postgres was there included: after draining
    every record is there once, in order, and read back equal.
    """
    async with alive(ledger := ledger_in(tmp_path)):
        await record(ledger, execution("before"))
        subject = adapter(postgres_url, instance, ledger)
        async with living(subject) as life:
            async with anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(lambda n: record(ledger, execution(f"e{n}"), source=f"v{n % 3}", seed=n), number)
            await drained(ledger)
            # Told once the turn is over, which is a moment after the last record was acknowledged.
            await life.until(lambda: subject.status["postgres"] == "ok")
            assert life.impaired is None
            there = in_postgres(postgres_url, instance)
            assert there == in_ledger(tmp_path)
            assert there.count == 9 * (1 + 1 + 5 + 5)
            for name in ("before", "e3"):
                found = await subject.history.execution(name)
                known = await ledger.execution(name)
                assert found == known
                assert await subject.history.series(name) == await ledger.series(name)
    assert schemas(postgres_url)[instance] == list(TABLES)
    versions = rows(postgres_url, "SELECT version, source FROM scenarios ORDER BY version", instance)
    assert [version for version, _ in versions] == [1, 2, 3, 4]
    assert {source for _, source in versions} == {"kind: Scenario", "v0", "v1", "v2"}
    played = "SELECT count(*) FROM executions JOIN scenarios ON name = scenario AND version = scenario_version"
    assert rows(postgres_url, played, instance) == [(9,)]
    phases = "SELECT count(*) FROM phases WHERE name = 'outage' AND started_at < ended_at"
    assert rows(postgres_url, phases, instance) == [(9,)]
    assert rows(postgres_url, "SELECT count(*), sum(place) FROM assertions", instance) == [(18, 9)]
    assert rows(postgres_url, "SELECT sum(total) FROM observations", instance) == [(9 * 15,)]


async def test_a_wiped_schema_is_filled_again(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """A schema that is dropped while the adapter lives is made again with everything that the ledger remembers."""
    async with alive(ledger := ledger_in(tmp_path)):
        subject = adapter(postgres_url, instance, ledger)
        async with living(subject):
            await record(ledger, execution("one"))
            await drained(ledger)
            await anyio.to_thread.run_sync(command, postgres_url, f"DROP SCHEMA {instance} CASCADE")
            await record(ledger, execution("two"))
            await drained(ledger)
        assert in_postgres(postgres_url, instance) == in_ledger(tmp_path)


async def test_a_late_session_changes_nothing(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """What a session sends that believes the feed to be elsewhere is refused whole."""
    async with alive(ledger := ledger_in(tmp_path)):
        async with living(adapter(postgres_url, instance, ledger)):
            await record(ledger, execution("one"))
            await drained(ledger)
        stale = "SELECT advance((SELECT ledger FROM feeds), 3, 5); DELETE FROM events"
        with pytest.raises(psycopg2.Error, match="is not at 3"):
            command(postgres_url, stale, schema=instance)
        assert in_postgres(postgres_url, instance) == in_ledger(tmp_path)


async def test_a_record_that_is_refused_is_left_out_alone(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """A record that Postgres would refuse for ever is named in the log and keeps no other from being written."""
    seen: list[Message] = []
    async with alive(ledger := ledger_in(tmp_path)):
        subject = adapter(postgres_url, instance, ledger)
        async with living(subject) as life:
            await life.until(lambda: subject.status["postgres"] == "ok")
            command(postgres_url, f"ALTER TABLE {instance}.events ADD CHECK (event <> 'probe_bad')")
            with configure(Settings().identity, sinks=[seen.append]):
                await record(ledger, execution("one"))
                await drained(ledger)
    wanted, there = in_ledger(tmp_path), in_postgres(postgres_url, instance)
    assert there.events == [event for event in wanted.events if "probe_bad" not in event]
    assert (there.executions, there.faults, there.samples) == (wanted.executions, wanted.faults, wanted.samples)
    left_out = [message for message in seen if message.get("message_type") == "history:left_out"]
    assert [message["kind"] for message in left_out] == ["EntryTold"]


async def test_what_is_too_old_is_purged(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """Executions past the retention go, with all that hangs on them; those that owe something and younger ones stay."""
    async with alive(ledger := ledger_in(tmp_path)):
        for name, days in (("old", 3), ("owing", 3), ("young", 1)):
            await record(ledger, execution(name, timedelta(days=days)))
        owing = fault_row(state=FaultState.STUCK, of="owing")
        await ledger.save_fault(owing)
        async with living(adapter(postgres_url, instance, ledger)):
            await drained(ledger)
        async with living(adapter(postgres_url, instance, ledger, retention_days=2)) as life:
            await life.until(lambda: life.impaired is None)
            while "old" in in_postgres(postgres_url, instance).executions:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.02)
    there = in_postgres(postgres_url, instance)
    assert set(there.executions) == {"owing", "young"}
    assert {event[1] for event in there.events} == {"owing", "young"}
    hanging = "SELECT execution_id FROM phases UNION SELECT execution_id FROM faults UNION SELECT execution_id FROM"
    hanging += " observations UNION SELECT execution_id FROM assertions ORDER BY 1"
    assert rows(postgres_url, hanging, instance) == [("owing",), ("young",)]


# ------------------------------------------------------------ reading


class Known:
    """What the executions actor tells of a ledger in which nothing runs."""

    def __init__(self, ledger: LedgerActor) -> None:
        self._ledger = ledger

    async def execution(self, execution_id: str) -> Execution:
        """One."""
        found = await self._ledger.execution(execution_id)
        if found is None:
            raise NotFound(f"there is no execution {execution_id}")
        return found

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """A page."""
        return await self._ledger.executions(states, limit, after)

    async def report(self, execution_id: str) -> Report:
        """All."""
        execution = await self.execution(execution_id)
        return Report(execution=execution, probes=dict(await self._ledger.series(execution_id)))


async def test_a_new_ledger_still_knows_the_past(tmp_path: Path, postgres_url: str, instance: str) -> None:
    """With a fresh DATA_DIR, lists page through both without gap or repetition, also by state; reports are the same."""
    async with alive(first := ledger_in(tmp_path / "first")):
        for number in range(5):
            await record(first, execution(f"old-{number}", timedelta(hours=10 - number)))
        async with living(adapter(postgres_url, instance, first)):
            await drained(first)
        before = await Known(first).report("old-2")
    async with alive(second := ledger_in(tmp_path / "second")):
        subject = adapter(postgres_url, instance, second)
        past = Past(Known(second), second, subject.history)
        for number in range(3):
            await record(second, execution(f"new-{number}", timedelta(minutes=10 - number)))
        await second.accept(execution("waiting"), Submission(source=""), "task")
        async with living(subject):
            await drained(second)
            wanted = ["waiting", *(f"new-{n}" for n in (2, 1, 0)), *(f"old-{n}" for n in (4, 3, 2, 1, 0))]
            for limit in (1, 2, 4, 5, 9, 50):
                pages: list[str] = []
                page = await past.executions(None, limit, None)
                while page:
                    assert len(page) <= limit
                    pages += [one.id for one in page]
                    page = await past.executions(None, limit, page[-1].id)
                assert pages == wanted
            ended = await past.executions(frozenset({ExecutionState.FINISHED}), 50, None)
            assert [one.id for one in ended] == wanted[1:]
            assert await past.report("old-2") == before
            assert (await past.execution("new-1")).id == "new-1"
            with pytest.raises(NotFound, match="there is no execution nobody"):
                await past.execution("nobody")
            assert await past.executions(None, 5, "nobody") == ()


async def test_without_postgres_the_past_is_not_denied(tmp_path: Path, postgres: PostgresServer, instance: str) -> None:
    """While Postgres is down an unknown execution is not found with the hint that the history could not be asked; lists
    hold what the ledger knows.
    """
    postgres.start()
    async with alive(ledger := ledger_in(tmp_path)):
        subject = adapter(postgres.url, instance, ledger)
        past = Past(Known(ledger), ledger, subject.history)
        await record(ledger, execution("one"))
        postgres.stop()
        try:
            async with living(subject) as life:
                await life.until(lambda: "unreachable" in subject.status["postgres"])
                with pytest.raises(HistoryUnavailable):
                    await subject.history.execution("one")
                with pytest.raises(NotFound, match=r"no execution nobody .* postgres is degraded"):
                    await past.execution("nobody")
                assert [one.id for one in await past.executions(None, 50, None)] == ["one"]
        finally:
            await anyio.to_thread.run_sync(postgres.start)


def test_a_run_without_serve_is_remembered_too(
    tmp_path: Path, postgres_url: str, instance: str, containers: Sandbox
) -> None:
    """A command that embeds a coordinator tells Postgres what it did before it ends."""
    target = containers.run("target")
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME=instance, POSTGRES_URL=postgres_url) as made:
        file = tmp_path / "pause.json"
        file.write_text(json.dumps(scenario([{"type": "container_pause"}], names=[target.name], duration="100ms")))
        done = made.command("run", str(file), "--json")
        assert done.returncode == 0, done.stderr
        there = in_postgres(postgres_url, instance)
        assert list(there.executions) == [json.loads(done.stdout)["id"]]
        assert there == in_ledger(made.data_dir)
