"""The quick pass: what can be put back at once is, newest first on each container. Whatever it leaves, and all
judgement of how it ended, is the recovery's that follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from coordinator.faults.needs import Need
from coordinator.warden.debts import START, UNPAUSE, Debt, Debts, Ledger, Owed
from coordinator.warden.engine import Engine
from coordinator.warden.story import Story

MAX_CHUNKS: Final = 4
"""Starting is slow: so many commands share the containers."""


def quick_pass(debts: Debts, engine: Engine, ledger: Ledger, story: Story) -> None:
    """Run the undos that are needed and quick. Raises EngineAway, sqlite3.Error."""
    engine_id = engine.id() if debts.fired or debts.owes_scan else ""
    waiting = [debt for debt in debts.fired if debt.engine_id == engine_id]
    held: set[str] = set()
    while waiting:
        turn = list(_unhindered(waiting, held))
        if not turn:
            return
        for debt in turn:
            waiting.remove(debt)
        # What was fired earlier on the same container waits until this is seen to be undone.
        for debt in _put_back(turn, engine, ledger, story):
            held |= debt.containers


def _unhindered(waiting: Sequence[Debt], held: set[str]) -> Iterator[Debt]:
    """The debts whose containers no newer one still holds; they are in order, newest first."""
    newer = set(held)
    for debt in waiting:
        if not debt.containers & newer:
            yield debt
        newer |= debt.containers


def _put_back(turn: Sequence[Debt], engine: Engine, ledger: Ledger, story: Story) -> list[Debt]:
    """Look, run, look again; returns those that still owe something, or may."""
    needed = {debt.fault_id: _needed(debt, engine, tried=()) for debt in turn}
    due = [(debt, [owed for owed in needed[debt.fault_id] if owed.quick]) for debt in turn]
    chapters = []
    for debt, quick in due:
        if quick:
            chapters.append(
                (debt, quick, story.continuing(debt.task, "warden", fault=debt.fault_id, fault_type=debt.fault_type))
            )
        # A start makes a run that must be known as ours, whatever becomes of this process meanwhile.
        starts = [owed.container_id for owed in quick if owed.quick == START]
        if starts:
            ledger.remember(debt.fault_id, starts)
    ran = engine.run(_commands([owed for _, quick in due for owed in quick]))
    for debt, quick, chapter in chapters:
        ids = {owed.container_id for owed in quick}
        for command in ran:
            if ids & set(command.argv):
                chapter.log(
                    "docker:command", argv=" ".join(("docker", *command.argv)), exit_code=command.exit_code,
                    duration=round(command.duration_s, 4), **({"error": command.error} if command.error else {}),
                )  # fmt: skip
        needed[debt.fault_id] = _needed(debt, engine, tried=ids)
        chapter.end(outcome="put back" if not needed[debt.fault_id] else "left to recovery")
    return [debt for debt in turn if needed[debt.fault_id] or any(owed.quick is None for owed in debt.owed)]


def _needed(debt: Debt, engine: Engine, *, tried: Sequence[str] | set[str]) -> list[Owed]:
    return [
        owed
        for owed in debt.owed
        if owed.need(engine.look(owed.container_id), tried=owed.container_id in tried) is Need.NEEDED
    ]


def _commands(quick: Sequence[Owed]) -> list[tuple[str, ...]]:
    """Few commands for many containers, as `faults.commands.batch` makes them."""
    paused = [owed.container_id for owed in quick if owed.quick == UNPAUSE]
    down = [owed.container_id for owed in quick if owed.quick == START]
    chunks = [down[first::MAX_CHUNKS] for first in range(min(MAX_CHUNKS, len(down)))]
    return [(UNPAUSE, *paused)] * bool(paused) + [(START, *chunk) for chunk in chunks]
