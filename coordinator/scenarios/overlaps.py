"""Which faults of a phase cannot be on one container at the same time, though each could be alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from coordinator.faults.model import FaultPlan, FaultSpec
from coordinator.quantities import show_duration


def clashes(faults: Sequence[tuple[FaultSpec, FaultPlan]]) -> Iterator[str]:
    """A line for each pair of a phase's faults that would meet: both by their place in it, on whom, when, and why not.

    One that ends when the other begins does not meet it.
    """
    for (first, (one, its_plan)), (second, (other, other_plan)) in combinations(enumerate(faults), 2):
        why = one.beside(other) or other.beside(one)
        begins = max(one.at, other.at)
        ends = min(_end(one), _end(other))
        if not why or begins >= ends:
            continue
        hit = {target.container_id for target in other_plan.targets}
        both = [target.name for target in its_plan.targets if target.container_id in hit]
        if both:
            until = "the phase's end" if math.isinf(ends) else f"+{show_duration(ends)}"
            yield (
                f"faults[{first}], {one.type}, and faults[{second}], {other.type}, would both be on "
                f"{', '.join(both)} from +{show_duration(begins)} to {until}: {why}"
            )


def _end(fault: FaultSpec) -> float:
    return math.inf if fault.lasts is None else fault.at + fault.lasts
