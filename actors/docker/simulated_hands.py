"""What an execution's commands run with on a simulated engine: its rules in network namespaces live while it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from actors.docker.simulated_state import RULE_LEASE_S
from coordinator.faults.commands import Command, Outcome
from coordinator.ports import CommandRunner, Tell


@dataclass(frozen=True, slots=True)
class SimulatedHands:
    """Satisfies `ports.Hands`: a simulated engine needs nothing made ready."""

    runner: CommandRunner

    async def run(self, command: Command) -> Outcome:
        """As the runner does."""
        return await self.runner.run(command)

    def listen(self, tell: Tell) -> None:
        """There is nothing to tell: nothing of a simulated helper dies alone."""

    async def ready(self, commands: Collection[Command]) -> None:
        """At once."""


@asynccontextmanager
async def simulated_hands(
    runner: CommandRunner, renew: Callable[[str], None], execution_id: str
) -> AsyncIterator[SimulatedHands]:
    """The hands of one execution. `renew` lets the leases of its rules run anew, by its id."""
    async with anyio.create_task_group() as group:
        group.start_soon(_renew, renew, execution_id)
        try:
            yield SimulatedHands(runner)
        finally:
            group.cancel_scope.cancel(reason="the execution has ended")


async def _renew(renew: Callable[[str], None], execution_id: str) -> None:
    while True:
        renew(execution_id)
        await anyio.sleep(RULE_LEASE_S / 3)
