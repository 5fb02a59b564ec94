"""In which order the faults of a phase are undone that end together: last fired first on each container, and none is
starved by another that cannot be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import anyio

from coordinator.faults.looks import thaws

if TYPE_CHECKING:
    from coordinator.scenarios.inject import Injection


def undone_first(injection: Injection, injections: Sequence[Injection]) -> Iterator[Injection]:
    """Those on one of its containers that froze it, or were fired later; as of when the first is asked for."""
    order = {one.key: (thaws(one.plan.undos), one.spec.at, index) for index, one in enumerate(injections)}
    for other in injections:
        if order[other.key] > order[injection.key] and set(other.container_ids) & set(injection.container_ids):
            yield other


async def turn(injection: Injection, first: Iterable[Injection], longest_s: float) -> float:
    """Wait until those that come first are undone, or give way, or so many seconds are over; how long that took."""
    clock = injection.tools.clock
    begun = clock.monotonic()
    with anyio.move_on_after(longest_s):
        for other in first:
            await (other.done if _held_by(other, injection) else other.gives_way).wait()
    return clock.monotonic() - begun


def _held_by(other: Injection, injection: Injection) -> bool:
    """Whether the order of these two counts even where the undo of the other keeps failing: one of the same type may
    have found there what this one did, and what was hit while it was frozen shows that only when it goes on.
    """
    return other.spec.type == injection.spec.type or thaws(other.plan.undos)
