"""A supervisor with scripted children: what each does at its start and at its stop, told from outside when to end."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import anyio

from coordinator.supervision import (
    IMMEDIATE,
    Backoff,
    ChildContext,
    ChildSpec,
    ChildState,
    ChildView,
    Report,
    ReportKind,
    Restart,
    Snapshot,
    Supervisor,
    SupervisorSpec,
)

HANG = "hang"  # never becomes ready
SILENT = "silent"  # returns without becoming ready

RUNAWAY = 500  # lives of one part that no test needs

Starts = Callable[[int], BaseException | str | None]


def always(plan: BaseException | str | None) -> Starts:
    """The same start in every life."""
    return lambda _: plan


def only_in(lives: set[int], plan: BaseException | str) -> Starts:
    """Start like this in the lives named, well in all others."""
    return lambda life: plan if life in lives else None


@dataclass(eq=False)
class Part:
    """What one child does. Lives are counted by the part itself, so that it can be compared with the incarnation."""

    name: str
    log: list[str]
    value: object = None
    starts: Starts = field(default=always(None))
    obeys: bool = True  # returns when asked to stop; otherwise it waits to be cancelled
    clean_up_s: float = 0.0  # shielded, after the end of its work
    clean_up_error: Exception | None = None
    lives: int = 0
    alive: int = 0
    most_alive: int = 0
    told: anyio.Event = field(init=False, default_factory=anyio.Event)
    error: BaseException | None = None
    context: ChildContext | None = None

    async def __call__(self, context: ChildContext) -> None:
        """Live once."""
        self.lives += 1
        self.alive += 1
        self.most_alive = max(self.most_alive, self.alive)
        if self.lives > RUNAWAY:
            raise SystemExit(f"{self.name} is restarted for ever")
        self.told, self.error, self.context = anyio.Event(), None, context
        try:
            await self._work(context)
        finally:
            if self.clean_up_s:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(self.clean_up_s)
            self.alive -= 1
            self.log.append(f"-{self.name}")
            if self.clean_up_error is not None and context.stopping.is_set():
                raise self.clean_up_error

    async def _work(self, context: ChildContext) -> None:
        plan = self.starts(self.lives)
        if isinstance(plan, BaseException):
            raise plan
        if plan == SILENT:
            return
        if plan != HANG:
            self.log.append(f"+{self.name}")
            context.ready(self.value)
        async with anyio.create_task_group() as group:
            if self.obeys:
                group.start_soon(self._obey, context, group.cancel_scope)
            await self.told.wait()
            group.cancel_scope.cancel(reason="told to end")
        if self.error is not None and not (self.obeys and context.stopping.is_set()):
            raise self.error

    async def _obey(self, context: ChildContext, scope: anyio.CancelScope) -> None:
        await context.stopping.wait()
        scope.cancel(reason="asked to stop")

    def end(self, error: BaseException | None = None) -> None:
        """Let the present life end: return, or raise."""
        self.error = error
        self.told.set()


class Stage:
    """Runs a supervisor, and remembers all that it reports and how it ended."""

    def __init__(self) -> None:
        """Prepare an empty stage."""
        self.log: list[str] = []
        self.parts: dict[str, Part] = {}
        self.reports: list[Report] = []
        self.snapshots: list[Snapshot] = []
        self.outcome: BaseException | None = None
        self.ended = anyio.Event()

    def part(
        self,
        name: str,
        *,
        value: object = None,
        starts: Starts | None = None,
        obeys: bool = True,
        clean_up_s: float = 0.0,
        clean_up_error: Exception | None = None,
    ) -> Part:
        """Write a part."""
        part = Part(
            name,
            self.log,
            value=value,
            starts=starts or always(None),
            obeys=obeys,
            clean_up_s=clean_up_s,
            clean_up_error=clean_up_error,
        )
        self.parts[name] = part
        return part

    def child(
        self,
        name: str,
        restart: Restart = Restart.PERMANENT,
        *,
        backoff: Backoff = IMMEDIATE,
        critical: bool = True,
        significant: bool = False,
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 5.0,
        cancel_timeout_s: float = 5.0,
        quarantine_on: tuple[type[Exception], ...] = (),
        start: Callable[[ChildContext], Awaitable[object]] | None = None,
    ) -> ChildSpec:
        """Specify a child that plays the part of its name, written on the spot if need be."""
        return ChildSpec(
            name,
            start or self.parts.get(name) or self.part(name),
            restart,
            significant=significant,
            start_timeout_s=start_timeout_s,
            stop_timeout_s=stop_timeout_s,
            cancel_timeout_s=cancel_timeout_s,
            critical=critical,
            backoff=backoff,
            quarantine_on=quarantine_on,
        )

    def supervisor(self, spec: SupervisorSpec, *, seed: int = 1) -> Supervisor:
        """Make a supervisor whose reports and snapshots are kept."""
        return Supervisor(
            spec,
            clock=lambda: 1_000_000.0 + anyio.current_time(),
            random=random.Random(seed),
            report=self.reports.append,
            on_snapshot=self.snapshots.append,
        )

    def play(self, spec: SupervisorSpec, *, seed: int = 1) -> Performance:
        """Run a supervisor for the length of an `async with`; it is stopped at the end unless it has ended before."""
        return Performance(self, self.supervisor(spec, seed=seed))

    def kinds(self, child: str = "") -> list[ReportKind]:
        """The kinds of the reports, all or about one child, progress left out."""
        return [
            report.kind
            for report in self.reports
            if report.kind is not ReportKind.PROGRESS and (not child or report.offender.id == child)
        ]


class Performance:
    """One run of a supervisor on a stage."""

    def __init__(self, stage: Stage, supervisor: Supervisor) -> None:
        """Prepare; the `async with` runs it."""
        self.stage = stage
        self.supervisor = supervisor
        self._group = anyio.create_task_group()
        self._up = anyio.Event()

    async def __aenter__(self) -> Self:
        """Run the supervisor and wait until it is up, or has ended."""
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        await self._up.wait()
        return self

    async def _run(self, task_status: None = None) -> None:
        try:
            await self.supervisor.run(task_status=self)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of the play, looked at by the test
            self.stage.outcome = error
        finally:
            self._up.set()
            self.stage.ended.set()

    def started(self, value: None = None) -> None:
        """Hear, as its task status, that the supervisor is up."""
        self._up.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop the supervisor in order. A failed test cancels it instead."""
        if error is None:
            await self.stop()
        else:
            self._group.cancel_scope.cancel(reason="the test failed")
        return await self._group.__aexit__(kind, error, trace)

    async def stop(self) -> None:
        """Stop the supervisor in order and wait for its end."""
        self.supervisor.request_stop("the play is over")
        await self.stage.ended.wait()

    async def settle(self, seconds: float = 0.001) -> None:
        """Let everything happen that can without time passing: a virtual clock moves only when nothing can run."""
        await anyio.sleep(seconds)

    async def crash(self, name: str, error: BaseException | None = None) -> None:
        """Let a child raise, and everything that follows happen."""
        self.stage.parts[name].end(error or ValueError(f"{name} crashed"))
        await self.settle()

    async def finish(self, name: str) -> None:
        """Let a child return, and everything that follows happen."""
        self.stage.parts[name].end()
        await self.settle()

    def view(self, path: str) -> ChildView | None:
        """How a child looks now."""
        return self.supervisor.snapshot.find(path)

    def state(self, path: str) -> ChildState | None:
        """The state a child is in; None when it is not known."""
        view = self.view(path)
        return view.state if view is not None else None

    @property
    def lives(self) -> dict[str, int]:
        """How many lives each part has had."""
        return {name: part.lives for name, part in self.stage.parts.items()}

    @property
    def running(self) -> list[str]:
        """The paths of all running workers, in tree order."""
        views = self.supervisor.snapshot.root.walk()
        return [view.path for view in views if view.state is ChildState.RUNNING and view.kind == "worker"]
