"""The supervisor at work: carries decisions out on anyio, and turns what children do into events. Decides nothing."""

# ruff: noqa: SLF001 - the supervisors of one tree know each other's insides
from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from coordinator.supervision import commands, events
from coordinator.supervision.backoff import RandomSource
from coordinator.supervision.bodies import Life, Request
from coordinator.supervision.decide import decide
from coordinator.supervision.errors import ChildRefused, Refusal
from coordinator.supervision.exits import classify, suspended_at
from coordinator.supervision.outcome import Outcome
from coordinator.supervision.publish import Publisher
from coordinator.supervision.reports import Report
from coordinator.supervision.spec import ChildSpec, SupervisorSpec
from coordinator.supervision.state import Phase, State
from coordinator.supervision.view import ChildState, Snapshot

LAST_STOP_S: Final = 60.0  # how long a supervisor that was cancelled, or whose hook failed, sees its children end


def _ignore(_: object) -> None:
    """Stand in for a hook that was not given."""


class Supervisor:
    """Runs a supervision tree. One instance runs once; all methods belong to the event loop's thread.

    Args:
        spec: what to run.
        clock: seconds of the wall clock, for people; deadlines are on the event loop's own clock.
        random: jitter of the delays between restarts.
        report: called with each report, by the supervisor's own task; it must not block.
        on_snapshot: called with each new snapshot, likewise.
    """

    def __init__(
        self,
        spec: SupervisorSpec,
        *,
        clock: Callable[[], float],
        random: RandomSource,
        report: Callable[[Report], None] = _ignore,
        on_snapshot: Callable[[Snapshot], None] = _ignore,
    ) -> None:
        """Prepare; nothing runs before `run`."""
        self.spec = spec
        self.path = spec.id
        self._clock = clock
        self._random = random
        self._report = report
        self._parent: tuple[Supervisor, Life] | None = None
        self._state = State(spec, self.path, lives={})
        self._publisher = Publisher(self._state, on_snapshot)
        self._inbox: deque[events.Event] = deque()
        self._todo: deque[commands.Command] = deque()
        self._wake: anyio.Event | None = None
        self._lives: dict[str, Life] = {}
        self._nested: dict[str, Supervisor] = {}
        self._requests: dict[int, Request] = {}
        self._request_count = 0
        self._alarm: anyio.CancelScope | None = None
        self._armed = math.inf
        self._ran = False
        self._group: TaskGroup
        self._cancelled_type: type[BaseException]
        self._outcome: Outcome | None = None
        self._abandoned: tuple[str, ...] = ()
        self._task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
        self._stopped = anyio.Event()

    # --- running ------------------------------------------------------------------------------------------------------
    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Start the children in order, keep them running, and return after a clean stop.

        `task_status` is told once every child has had its turn to start. Cancelling this call cancels all children at
        once; `request_stop` stops them in order. It returns only when every child has ended: `wait_stopped` does not
        wait for abandoned ones.

        Raises:
            StartFailed: a child that the supervisor needs did not start.
            Escalated: a critical child crashed more often than the budget allows.
            SystemExit: a child raised it; all others were stopped in order first. KeyboardInterrupt likewise.
            BaseExceptionGroup: a hook (report, on_snapshot, random) raised; the children were stopped in order first.
        """
        if self._ran:
            raise RuntimeError(f"supervisor {self.path} has run already: make a new one")
        self._ran = True
        self._cancelled_type = anyio.get_cancelled_exc_class()
        self._task_status = task_status
        self._publisher.begin(epoch=self._clock() - anyio.current_time())
        self._inbox.appendleft(events.Boot())
        try:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._watch_time, name=f"{self.path}:time")
                await self._serve_to_the_end()
                self._group.cancel_scope.cancel(reason="the supervisor has finished")
        finally:
            self._close()
        error = self._outcome.error(self.path) if self._outcome is not None else None
        if error is not None:
            raise error

    def request_stop(self, reason: str, grace_s: float = math.inf) -> None:
        """Ask for an ordered stop, last child first: each is asked, then cancelled. Does not wait; idempotent.

        `grace_s` shortens the grace of every child, also of the ones that are being stopped already.
        """
        self._post(events.StopRequested(reason, grace_s))

    async def wait_stopped(self) -> tuple[str, ...]:
        """Wait until all is stopped that can be; the paths of abandoned children, which hold `run` back."""
        await self._stopped.wait()
        return self._abandoned

    # --- operators ----------------------------------------------------------------------------------------------------
    # Every `path` is an id, or leads to a child of a nested supervisor, like `running/abc`. Beside the reasons listed,
    # a ChildRefused may say UNKNOWN, or NOT_RUNNING when this supervisor, or one on the way, does not run.
    async def start_child(self, spec: ChildSpec, under: str = "") -> object:
        """Add a child, to this supervisor or to the nested one at `under`; returns what it gave to `ready`.

        Raises:
            SpecError: this supervisor cannot have such a child.
            ChildRefused: RUNNING, PRESENT, RESTARTING, STOPPING, QUARANTINED, ABANDONED, DRAINING, DECLINED,
                START_FAILED (the spec is not kept).
        """
        supervisor, name = self._resolve(f"{under}/{spec.id}" if under else spec.id)
        supervisor.spec.check_child(spec)
        return await supervisor._ask(lambda ref: events.StartChild(ref, spec), name)

    async def terminate_child(self, path: str) -> None:
        """Stop a child and keep its spec, unless it is temporary or in a pool. Terminating twice is fine.

        Raises:
            ChildRefused: ABANDONED (it was cancelled and did not end).
        """
        await self._request(path, events.TerminateChild)

    async def restart_child(self, path: str) -> object:
        """Start a stopped child; returns what it gave to `ready`.

        Raises:
            ChildRefused: RUNNING, RESTARTING, STOPPING, QUARANTINED, ABANDONED, DRAINING, POOL_MEMBER, DECLINED,
                START_FAILED (the spec is kept).
        """
        return await self._request(path, events.RestartChild)

    async def delete_child(self, path: str) -> None:
        """Forget the spec of a child that is down.

        Raises:
            ChildRefused: RUNNING, RESTARTING, STOPPING, ABANDONED, DRAINING, POOL_MEMBER.
        """
        await self._request(path, events.DeleteChild)

    async def reset_child(self, path: str) -> object:
        """Forgive a quarantined child, or one that waits for its restart, and start it.

        Raises:
            ChildRefused: NOT_QUARANTINED, DRAINING, DECLINED, START_FAILED (it is retried).
        """
        return await self._request(path, events.ResetChild)

    async def crash_child(self, path: str) -> None:
        """End a child's body from outside without asking it; it counts as a crash. Returns when it has ended.

        Raises:
            ChildRefused: NOT_RUNNING, ABANDONED.
        """
        await self._request(path, events.CrashChild)

    async def ping(self) -> None:
        """Return once the supervisor's own task has answered; put a deadline around it."""
        await self._ask(events.Ping, "")

    # --- looking ------------------------------------------------------------------------------------------------------
    @property
    def snapshot(self) -> Snapshot:
        """The tree as it was after the latest transition. Never waits."""
        return self._publisher.snapshot

    def child_spec(self, path: str) -> ChildSpec:
        """The specification of a child; that of a temporary one without what it was started with."""
        supervisor, name = self._resolve(path)
        if name not in supervisor._state.children:
            raise ChildRefused(f"{supervisor.path}/{name}", Refusal.UNKNOWN)
        return supervisor._state.children[name].spec

    def _resolve(self, path: str) -> tuple[Supervisor, str]:
        parts = path.split("/")
        if len(parts) > 1 and parts[0] == self.spec.id and parts[0] not in self._state.children:
            parts = parts[1:]
        supervisor = self
        for part in parts[:-1]:
            there = f"{supervisor.path}/{part}"
            if part not in supervisor._state.children:
                raise ChildRefused(there, Refusal.UNKNOWN)
            if part not in supervisor._nested:
                raise ChildRefused(there, Refusal.NOT_RUNNING)
            supervisor = supervisor._nested[part]
        return supervisor, parts[-1]

    async def _request(self, path: str, make: Callable[[int, str], events.Event]) -> object:
        supervisor, name = self._resolve(path)
        return await supervisor._ask(lambda ref: make(ref, name), name)

    async def _ask(self, make: Callable[[int], events.Event], name: str) -> object:
        """Put a request into the mailbox: only the supervisor's own task starts children, in its own context."""
        if not self._ran or self._stopped.is_set():
            raise ChildRefused(f"{self.path}/{name}" if name else self.path, Refusal.NOT_RUNNING)
        self._request_count += 1
        request = self._requests[self._request_count] = Request(anyio.Event())
        self._post(make(self._request_count))
        await request.done.wait()
        if request.refused is not None:
            raise request.refused
        return request.value

    # --- the supervisor's own task ------------------------------------------------------------------------------------
    async def _serve_to_the_end(self) -> None:
        orderly = False
        try:
            await self._serve()
            orderly = True
        finally:
            if not orderly:
                cancelled = anyio.current_effective_deadline() == -math.inf
                if cancelled:
                    # The children are cancelled too, all at once; what is left is to see them end.
                    self.request_stop("cancelled with its supervisor", grace_s=0.0)
                else:
                    # A hook failed. It is not asked again, and the children are stopped before the error goes on.
                    self._report = _ignore
                    self._publisher.mute()
                    self.request_stop("the supervisor has failed")
                with anyio.move_on_after(LAST_STOP_S, shield=True):
                    await self._serve()

    async def _serve(self) -> None:
        while True:
            self._drain()
            if self._outcome is not None:
                return
            self._wake = anyio.Event()
            await self._wake.wait()

    def _post(self, event: events.Event) -> None:
        self._inbox.append(event)
        if self._wake is not None:
            self._wake.set()

    def _drain(self) -> None:
        state = self._state
        while self._todo or self._inbox:
            while self._todo:
                # Taken off first: a hook that raises loses its own command only.
                self._todo.popleft().perform(self)
            if self._inbox:
                event = self._inbox.popleft()
                if state.phase is not Phase.DONE:
                    self._todo.extend(decide(state, event, anyio.current_time(), self._random.random))
        due = state.next_due()
        if due < self._armed:
            self._armed = due
            if self._alarm is not None:
                self._alarm.deadline = due
        self._publisher.publish()

    async def _watch_time(self) -> None:
        """Wake the supervisor when a timer is due. One that became void wakes it for nothing, which is harmless."""
        while True:
            with anyio.CancelScope(deadline=self._armed) as self._alarm:
                await anyio.sleep_forever()
            self._armed = math.inf
            self._post(events.Tick())

    def _close(self) -> None:
        """Whatever ended the supervisor: nobody is left waiting, and the last snapshot shows it stopped."""
        state = self._state
        state.phase = Phase.DONE
        for record in state.children.values():
            if record.alive:
                record.state = ChildState.STOPPED
                record.since = anyio.current_time()
                state.touched[record.spec.id] = None
        for request in self._requests.values():
            request.resolve(None, ChildRefused(self.path, Refusal.NOT_RUNNING))
        self._requests.clear()
        self._outcome = self._outcome or state.outcome
        self._stopped.set()
        self._publisher.publish()

    # --- carrying out commands ----------------------------------------------------------------------------------------
    def spawn(self, command: commands.Spawn) -> None:
        """Begin a life."""
        name, path, spec = command.child, command.path, command.spec
        scope = anyio.CancelScope()
        life = Life(name, path, command.incarnation, post=self._post, scope=scope, make_signal=anyio.Event)
        self._lives[name] = life
        run: Callable[[], Awaitable[object]]
        if isinstance(spec.start, SupervisorSpec):
            nested = self._nested[name] = self._nest(spec.start, life)
            run = partial(nested.run, task_status=life)
        else:
            run = partial(spec.start, life)
        self._group.start_soon(self._live, life, scope, run, spec.quarantine_on, name=f"{path}#{life.incarnation}")

    def ask_stop(self, command: commands.AskStop) -> None:
        """Phase one of a stop."""
        if life := self._lives.get(command.child):
            life.ask_stop()
        self._stop_nested(command.child, command.reason, command.grace_s)

    def cancel(self, command: commands.Cancel) -> None:
        """Phase two of a stop."""
        if life := self._lives.get(command.child):
            life.scope.cancel(command.reason)

    def hurry(self, command: commands.Hurry) -> None:
        """Shorten a nested supervisor's stop."""
        self._stop_nested(command.child, command.reason, command.grace_s)

    def _stop_nested(self, name: str, reason: str, grace_s: float) -> None:
        if name in self._nested:
            self._nested[name].request_stop(reason, grace_s)

    def inspect(self, command: commands.Inspect) -> None:
        """Find out where a child hangs."""
        if life := self._lives.get(command.child):
            self._post(events.Stuck(life.name, life.incarnation, suspended_at(life.coroutine)))

    def answer(self, command: commands.Answer) -> None:
        """Give a requester what he waits for."""
        self._requests.pop(command.ref).resolve(command.value, None)

    def refuse(self, command: commands.Refuse) -> None:
        """Tell a requester why not."""
        self._requests.pop(command.ref).resolve(None, ChildRefused(command.path, command.reason, command.cause))

    def emit(self, command: commands.Emit) -> None:
        """Hand out a report."""
        self._report(command.report)

    def become_ready(self, _: commands.BecomeReady, /) -> None:
        """Say that all children are up."""
        self._task_status.started()

    def finish(self, command: commands.Finish) -> None:
        """End the supervisor; a parent is not kept waiting for what is abandoned here."""
        self._outcome = command.outcome
        self._abandoned = command.abandoned
        self._stopped.set()
        if command.abandoned and self._parent is not None:
            parent, life = self._parent
            parent._post(events.Stuck(life.name, life.incarnation, f"because of {', '.join(command.abandoned)}"))

    # --- children -----------------------------------------------------------------------------------------------------
    async def _live(
        self,
        life: Life,
        scope: anyio.CancelScope,
        run: Callable[[], Awaitable[object]],
        quarantine_on: tuple[type[Exception], ...],
    ) -> None:
        """Run one life to its very end. Nothing leaves it but the news of its end."""
        error: BaseException | None = None
        try:
            with scope:
                life.coroutine = body = run()
                del run  # a body may let go of what it was started with
                await body
        except BaseException as caught:  # noqa: BLE001 - the one place where a child's end is classified
            error = caught
        finally:
            # Cancelled with the whole supervisor is not cancelled by a library.
            asked = life.asked or (error is not None and anyio.current_effective_deadline() == -math.inf)
            end = classify(error, asked=asked, cancelled=self._cancelled_type, quarantine_on=quarantine_on)
            del error
            life.coroutine = None
            self._lives.pop(life.name, None)
            self._nested.pop(life.name, None)
            self._publisher.detach(life.name)
            self._post(events.Ended(life.name, life.incarnation, end))

    def _nest(self, spec: SupervisorSpec, life: Life) -> Supervisor:
        nested = Supervisor(spec, clock=self._clock, random=self._random, report=self._report)
        nested._parent = (self, life)
        nested.path = life.path
        nested._state = State(spec, life.path, lives=self._state.lives)
        nested._publisher = self._publisher.below(life.name, nested._state)
        return nested
