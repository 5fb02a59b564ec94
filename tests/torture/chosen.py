"""The rounds that `make test` plays: one of each death, and of those the ones that show most of all else. Found anew
where what is drawn changes, so that nothing that is added goes untried.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tests.torture.draw import draw
from tests.torture.model import LABELS_ALONE, Death, Round

AMONG: Final = range(2000)
"""Seeds; the rarest death comes at one in a hundred."""


def chosen() -> tuple[int, ...]:
    """A seed for each death, each adding the most to what those before it show; always the same ones."""
    by_death: defaultdict[Death, list[Round]] = defaultdict(list)
    for drawn in map(draw, AMONG):
        by_death[drawn.death].append(drawn)
    seen: set[str] = set()
    found = []
    # The rarest first: of the others there are more to choose from, for what is missing then.
    for rounds in sorted(by_death.values(), key=len):
        best = max(rounds, key=lambda drawn: (len(shows(drawn) - seen), len(shows(drawn))))
        seen |= shows(best)
        found.append(best.seed)
    return tuple(found)


def shows(drawn: Round) -> set[str]:
    """What a round tries beside its death: types of faults, what a person does, a second death, and two executions."""
    found = {str(fault["type"]) for faults in drawn.executions for fault in faults}
    found |= {f"{verb} before" for verb in drawn.person.values()}
    if drawn.act is not None:
        found |= {drawn.act.kind, *(f"{verb} by hand" for verb in drawn.act.verbs)}
    if drawn.again_s is not None:
        found.add("again")
    if len(drawn.executions) > 1:
        found.add("beside")
    if drawn.death in LABELS_ALONE and found & {"container_kill", "container_stop", "container_pause"}:
        found.add(f"undone by what a lock says after {drawn.death}")
    return found
