"""What is told of a fault's effect beside that it was seen: what came of it in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from coordinator.packets import vain
from coordinator.record import FaultRow, FaultState


class Told(NamedTuple):
    """An entry for the timeline."""

    event: str
    text: str
    target: str | None = None


def undone(row: FaultRow) -> Iterator[Told]:
    """What an undo came to, by target; that the fault disturbed nobody; that it is still owed."""
    for target in row.fault.targets:
        if target.undone_at is not None:
            yield Told("fault_undone", target.outcome, target.name)
    if why := vain(row.fault):
        yield Told("fault_met_nothing", why, row.fault.target)
    if row.fault.state is FaultState.STUCK:
        yield Told("fault_stuck", row.last_error)
