"""A person's hand in a round: rehearsed before it, so that what must be there is known; then done beside it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tests.integration.sandbox import DockerFailed
from tests.torture.by_hand import BACK
from tests.torture.model import Act
from tests.torture.stage import Stage
from tests.torture.waiting import happens

SEEN_WITHIN_S = 30.0
LOOK_S = 0.02
GRACE_S = "20"
"""The containers end at once when asked to: what counts is that they are never killed by a stop."""


class Hand:
    """Does a round's act in a thread of its own; without an act it does nothing."""

    def __init__(self, act: Act | None, stage: Stage) -> None:
        """Nothing is done yet."""
        self._act = act
        self._stage = stage
        self._threads = ThreadPoolExecutor(1)
        self._doing: Future[None] | None = None
        self.refused = False
        """Whether the engine refused it, so that nothing was done. Known after `wait`."""
        self.late = False
        """Whether it was done too late for anything to be certain. Known after `wait`."""

    @contextlib.contextmanager
    def done(self) -> Iterator[None]:
        """What the act comes to is there meanwhile, as if nothing else had been."""
        if self._act is not None and self._act.leaves:
            self._do(self._act.leaves)
        yield
        self.take_back()

    def take_back(self) -> None:
        """As it was before the act."""
        if self._act is not None and self._act.leaves:
            verb = self._act.leaves
            with contextlib.suppress(DockerFailed):
                self._do(BACK.get(verb, "rename back"))

    def begin(self, told: Callable[[str, str], bool]) -> None:
        """The act's times count from now. `told`: whether the coordinator has told this event of the container of this
        name.
        """
        if self._act is not None:
            self._doing = self._threads.submit(self._acted, self._act, time.monotonic(), told)

    def first(self) -> None:
        """Wait where nothing may die before."""
        if self._act is not None and self._act.first:
            self.wait()

    def wait(self) -> None:
        """Until it is done. Raises AssertionError, DockerFailed."""
        if self._doing is not None:
            self._doing.result()

    def close(self) -> None:
        """Nothing is done any more, and nothing of it is left."""
        self._threads.shutdown()
        if self._doing is not None:
            self._doing = None
            self.take_back()

    def _acted(self, act: Act, begun: float, told: Callable[[str, str], bool]) -> None:
        name = self._stage.names[act.letter]
        if act.first:
            # Not before: what nobody saw being undone is taken for what was left.
            seen = happens(lambda: told("fault_effective", name), SEEN_WITHIN_S, LOOK_S)
            assert seen, f"{act.letter} was never paused, so that nobody could unpause it"
        time.sleep(act.at_s)
        for number, verb in enumerate(act.verbs):
            try:
                self._do(verb)
            except DockerFailed:
                if number or not act.refusable:
                    raise
                self.refused = True
                return
            if number + 1 < len(act.verbs):
                time.sleep(act.gap_s)
                seen = not act.first or happens(lambda: told("fault_interrupted", name), SEEN_WITHIN_S, LOOK_S)
                assert seen, f"it was never noticed that {act.letter} was unpaused"
        self.late = act.by_s is not None and time.monotonic() > begun + act.by_s

    def _do(self, verb: str) -> None:
        assert self._act is not None
        letter = self._act.letter
        identity, name = self._stage.ids[letter], self._stage.names[letter]
        match verb:
            case "stop":
                self._stage.docker("stop", "--time", GRACE_S, identity)
            case "rename":
                self._stage.docker("rename", identity, f"{name}-renamed")
            case "rename back":
                self._stage.docker("rename", identity, name)
            case _:
                self._stage.docker(verb, identity)
