"""Keeps a supervisor's snapshot: renewed after each transition, here and in all supervisors above. Changes nothing."""

# ruff: noqa: SLF001 - the publishers of one tree know each other's insides
from __future__ import annotations

from collections.abc import Callable

from coordinator.supervision.state import Phase, Record, State
from coordinator.supervision.view import ChildState, ChildView, Snapshot

_PHASES = {
    Phase.BOOTING: ChildState.STARTING,
    Phase.RUNNING: ChildState.RUNNING,
    Phase.STOPPING: ChildState.STOPPING,
    Phase.DONE: ChildState.STOPPED,
}


class Publisher:
    """Turns a state into snapshots; parts that did not change are shared between them."""

    def __init__(self, state: State, on_snapshot: Callable[[Snapshot], None], parent: Publisher | None = None) -> None:
        """Publish the state as it is before its supervisor runs."""
        self._state = state
        self._on_snapshot = on_snapshot
        self._parent = parent
        self._nested: dict[str, Publisher] = {}
        self._views: dict[str, ChildView] = {}
        self._shown: Phase | None = None
        self._epoch = 0.0
        self.snapshot = Snapshot(self._own_view(ChildState.STOPPED))

    def begin(self, epoch: float) -> None:
        """The supervisor runs; `epoch` is the wall clock's time at zero of the event loop's clock, in seconds."""
        self._epoch = epoch

    def mute(self) -> None:
        """Call the hook no more."""
        self._on_snapshot = _ignore

    def below(self, name: str, state: State) -> Publisher:
        """The publisher of a nested supervisor that is about to run as the child `name`."""
        nested = self._nested[name] = Publisher(state, _ignore, self)
        return nested

    def detach(self, name: str) -> None:
        """A child has ended; if it was a supervisor, nothing is below it any more."""
        self._nested.pop(name, None)

    def publish(self) -> None:
        """Renew the snapshot if anything has changed. Iterative, since a tree may be deeper than the stack."""
        state = self._state
        if not state.touched and not state.removed and state.phase is self._shown:
            return
        self._shown = state.phase
        for name in state.removed:
            self._views.pop(name, None)
        for name in state.touched:
            self._views[name] = self._view(state.children[name])
        state.removed.clear()
        state.touched.clear()
        self._renew()
        publisher = self
        while publisher._parent is not None:
            name = state.path.rpartition("/")[2]
            publisher = publisher._parent
            state = publisher._state
            if name not in state.children or publisher._nested.get(name) is None:
                return
            publisher._views[name] = publisher._view(state.children[name])
            publisher._renew()
        publisher._on_snapshot(publisher.snapshot)

    def _renew(self) -> None:
        self.snapshot = Snapshot(self._own_view(_PHASES[self._state.phase]))

    def _view(self, record: Record) -> ChildView:
        spec = record.spec
        nested = self._nested.get(spec.id)
        return ChildView(
            id=spec.id,
            path=record.path,
            kind=spec.kind,
            state=record.state,
            critical=spec.critical,
            incarnation=record.incarnation,
            restarts=record.restarts,
            since=self._epoch + record.since,
            last_error=record.last_error,
            degraded=record.degraded,
            finished=record.finished,
            children=nested.snapshot.root.children if nested is not None else (),
        )

    def _own_view(self, state: ChildState) -> ChildView:
        return ChildView(
            id=self._state.spec.id,
            path=self._state.path,
            kind="supervisor",
            state=state,
            critical=True,
            incarnation=1,
            restarts=0,
            since=self._epoch + self._state.since,
            children=tuple(self._views.values()),
        )


def _ignore(_: Snapshot) -> None:
    """Stand in for a hook."""
