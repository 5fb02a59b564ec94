"""`recover`: everything outstanding in the ledger is undone, or one fault is given up for a person to mend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import note, result
from coordinator.cli.tools import Tools, Where, acts_on_coordinator, prints_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coordinator.record import Fault


@click.command()
@click.option("--forget", "fault_id", metavar="ID", help="Give one fault up: nothing will undo it any more.")
@prints_json
@acts_on_coordinator
@click.pass_obj
def recover(tools: Tools, *, fault_id: str | None, as_json: bool, server: str | None, token_file: Path | None) -> int:
    """Undo everything outstanding; exit code 5 when something is left broken, with the commands to run."""
    where = Where(server, token_file)
    if fault_id is not None:
        return anyio.run(_forget, tools, where, fault_id)
    return anyio.run(_recover, tools, where, as_json)


async def _recover(tools: Tools, where: Where, as_json: bool) -> int:  # noqa: FBT001  # a flag
    settings = tools.load()
    # Looked at first: an embedded coordinator undoes at its start, before it can be asked what there was.
    async with tools.connect(settings, where, recovery=False) as control:
        before = {fault.id: fault for fault in await control.faults()}
    failed: dict[str, str] = {}
    after: dict[str, Fault] = {}
    if before:
        async with tools.connect(settings, where, recovery=True) as control:
            failed = dict((await control.undo_all("recover")).failed)
            after = {fault.id: fault for fault in await control.faults()}
    undone = [fault for fault in before.values() if fault.id not in after]
    left = [fault for fault in before.values() if fault.id in after]
    if as_json:
        result(json_text({"undone": [fault.id for fault in undone], "failed": {**_reasons(left, failed)}}))
    else:
        for fault in undone:
            result(f"undone  {_words(fault)}\n")
        if not before:
            note("nothing is outstanding")
    for fault in left:
        note(f"not undone  {_words(fault)}: {_reasons([fault], failed)[fault.id]}")
        for command in fault.undo_commands:
            note(f"  {command}")
    return exit_codes.LEFT_BROKEN if left else exit_codes.OK


async def _forget(tools: Tools, where: Where, fault_id: str) -> int:
    from coordinator.errors import NotFound

    async with tools.connect(tools.load(), where, recovery=False) as control:
        fault = next((fault for fault in await control.faults() if fault.id == fault_id), None)
        if fault is None:
            raise NotFound(f"fault {fault_id}: is not outstanding; `test-coordinator status` lists those that are")
        await control.forget(fault_id)
    result(f"forgotten  {_words(fault)}\n")
    if fault.undo_commands:
        note("nothing will undo it any more; run:")
        for command in fault.undo_commands:
            note(f"  {command}")
    return exit_codes.OK


def _reasons(left: list[Fault], failed: Mapping[str, str]) -> dict[str, str]:
    return {fault.id: failed.get(fault.id, f"still {fault.state.value}") for fault in left}


def _words(fault: Fault) -> str:
    names = ", ".join(target.name for target in fault.targets) or fault.target
    return f"{fault.type} on {names} ({fault.id})"
