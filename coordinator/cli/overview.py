"""How the coordinator is, as one picture: health, actors, active executions, outstanding faults; as text and as JSON.
Asks, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from coordinator.cli.output import pairs, rows
from coordinator.client import HttpControl
from coordinator.faults.commands import by_hand
from coordinator.plain_text import one_line
from coordinator.record import ENDED, SCAN_OWED, Execution, ExecutionState, Fault, stamp

if TYPE_CHECKING:
    from pydantic import JsonValue

    from coordinator.ports import Control
    from coordinator.supervision import ChildView

ACTIVE = tuple(state for state in ExecutionState if state is not ExecutionState.FINISHED)


class Overview(NamedTuple):
    """What was found. `where` and `health` are of a coordinator that runs; without one the ledger alone was read."""

    where: str | None
    health: str | None
    checks: Mapping[str, str]
    actors: tuple[ChildView, ...]
    executions: tuple[Execution, ...]
    faults: tuple[Fault, ...]

    @property
    def running(self) -> bool:
        """Whether a coordinator runs."""
        return self.where is not None

    @property
    def owes_scan(self) -> bool:
        """Whether more may be outstanding, which a damaged ledger knew."""
        return SCAN_OWED in self.checks.get("ledger", "")


async def look(control: Control) -> Overview:
    """Ask for everything. Raises NoAnswer, LedgerUnavailable."""
    where = health = None
    checks: Mapping[str, str] = {}
    actors: tuple[ChildView, ...] = ()
    if isinstance(control, HttpControl):
        told = await control.health()
        await control.refresh()
        where, health = f"{told.instance} {told.version} at {control.url}", told.status
        actors, checks = control.tree().children, control.readiness().checks
    return Overview(where, health, checks, actors, await control.executions(ACTIVE), await control.faults())


async def owes_scan(control: Control) -> bool:
    """Whether a coordinator that runs has not scanned the engine yet for what its damaged ledger knew. Raises NoAnswer.

    One that is embedded, and only looks, raises LedgerDamaged at whatever it is asked.
    """
    if not isinstance(control, HttpControl):
        return False
    await control.refresh()
    return SCAN_OWED in control.readiness().checks.get("ledger", "")


def head_text(seen: Overview) -> str:
    """The coordinator with its health and checks, and the tree of its actors."""
    facts = [("coordinator", seen.where or "not running here")]
    facts += [] if seen.health is None else [("health", seen.health)]
    text = pairs([*facts, *seen.checks.items()])
    return text + "\nactors\n" + "".join(actor_lines(seen.actors)) if seen.actors else text


def executions_text(seen: Overview) -> str:
    """The active executions, a line each."""
    return "active executions\n" + execution_rows(seen.executions) if seen.executions else "no active executions\n"


def faults_text(seen: Overview) -> str:
    """The outstanding faults with what undoes them."""
    text = "outstanding faults\n" + fault_rows(seen.faults) if seen.faults else "no outstanding faults\n"
    return text + "\ntest-coordinator recover undoes them\n" if seen.faults and not seen.running else text


def overview_text(seen: Overview) -> str:
    """All of it."""
    return "\n".join((head_text(seen), executions_text(seen), faults_text(seen)))


def overview_object(seen: Overview) -> JsonValue:
    """All of it for programs."""
    return {
        "running": seen.running,
        "health": seen.health,
        "checks": dict(seen.checks),
        "actors": [_actor_object(actor) for actor in seen.actors],
        "executions": [execution_object(execution) for execution in seen.executions],
        "faults": [fault.model_dump(mode="json", by_alias=True) for fault in seen.faults],
    }


def actor_lines(actors: Sequence[ChildView], depth: int = 1) -> list[str]:
    """The tree, a line an actor, children indented; with what is wrong where something is."""
    lines = []
    for actor in actors:
        restarts = f"  restarts {actor.restarts}" if actor.restarts else ""
        wrong = actor.degraded or actor.last_error
        reason = f"  {'degraded' if actor.degraded else 'last error'}: {one_line(wrong)}" if wrong else ""
        lines.append(f"{'  ' * depth}{actor.id.ljust(24 - 2 * depth)}  {actor.state.value}{restarts}{reason}\n")
        lines += actor_lines(actor.children, depth + 1)
    return lines


def execution_rows(found: Sequence[Execution]) -> str:
    """A line an execution."""
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
         "; ".join(one.undo_commands if one.state in ENDED else by_hand(one.undo_commands)) or "-")
        for one in found
    ]  # fmt: skip
    return rows(("id", "type", "containers", "state", "undo"), lines)


def execution_object(execution: Execution) -> JsonValue:
    """One execution for programs."""
    return execution.model_dump(mode="json", by_alias=True)


def _actor_object(actor: ChildView) -> JsonValue:
    """As the HTTP API shows it, with `degraded` beside."""
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
