"""Runs commands side by side, and tells in one line why one failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from coordinator.errors import EngineUnreachable, MissingSecret
from coordinator.faults.commands import Command, Outcome
from coordinator.ports import CommandRunner

REFUSED: Final = "Error response from daemon"
RUNTIME: Final = "OCI runtime exec failed"
NOT_STARTED: Final = (126, 127)
"""The exit codes of `docker exec` whose program could not be started."""


async def run_all(runner: CommandRunner, commands: Sequence[Command]) -> list[Outcome]:
    """Run commands side by side; the outcomes in the order of the commands, each with when it ended.

    One that could not even start (no docker CLI, a secret missing) is an outcome without an exit code, so that it
    takes no other with it.
    """
    outcomes = [Outcome(exit_code=None)] * len(commands)

    async def one(index: int, command: Command) -> None:
        try:
            outcome = await runner.run(command)
            outcomes[index] = outcome.model_copy(update={"ended_at": anyio.current_time()})
        except (EngineUnreachable, MissingSecret) as error:
            outcomes[index] = Outcome(exit_code=None, stderr=str(error))

    if len(commands) == 1:
        await one(0, commands[0])
        return outcomes
    async with anyio.create_task_group() as group:
        for index, command in enumerate(commands):
            group.start_soon(one, index, command)
    return outcomes


def failure_text(outcome: Outcome) -> str:
    """Why a command failed, in one line."""
    if outcome.timed_out:
        return f"the command was killed at its deadline after {outcome.duration_s:.1f} s"
    lines = outcome.stderr.strip().splitlines()
    # Of a start the docker command line tells the engine's reason first, and then once more that it failed.
    refusals = [line for line in lines if line.startswith(REFUSED)]
    if not lines and outcome.exit_code in NOT_STARTED:
        # Where a container has no such program, engines say so where its output would be.
        lines = [line for line in outcome.stdout.strip().splitlines() if line.startswith(RUNTIME)]
    return (refusals or lines or [f"exit code {outcome.exit_code}"])[-1]
