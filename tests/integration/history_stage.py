"""A ledger, an adapter and what is recorded: what the tests of the history have in common."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio

from actors.data_adapter import AdapterConfig, DataAdapterActor
from actors.ledger import LedgerActor
from coordinator.record import (
    AssertionResult,
    Execution,
    ExecutionState,
    FaultState,
    Sample,
    Series,
    Submission,
    TimelineEntry,
    Verdict,
)
from coordinator.supervision import Backoff
from tests.integration.test_data_adapter import Life
from tests.unit.ledger.living import fault_row

NOW = datetime.now(UTC).replace(microsecond=678000)


def adapter(url: str, instance: str, ledger: LedgerActor, *, retention_days: int = 7) -> DataAdapterActor:
    """An adapter in a hurry."""
    config = AdapterConfig(
        service_name="test-coordinator", service_instance_name=instance, environment="testing", postgres_url=url
    )
    return DataAdapterActor(
        config,
        ledger,
        retention_days=retention_days,
        ping_every_s=0.05,
        reconnect=Backoff(minimum_s=0.05, maximum_s=0.2),
        denied_retry_s=0.1,
    )


@asynccontextmanager
async def living(adapter: DataAdapterActor) -> AsyncIterator[Life]:
    """A life of the adapter, asked to stop at the end."""
    life = Life()
    with anyio.fail_after(50):
        async with anyio.create_task_group() as group:
            group.start_soon(adapter.run, life)
            await life.up.wait()
            yield life
            life.stopping.set()


async def drained(ledger: LedgerActor) -> None:
    """Wait until Postgres has everything."""
    while await ledger.lag():  # noqa: ASYNC110 - another server's state sends no event
        await anyio.sleep(0.02)


def execution(name: str, age: timedelta = timedelta(), **fields: object) -> Execution:
    """An execution that was accepted so long ago."""
    made = Execution(id=name, scenario="kill-one-replica", state=ExecutionState.QUEUED, seed=7, created_at=NOW - age)
    return made.model_copy(update=fields)


def finished(one: Execution) -> Execution:
    """The same at its end, judged."""
    end = {
        "state": ExecutionState.FINISHED,
        "verdict": Verdict.FAILED,
        "reason": "too slow\0!",
        "started_at": one.created_at,
        "finished_at": one.created_at + timedelta(seconds=9),
        "assertions": tuple(
            AssertionResult(phase="p", on="api", metric=f"m{n}", expected="1", actual="é\N{SNOWMAN}", passed=n == 0)
            for n in range(2)
        ),
    }
    return one.model_copy(update=end)


async def record(ledger: LedgerActor, one: Execution, *, source: str = "kind: Scenario", seed: int = 0) -> None:
    """Play an execution's records into the ledger, as a coordinator does: saved again and again, entries in between."""
    draw = random.Random(seed)
    await ledger.accept(one, Submission(source=source), "task")
    fault = fault_row(of=one.id)
    fault = fault.model_copy(update={"fault": fault.fault.model_copy(update={"id": f"fault-of-{one.id}"})})
    for number, event in enumerate(("phase_started", "fault_armed", "probe_bad", "probe_good", "phase_ended")):
        entry = TimelineEntry(
            at=NOW + timedelta(milliseconds=number), offset_s=round(draw.random(), 3), event=event, phase="outage",
            text=f"{event} %s 'quoted' \\ {draw.random()}",
        )  # fmt: skip
        await ledger.append_timeline(one.id, entry)
        states = (FaultState.ARMED, FaultState.FIRED, FaultState.ACTIVE, FaultState.UNDOING, FaultState.UNDONE)
        now = fault.fault.model_copy(update={"state": states[number]})
        await ledger.save_fault(fault.model_copy(update={"fault": now}))
        samples = tuple(Sample(n / 10, draw.random() > 0.5, draw.random() or None, "up") for n in range(3))
        await ledger.append_series(one.id, Series(probe=draw.choice(("a", "b")), samples=samples))
        await ledger.save_execution(one.model_copy(update={"state": ExecutionState.RUNNING}))
    await ledger.save_execution(finished(one))
