"""Tells who was killed in a container for want of memory: a stressor of ours, or a process of the container's own.

The kernel counts what it kills in a cgroup, and does not say whom; which of ours were killed is known. Standard library
only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.docker.programs.load_target import Target

Tell = Callable[[str, str, str], None]
"""Is told an event, the container, and a text for a person."""

STRESSOR_KILLED: Final = "the kernel killed a stressor for want of memory, not the container"
CONTAINER_KILLED: Final = "the kernel killed a process of the container for want of memory, not a stressor"
SOMEBODY: Final = "a stressor was killed from outside"


class Killings:
    """In one container, from now on."""

    def __init__(self, target: Target, text: str = CONTAINER_KILLED) -> None:
        """Count from here; `text` says that a process of the container's own was killed."""
        self._target = target
        self._text = text
        self._counted = target.oom_kills()
        self._deaths: list[bool] = []
        """Of stressors that were killed, and not by us: whether it is to be told."""
        self._waited = False

    def died(self, *, told: bool) -> None:
        """A stressor was killed, and not by us; `told`: somebody else tells of it."""
        self._deaths.append(not told)

    def look(self, tell: Tell, *, last: bool = False) -> None:
        """Tell what has happened since; what does not add up is given until the next look, unless it is the last."""
        counted = self._target.oom_kills()
        if counted is None or self._counted is None:
            self._tell(tell, len(self._deaths), SOMEBODY)
            return
        killed = counted - self._counted
        if killed == len(self._deaths) == 0:
            return
        if killed != len(self._deaths) and not self._waited and not last:
            # A count and a death are not seen at the same instant.
            self._waited = True
            return
        self._counted, self._waited = counted, False
        others = killed - len(self._deaths)
        self._tell(tell, min(killed, len(self._deaths)), STRESSOR_KILLED)
        self._tell(tell, len(self._deaths), SOMEBODY)
        if others > 0:
            tell("out_of_memory", self._target.container, f"{self._text}{f' ({others} times)' * (others > 1)}")

    def _tell(self, tell: Tell, number: int, text: str) -> None:
        """Of so many deaths, those that are to be told, once."""
        deaths, self._deaths = self._deaths[:number], self._deaths[number:]
        if any(deaths):
            tell("ended", self._target.container, text)
