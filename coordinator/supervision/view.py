"""What the outside sees of a supervision tree: immutable, published after each transition, read without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class ChildState(Enum):
    """Where a child is in its life."""

    STARTING = "starting"  # its body runs and has not said that it is ready
    RUNNING = "running"
    BACKOFF = "backoff"  # crashed; waits for its restart
    STOPPING = "stopping"
    STOPPED = "stopped"  # not running: ended by itself, told to stop, or not yet its turn
    QUARANTINED = "quarantined"  # crashed too often; stays down until an operator resets it
    ABANDONED = "abandoned"  # cancelled, and still has not ended


ALIVE = (ChildState.RUNNING, ChildState.STARTING, ChildState.STOPPING, ChildState.ABANDONED)
"""The states in which a child's body exists."""


@dataclass(frozen=True, slots=True)
class ChildView:
    """One child, or the supervisor itself at the top of a snapshot, at one moment.

    `since` is when it entered its state, in seconds of the wall clock. `last_error` is one line about the latest end
    that was a failure. `degraded` is what a running child says is wrong with it. `finished`: it ended by itself as it
    may, or declined to run, so being stopped is no defect.
    """

    id: str
    path: str
    kind: str
    state: ChildState
    critical: bool
    incarnation: int
    restarts: int
    since: float
    last_error: str | None = None
    degraded: str | None = None
    finished: bool = False
    children: tuple[ChildView, ...] = ()

    def walk(self) -> Iterator[ChildView]:
        """This view and all below it, parents first; iterative, since a tree may be deeper than the stack."""
        pending = [self]
        while pending:
            view = pending.pop()
            yield view
            pending.extend(reversed(view.children))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A supervisor and all below it; `root` is the supervisor itself."""

    root: ChildView

    @property
    def children(self) -> tuple[ChildView, ...]:
        """The supervisor's own children, in start order."""
        return self.root.children

    def find(self, path: str) -> ChildView | None:
        """The child at a path like `running/abc`, relative to the supervisor or with its id in front; or None."""
        parts = path.split("/")
        if parts[0] == self.root.id and not any(child.id == parts[0] for child in self.root.children):
            parts = parts[1:]
        view: ChildView | None = self.root
        for part in parts:
            view = next((child for child in view.children if child.id == part), None) if view else None
        return view


@dataclass(frozen=True, slots=True)
class Counts:
    """How many children a supervisor has: known, with a body, and of each kind."""

    specs: int
    active: int
    supervisors: int
    workers: int


def count_children(view: ChildView) -> Counts:
    """Count the direct children of a view; one waiting for its restart has a spec and is not active."""
    supervisors = sum(child.kind == "supervisor" for child in view.children)
    return Counts(
        specs=len(view.children),
        active=sum(child.state in ALIVE for child in view.children),
        supervisors=supervisors,
        workers=len(view.children) - supervisors,
    )
