"""What undos have to know of their targets as they were, read by helpers when a fault is armed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.faults.model import FaultPlan
from coordinator.ports import CommandRunner
from coordinator.scenarios.side_by_side import failure_text, run_all

if TYPE_CHECKING:
    from coordinator.scenarios.telling import Tell


async def keeping(plan: FaultPlan, runner: CommandRunner, execution_id: str, fault_id: str, tell: Tell) -> FaultPlan:
    """The plan with what was read. What cannot be, as without a helper, is told: that part of the undo is left out."""
    asked = {each: each.keep.on_behalf(execution_id, fault_id) for each in plan.targets if each.keep is not None}
    outcomes = dict(zip(asked, await run_all(runner, list(asked.values())), strict=True))
    targets = []
    for target in plan.targets:
        outcome = outcomes.get(target)
        if outcome is None:
            targets.append(target)
            continue
        targets.append(target.with_kept(outcome.stdout.strip() if outcome.ok else None))
        if not outcome.ok:
            text = f"its undo will not be exact: {failure_text(outcome)}"
            tell("fault_undo_inexact", text, fault=fault_id, target=target.name)
    return plan.model_copy(update={"targets": tuple(targets)})
