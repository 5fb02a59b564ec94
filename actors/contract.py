"""What an actor is: one object per process whose `run` is one life, called again by the supervisor after each death."""

from __future__ import annotations

from typing import Protocol

from coordinator.supervision import ChildContext


class Actor(Protocol):
    """Opens its resources in `run` and closes them there; what must outlive a life stands on the object."""

    @property
    def name(self) -> str:
        """Its id in the tree."""
        ...

    @property
    def critical(self) -> bool:
        """Whether the process is unhealthy without it."""
        ...

    async def run(self, life: ChildContext) -> None:
        """Live once: call `life.ready()` when up, tell `life.degraded(reason)`, return soon after `life.stopping`."""
        ...
