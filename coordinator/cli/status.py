"""How things are: the coordinator, its actors, executions, outstanding faults and containers. Changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import listing, pairs, result, rows
from coordinator.cli.tools import Tools, Where, acts_on_coordinator, prints_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from coordinator.ports import Candidate, Control
    from coordinator.record import Execution, Fault
    from coordinator.supervision import ChildView

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
        (one.container.name, one.container.state.value, one.container.image, one.why_not or "may be a target")
        for one in found
    ]
    result(rows(("name", "state", "image", "target"), lines))


@click.command()
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@prints_json
@acts_on_coordinator
@click.pass_obj
def executions(
    tools: Tools, *, states: tuple[str, ...], limit: int, as_json: bool, server: str | None, token_file: Path | None
) -> None:
    """List the executions, newest first."""
    from coordinator.record import ExecutionState

    wanted = [ExecutionState(state) for state in states] or None

    async def ask() -> tuple[Execution, ...]:
        async with tools.connect(tools.load(), Where(server, token_file), recovery=False) as control:
            return await control.executions(wanted, limit)

    found = anyio.run(ask)
    result(listing([_execution_object(execution) for execution in found]) if as_json else execution_rows(found))


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@prints_json
@acts_on_coordinator
@click.pass_obj
def status(
    tools: Tools, *, execution_id: str | None, as_json: bool, server: str | None, token_file: Path | None
) -> None:
    """Health, the actor tree, active executions and outstanding faults; with an ID one execution."""
    result(anyio.run(_status, tools, Where(server, token_file), execution_id, as_json))


async def _status(tools: Tools, where: Where, execution_id: str | None, as_json: bool) -> str:  # noqa: FBT001  # a flag
    async with tools.connect(tools.load(), where, recovery=False) as control:
        if execution_id is not None:
            execution = await control.execution(execution_id)
            return json_text(_execution_object(execution)) if as_json else execution_text(execution)
        return await _overview(control, as_json=as_json)


async def _overview(control: Control, *, as_json: bool) -> str:
    from coordinator.client import HttpControl
    from coordinator.record import ExecutionState

    active = [state for state in ExecutionState if state is not ExecutionState.FINISHED]
    running = isinstance(control, HttpControl)
    facts: list[tuple[str, str]] = [("coordinator", "not running here")]
    actors: tuple[ChildView, ...] = ()
    checks: dict[str, str] = {}
    if isinstance(control, HttpControl):
        told = await control.health()
        await control.refresh()
        actors, checks = control.tree().children, control.readiness().checks
        facts = [("coordinator", f"{told.instance} {told.version} at {control.url}"), ("health", told.status)]
    played, faults = await control.executions(active), await control.faults()
    if as_json:
        return json_text(
            {
                "running": running,
                "health": dict(facts).get("health"),
                "checks": dict(checks),
                "actors": [_actor_object(actor) for actor in actors],
                "executions": [_execution_object(execution) for execution in played],
                "faults": [fault.model_dump(mode="json", by_alias=True) for fault in faults],
            }
        )
    parts = [pairs([*facts, *checks.items()])]
    if actors:
        parts.append("actors\n" + "".join(actor_lines(actors)))
    parts.append("active executions\n" + execution_rows(played) if played else "no active executions\n")
    parts.append("outstanding faults\n" + fault_rows(faults) if faults else "no outstanding faults\n")
    if faults and not running:
        parts.append("test-coordinator recover undoes them\n")
    return "\n".join(parts)


def actor_lines(actors: Sequence[ChildView], depth: int = 1) -> list[str]:
    """The tree, a line an actor, children indented; with what is wrong where something is."""
    lines = []
    for actor in actors:
        restarts = f"  restarts {actor.restarts}" if actor.restarts else ""
        wrong = actor.degraded or actor.last_error
        reason = f"  {'degraded' if actor.degraded else 'last error'}: {wrong}" if wrong else ""
        lines.append(f"{'  ' * depth}{actor.id.ljust(24 - 2 * depth)}  {actor.state.value}{restarts}{reason}\n")
        lines += actor_lines(actor.children, depth + 1)
    return lines


def execution_rows(found: Sequence[Execution]) -> str:
    """A line an execution."""
    from coordinator.record import stamp

    lines = [
        (one.id, stamp(one.created_at), one.scenario, one.state.value, one.verdict.value if one.verdict else "-",
         one.undo.value)
        for one in found
    ]  # fmt: skip
    return rows(("id", "accepted", "scenario", "state", "verdict", "undo"), lines)


def fault_rows(found: Sequence[Fault]) -> str:
    """A line a fault, with the commands that undo it."""
    lines = [
        (one.id, one.type, ", ".join(target.name for target in one.targets) or one.target, one.state.value,
         "; ".join(one.undo_commands) or "-")
        for one in found
    ]  # fmt: skip
    return rows(("id", "type", "containers", "state", "undo"), lines)


def execution_text(execution: Execution) -> str:
    """One execution: its facts, its faults, its assertions, and the events so far."""
    from coordinator.cli.live import event_line
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


def _execution_object(execution: Execution) -> JsonValue:
    return execution.model_dump(mode="json", by_alias=True)


def _actor_object(actor: ChildView) -> JsonValue:
    """As the HTTP API shows it, with `degraded` beside."""
    from datetime import UTC, datetime

    from coordinator.record import stamp

    return {
        "id": actor.id,
        "path": actor.path,
        "state": actor.state.value,
        "critical": actor.critical,
        "incarnation": actor.incarnation,
        "restarts": actor.restarts,
        "since": stamp(datetime.fromtimestamp(actor.since, UTC)),
        "last_error": actor.last_error,
        "degraded": actor.degraded,
        "children": [_actor_object(child) for child in actor.children],
    }
