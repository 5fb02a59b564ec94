"""`report` and `logs`: what happened in an execution, from the record and from the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import result
from coordinator.cli.tools import Tools, Where, acts_on_coordinator

if TYPE_CHECKING:
    from coordinator.record import Report


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option(
    "--format", "form", type=click.Choice(["html", "json", "junit", "markdown"]), default="markdown",
    show_default=True, help="What to print.",
)  # fmt: skip
@acts_on_coordinator
@click.pass_obj
def report(tools: Tools, *, execution_id: str, form: str, server: str | None, token_file: Path | None) -> int:
    """Print the report of an execution, also of one that runs or was killed: from what is recorded of it."""
    from coordinator.reports import FORMATS

    async def ask() -> Report:
        async with tools.connect(tools.load(), Where(server, token_file), recovery=False) as control:
            return await control.report(execution_id)

    found = anyio.run(ask)
    result(FORMATS[form].render(found))
    return exit_codes.OK


@click.command()
@click.argument("execution_id", metavar="ID")
@click.pass_obj
def logs(tools: Tools, execution_id: str) -> int:
    """Print the causal tree of an execution, from the log in DATA_DIR."""
    from coordinator.errors import NotFound
    from coordinator.logging import LOG_FILE, tree_lines

    folder = (tools.load().data_dir / LOG_FILE).parent
    tree = tree_lines(folder, execution_id)
    if not tree:
        raise NotFound(f"execution {execution_id}: nothing of it in {folder}")
    result("\n".join(tree) + "\n")
    return exit_codes.OK
