"""What became of an undo, in a few words for a person."""

from __future__ import annotations

from typing import Final

from coordinator.faults.needs import Need

OUTCOMES: Final = {
    Need.DONE: "put back",
    Need.GONE: "container is gone: nothing to undo",
    Need.SUPERSEDED: "changed by somebody else since: left as it is",
}
OVER: Final = "it went with the run that it hit: nothing to undo"
RUN_OVER: Final = "the run that it hit is over: left as it is"
NOTHING_LEFT: Final = "nothing is left of it"
NO_EFFECT: Final = "no effect was seen: nothing to undo"
NETWORK_GONE: Final = "the network is gone: nothing to go back to"
NOT_OURS: Final = "somebody else was first: left as it is"
