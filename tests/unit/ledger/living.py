"""Ledgers that really run, and records to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio

from actors.ledger import LedgerActor
from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerState
from coordinator.faults.looks import Undo
from coordinator.record import Execution, ExecutionState, Fault, FaultClass, FaultRow, FaultState, TimelineEntry

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


class Life:
    """What a supervisor gives a child, with what the child said of itself kept for the test."""

    path = "root/ledger"
    incarnation = 1

    def __init__(self) -> None:
        self.stopping = anyio.Event()
        self.up = anyio.Event()
        self.said: list[str | None] = []
        self.news = anyio.Event()

    def ready(self, value: object = None) -> None:
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        self.said.append(reason)
        self.news.set()
        self.news = anyio.Event()

    async def until_mended(self) -> None:
        """Wait until the last word is that nothing is impaired."""
        while not self.said or self.said[-1] is not None:
            await self.news.wait()


@asynccontextmanager
async def alive(ledger: LedgerActor) -> AsyncIterator[Life]:
    """Hold the ledger's folder and let it live; asked to stop at the end."""
    life = Life()
    async with ledger, anyio.create_task_group() as group:
        group.start_soon(ledger.run, life)
        await life.up.wait()
        yield life
        life.stopping.set()


def ledger_in(data_dir: Path, *, inline: bool = False, patience_s: float = 20.0, renews: bool = True) -> LedgerActor:
    """A ledger not yet running."""
    return LedgerActor(data_dir, "test-coordinator", inline=inline, patience_s=patience_s, renews=renews)


def execution(number: int = 1, state: ExecutionState = ExecutionState.QUEUED, *, finished: bool = False) -> Execution:
    """An execution; number `n` began n seconds after BEGAN and finished ten seconds later."""
    at = BEGAN + timedelta(seconds=number)
    return Execution(
        id=f"execution-{number}",
        scenario="kill-one-replica",
        state=ExecutionState.FINISHED if finished else state,
        seed=number,
        created_at=at,
        finished_at=at + timedelta(seconds=10) if finished else None,
    )


def fault_row(number: int = 1, state: FaultState = FaultState.ARMED, *, of: str = "execution-1") -> FaultRow:
    """A paused container and how it is put back."""
    fault = Fault(
        id=f"fault-{number}",
        execution_id=of,
        phase="outage",
        type="container_pause",
        target="replica",
        fault_class=FaultClass.JOURNAL,
        mechanism="docker pause",
        state=state,
        armed_at=BEGAN,
    )
    undo = Undo(
        container_id="c" * 64,
        name="web-1",
        started_at="2026-01-02T03:00:00.123456789Z",
        command=DockerCommand(argv=("unpause", "c" * 64)),
        needed_in=(ContainerState.PAUSED,),
        restores=ContainerState.RUNNING,
    )
    return FaultRow(fault=fault, engine_id="ENGINE", task="uuid@/2/3", undos=(undo,), pre_states={"c" * 64: "running"})


def entry(number: int) -> TimelineEntry:
    """Something that happened."""
    return TimelineEntry(at=BEGAN, offset_s=float(number), event="note", text=f"entry {number}")
