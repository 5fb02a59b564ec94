"""The tree as grpc.health.v1 tells it: one service for the process, one for each actor. Pure: a fold of a snapshot."""

from __future__ import annotations

from coordinator.metrics import actors_of
from coordinator.supervision import ChildState, Snapshot, health

OVERALL = ""
"""The service name that stands for the whole process."""


def serving(snapshot: Snapshot) -> dict[str, bool]:
    """Which services serve: the process when it is ready, an actor (by its id) when it runs, impaired or not."""
    found = {view.id: view.state is ChildState.RUNNING for view in actors_of(snapshot)}
    fold = health(snapshot)
    return found | {OVERALL: fold.live and fold.ready}
