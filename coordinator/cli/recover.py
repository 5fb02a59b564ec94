"""`recover`: everything outstanding in the ledger is undone; with `--scan` also what the engine shows without a ledger;
or one fault is given up for a person to mend.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import note, result, rows
from coordinator.cli.tools import Tools, Where, acts_on_coordinator, prints_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coordinator.faults.leftovers import ScanReport
    from coordinator.ports import Control
    from coordinator.record import Fault


def _names(_ctx: click.Context, _parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that an instance can have. Raises BadParameter: a scan for none of that name would find nothing to do."""
    from coordinator.identity import NAME_ALLOWED, is_name

    for name in names:
        if not is_name(name):
            raise click.BadParameter(f"{name!r}: allowed: {NAME_ALLOWED}")
    return names


@click.command()
@click.option("--scan", is_flag=True, help="Also put back what the engine itself shows to be left: needs no ledger.")
@click.option(
    "--instance", "instances", metavar="NAME", multiple=True, callback=_names,
    help="With --scan: a coordinator that is gone, whose leftovers are put back too; may be repeated.",
)  # fmt: skip
@click.option("--forget", "fault_id", metavar="ID", help="Give one fault up: nothing will undo it any more.")
@prints_json
@acts_on_coordinator
@click.pass_obj
def recover(
    tools: Tools,
    *,
    scan: bool,
    instances: tuple[str, ...],
    fault_id: str | None,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
) -> int:
    """Undo everything outstanding; exit code 5 when something is left broken, with the commands to run."""
    where = Where(server, token_file)
    if fault_id is not None and scan:
        raise click.UsageError("--forget and --scan: give one of them")
    if instances and not scan:
        raise click.UsageError("--instance goes with --scan")
    if fault_id is not None:
        return anyio.run(_forget, tools, where, fault_id)
    return anyio.run(_recover, tools, where, as_json, instances if scan else None)


class _Done(NamedTuple):
    """What was outstanding before and after, why, and what a scan found. `lost`: a damaged ledger knew of more; then
    `unseen` says why the engine could not be scanned for it.
    """

    before: Mapping[str, Fault]
    after: Mapping[str, Fault]
    failed: Mapping[str, str]
    lost: bool
    scanned: ScanReport | None
    unseen: str

    @property
    def left(self) -> list[Fault]:
        """What is still outstanding."""
        return [fault for fault in self.before.values() if fault.id in self.after]

    @property
    def undone(self) -> list[Fault]:
        """What is no more."""
        return [fault for fault in self.before.values() if fault.id not in self.after]


async def _recover(tools: Tools, where: Where, as_json: bool, instances: tuple[str, ...] | None) -> int:  # noqa: FBT001  # a flag
    done = await _done(tools, where, instances)
    if as_json:
        told = {"undone": [fault.id for fault in done.undone], "failed": {**_reasons(done.left, done.failed)}}
        told |= {"ledger_lost": done.unseen or "the engine was scanned"} if done.lost else {}
        result(json_text(told | (done.scanned.model_dump(mode="json") if done.scanned is not None else {})))
    else:
        for fault in done.undone:
            result(f"undone  {_words(fault)}\n")
        if done.lost:
            note("the ledger was damaged: what it knew of faults is put back from what the engine shows")
        elif not done.before:
            note("nothing is outstanding")
        if done.scanned is not None:
            _tell(done.scanned)
    for fault in done.left:
        note(f"not undone  {_words(fault)}: {_reasons([fault], done.failed)[fault.id]}")
        _tell_commands(fault.undo_commands)
    if done.unseen:
        note(f"the engine could not be scanned, something may be left broken: {done.unseen}")
        note("once it answers, run `test-coordinator recover` again")
    left = done.scanned is not None and _tell_left(done.scanned)
    return exit_codes.LEFT_BROKEN if left or done.left or done.unseen else exit_codes.OK


async def _done(tools: Tools, where: Where, instances: tuple[str, ...] | None) -> _Done:
    settings = tools.load()
    # Looked at first: an embedded coordinator undoes at its start, before it can be asked what there was.
    async with tools.connect(settings, where, recovery=False) as control:
        before, lost = await _owed(control, even_without_ledger=instances is not None)
    failed: dict[str, str] = {}
    after: dict[str, Fault] = {}
    scanned: ScanReport | None = None
    unseen = ""
    if before or lost or instances is not None:
        async with tools.connect(settings, where, recovery=True) as control:
            if before:
                failed = dict((await control.undo_all("recover")).failed)
                after = await _outstanding(control)
            if lost:
                scanned, unseen = await _sought(control, instances or ())
            elif instances is not None:
                scanned = await control.scan(instances)
    return _Done(before, after, failed, lost, scanned, unseen)


async def _owed(control: Control, *, even_without_ledger: bool) -> tuple[dict[str, Fault], bool]:
    """What is outstanding, and whether more may be, which a damaged ledger knew.

    Raises LedgerUnavailable, unless the engine is to be looked at all the same.
    """
    from coordinator.cli.overview import owes_scan
    from coordinator.errors import LedgerDamaged, LedgerUnavailable

    try:
        return await _outstanding(control), await owes_scan(control)
    except LedgerDamaged:
        return {}, True
    except LedgerUnavailable as error:
        if not even_without_ledger:
            raise
        note(f"what the ledger knows cannot be read: {error}")
        return {}, False


async def _outstanding(control: Control) -> dict[str, Fault]:
    return {fault.id: fault for fault in await control.faults()}


async def _sought(control: Control, instances: tuple[str, ...]) -> tuple[ScanReport | None, str]:
    """What the engine showed of what the ledger knew; or why it could not be asked."""
    from coordinator.errors import EngineUnreachable

    try:
        return await control.scan(instances), ""
    except EngineUnreachable as away:
        return None, str(away)


def _tell(report: ScanReport) -> None:
    """Everything found, whose it is and what was done."""
    if report.found:
        names = ("what", "name", "where", "state", "why", "done")
        table = [(each.kind, each.name, each.where, each.state, each.why, each.text) for each in report.found]
        result(rows(names, table))
    else:
        note("the engine shows nothing of any coordinator's")
    for each in report.unable:
        note(f"not looked at: {each}")


def _tell_left(report: ScanReport) -> bool:
    """The commands for what is left; whether anything is."""
    for each in report.left:
        note(f"left  {each.kind} on {each.where}: {each.text or each.why}")
        _tell_commands(each.commands)
    return bool(report.left)


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
        _tell_commands(fault.undo_commands)
    return exit_codes.OK


def _tell_commands(commands: Sequence[str]) -> None:
    """As they can be pasted."""
    from coordinator.faults.commands import by_hand

    for command in by_hand(commands):
        note(f"  {command}")


def _reasons(left: list[Fault], failed: Mapping[str, str]) -> dict[str, str]:
    return {fault.id: failed.get(fault.id, f"still {fault.state.value}") for fault in left}


def _words(fault: Fault) -> str:
    names = ", ".join(target.name for target in fault.targets) or fault.target
    return f"{fault.type} on {names} ({fault.id})"
