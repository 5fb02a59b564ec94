"""In which order the faults of dead executions are put back, and how long each may take. Pure judgement of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from coordinator.faults.looks import thaws
from coordinator.record import FaultRow

COMMAND_S: Final = 5.0
"""How long the command of an undo may take on a busy engine, beside what it has to wait for. Twice as long with each
attempt, up to LONGEST_COMMAND_S: one that takes longer than its time would be cut off for ever.
"""

LONGEST_COMMAND_S: Final = 40.0

LONGEST_S: Final = 60.0
"""A wait that is longer is the whole pass's: it goes on in the next one of the same process."""


def together(rows: Iterable[FaultRow]) -> list[list[FaultRow]]:
    """Those that share a container, directly or by way of others, in one group: only there the order counts."""
    groups: list[tuple[set[str], list[FaultRow]]] = []
    for row in rows:
        ids, own = {undo.container_id for undo in row.undos}, [row]
        for group in [group for group in groups if group[0] & ids]:
            groups.remove(group)
            ids |= group[0]
            own = group[1] + own
        groups.append((ids, own))
    return [sorted(own, key=_turn, reverse=True) for _, own in groups]


def least_s(row: FaultRow) -> float:
    """Seconds within which a row that is not stuck can be put back, also where nobody saw its effect."""
    waits = (max(undo.settle_s, undo.lingers_s) for undo in row.undos)
    command_s: float = min(COMMAND_S * 2.0 ** min(row.attempts, 10), LONGEST_COMMAND_S)
    return min(max(waits, default=0.0) + command_s, LONGEST_S)


def _turn(row: FaultRow) -> tuple[bool, float]:
    """Last fired first, but pauses before all."""
    at = row.fault.fired_at or row.fault.armed_at
    return thaws(row.undos), at.timestamp() if at is not None else 0.0
