"""Who a supervisor deals with: one life of a child, which is also its context, and one who asks. No event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coordinator.supervision.errors import ChildRefused
from coordinator.supervision.events import Event, Impaired, Ready
from coordinator.supervision.spec import StopSignal


class Settable(StopSignal, Protocol):
    """A stop signal seen from the side that gives it."""

    def set(self) -> None:
        """Ask the child to stop."""


class Scope(Protocol):
    """What a body runs in, so that it can be cancelled alone."""

    @property
    def cancel_called(self) -> bool:
        """Whether it was cancelled."""
        ...

    def cancel(self, reason: str | None = None) -> None:
        """Cancel everything in it."""


class Life:
    """A child's body from its spawn to its end. Satisfies `ChildContext`, and is a nested supervisor's task status."""

    __slots__ = ("_make_signal", "_post", "_signal", "_told", "coroutine", "incarnation", "name", "path", "scope")

    def __init__(
        self,
        name: str,
        path: str,
        incarnation: int,
        *,
        post: Callable[[Event], None],
        scope: Scope,
        make_signal: Callable[[], Settable],
    ) -> None:
        """Prepare a life that has not begun."""
        self.name = name
        self.path = path
        self.incarnation = incarnation
        self.scope = scope
        self._make_signal = make_signal
        self._signal: Settable | None = None
        self._told = False
        self.coroutine: object = None
        self._post = post

    @property
    def asked(self) -> bool:
        """Whether its supervisor has asked it to stop, or cancelled it."""
        return self._told or self.scope.cancel_called

    @property
    def stopping(self) -> StopSignal:
        """Phase one of a stop. Made when first looked at: many a life ends without it."""
        if self._signal is None:
            self._signal = self._make_signal()
            if self._told:
                self._signal.set()
        return self._signal

    def ask_stop(self) -> None:
        """Ask the child to stop."""
        self._told = True
        if self._signal is not None:
            self._signal.set()

    def ready(self, value: object = None) -> None:
        """Say that the start is over; `value` is what `start_child` and `restart_child` return."""
        self._post(Ready(self.name, self.incarnation, value))

    def started(self, value: object = None) -> None:
        """Say the same in the words of a task status: a nested supervisor is ready when all its children are."""
        self.ready(value)

    def degraded(self, reason: str | None) -> None:
        """Say that the child runs but is impaired; None says that it no longer is."""
        self._post(Impaired(self.name, self.incarnation, reason))


class Request:
    """Somebody who waits for an answer of the supervisor's own task."""

    __slots__ = ("done", "refused", "value")

    def __init__(self, done: Settable) -> None:
        """Begin to wait."""
        self.done = done
        self.value: object = None
        self.refused: ChildRefused | None = None

    def resolve(self, value: object, refused: ChildRefused | None) -> None:
        """Give the answer."""
        self.value = value
        self.refused = refused
        self.done.set()
