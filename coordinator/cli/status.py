"""How things are: the coordinator, its actors, executions, outstanding faults and containers. Changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import listing, note, pairs, result, rows
from coordinator.cli.tools import Tools, Where, Whole, acts_on_coordinator, prints_json

if TYPE_CHECKING:
    from coordinator.ports import Candidate
    from coordinator.record import Execution

STATES: Final = ("queued", "preparing", "steady_state", "running", "undoing", "finished")


@click.command()
@prints_json
@acts_on_coordinator
@click.pass_obj
def containers(tools: Tools, *, as_json: bool, server: str | None, token_file: Path | None) -> None:
    """List the engine's containers: which may be a target, and why not where not."""

    async def ask() -> tuple[Candidate, ...]:
        async with tools.connect(tools.load(), Where(server, token_file), recovery=False) as control:
            return await control.candidates()

    found = anyio.run(ask)
    if as_json:
        result(listing([candidate.model_dump(mode="json") for candidate in found]))
        return
    lines = [
        (
            one.container.name,
            one.container.state.value,
            one.container.image,
            "/".join(filter(None, (one.container.compose_project, one.container.compose_service))) or "-",
            one.why_not or "may be a target",
        )
        for one in found
    ]
    result(rows(("name", "state", "image", "compose project/service", "target"), lines))


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated.")
@click.option("--limit", type=Whole(min=1), metavar="N", default=50, show_default=True, help="How many at most.")
@prints_json
@acts_on_coordinator
@click.pass_obj
def executions(
    tools: Tools, *, states: tuple[str, ...], limit: int, as_json: bool, server: str | None, token_file: Path | None
) -> None:
    """List the executions, newest first."""
    from coordinator.cli.overview import execution_object, execution_rows
    from coordinator.record import ExecutionState

    wanted = [ExecutionState(state) for state in states] or None

    async def ask() -> tuple[Execution, ...]:
        async with tools.connect(tools.load(), Where(server, token_file), recovery=False) as control:
            return await control.executions(wanted, limit)

    found = anyio.run(ask)
    result(listing([execution_object(one) for one in found]) if as_json else execution_rows(found))


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@click.option("--watch", is_flag=True, help="Look every second until Ctrl-C; with an ID until it is finished.")
@prints_json
@acts_on_coordinator
@click.pass_obj
def status(
    tools: Tools, *, execution_id: str | None, watch: bool, as_json: bool, server: str | None, token_file: Path | None
) -> int:
    """Health, the actor tree, active executions and outstanding faults; with an ID one execution."""
    where = Where(server, token_file)
    if watch:
        _watch(tools, where, execution_id, as_json=as_json)
        return exit_codes.OK
    return anyio.run(_status, tools, where, execution_id, as_json)


def _watch(tools: Tools, where: Where, execution_id: str | None, *, as_json: bool) -> None:
    from coordinator.cli import watching

    if execution_id is None:
        anyio.run(watching.watch, tools, where, watching.make_screen(as_json=as_json))
    elif as_json:
        raise click.UsageError("--json: with --watch only of the whole; an execution's report is JSON")
    else:
        result(anyio.run(watching.watch_one, tools, where, execution_id))


async def _status(tools: Tools, where: Where, execution_id: str | None, as_json: bool) -> int:  # noqa: FBT001  # a flag
    from coordinator.cli import overview

    async with tools.connect(tools.load(), where, recovery=False) as control:
        if execution_id is not None:
            execution = await control.execution(execution_id)
            result(json_text(overview.execution_object(execution)) if as_json else execution_text(execution))
            return exit_codes.OK
        seen = await overview.look(control)
    result(json_text(overview.overview_object(seen)) if as_json else overview.overview_text(seen))
    if not seen.owes_scan:
        return exit_codes.OK
    note("the ledger was damaged, and the engine is not scanned yet: more may be outstanding than is shown")
    return exit_codes.NOT_DONE


def execution_text(execution: Execution) -> str:
    """One execution: its facts, its faults, its assertions, and the events so far."""
    from coordinator.cli.live import event_line
    from coordinator.cli.overview import fault_rows
    from coordinator.record import stamp

    facts = [("execution", execution.id), ("scenario", execution.scenario), ("state", execution.state.value)]
    facts += [("phase", execution.phase)] if execution.phase else []
    facts += [("verdict", execution.verdict.value)] if execution.verdict else []
    facts += [("reason", execution.reason)] if execution.reason else []
    facts += [("undo", execution.undo.value), ("seed", str(execution.seed)), ("accepted", stamp(execution.created_at))]
    parts = [pairs(facts)]
    if execution.faults:
        parts.append(fault_rows(execution.faults))
    if execution.assertions:
        claims = [
            ("passed" if one.passed else "failed", one.phase, one.on, f"{one.metric} {one.expected}", one.actual)
            for one in execution.assertions
        ]
        parts.append(rows(("assertion", "phase", "on", "expected", "actual"), claims))
    if execution.timeline:
        parts.append("".join(event_line(entry) + "\n" for entry in execution.timeline))
    return "\n".join(parts)
