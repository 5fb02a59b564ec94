"""`stop`: ends executions that run, and waits until what they did is undone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import note, result
from coordinator.cli.tools import Tools, Where, acts_on_coordinator

if TYPE_CHECKING:
    from coordinator.ports import Control


@click.command()
@click.argument("execution_id", metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="Every execution that has not finished.")
@acts_on_coordinator
@click.pass_obj
def stop(
    tools: Tools, *, execution_id: str | None, everything: bool, server: str | None, token_file: Path | None
) -> int:
    """Stop one execution, or all, undo what it did, and wait for that; exit code 5 when something is left broken."""
    if (execution_id is None) != everything:
        raise click.UsageError("either ID or --all")
    return anyio.run(_stop, tools, Where(server, token_file), execution_id)


async def _stop(tools: Tools, where: Where, execution_id: str | None) -> int:
    from coordinator.errors import Conflict

    code = exit_codes.OK
    async with tools.connect(tools.load(), where, recovery=False) as control:
        stopped = [execution_id] if execution_id is not None else await _active(control)
        for one in stopped:
            # Of all, one may have just finished by itself; a single one that has finished is an error.
            with contextlib.suppress(*([Conflict] if execution_id is None else [])):
                await control.stop(one, "stopped from the command line")
        for one in stopped:
            ended = await control.finished(one)
            verdict = ended.verdict.value if ended.verdict is not None else "none"
            result(f"{ended.id}  {verdict}  undo {ended.undo.value}\n")
            if exit_codes.of_execution(ended) == exit_codes.LEFT_BROKEN:
                code = exit_codes.LEFT_BROKEN
    if not stopped:
        note("no execution is running")
    return code


async def _active(control: Control) -> list[str]:
    from coordinator.record import ExecutionState

    states = [state for state in ExecutionState if state is not ExecutionState.FINISHED]
    return [execution.id for execution in await control.executions(states, 1000)]
