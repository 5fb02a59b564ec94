"""A made-up world for a supervisor: a random tree, children that misbehave in every way, operators who interfere."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.lowlevel

from coordinator.supervision import (
    IMMEDIATE,
    AutoShutdown,
    Backoff,
    ChildContext,
    ChildRefused,
    ChildSpec,
    Declined,
    DeliberateStop,
    Restart,
    SpecError,
    Strategy,
    Supervisor,
    SupervisorSpec,
)

DEPTH = 2
STOP_S = (0.0, 0.5, 2.0)
CANCEL_S = 1.0
LONGEST_CLEAN_UP_S = 3.0


class World:
    """Everything random of one run. What happens in it is noted, so that a run can be compared with its replay."""

    def __init__(self, seed: int) -> None:
        """Draw a tree."""
        self.dice = random.Random(seed)
        self.live: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.workers = 0
        self.open_requests = 0
        self.spec = self._supervisor("root", depth=DEPTH)

    def violated(self, text: str) -> None:
        """Note that something happened which must not."""
        self.violations.append(f"at {anyio.current_time() - self.began:.3f} s: {text}")
        self.scope.cancel(reason="an invariant is broken")

    def begin(self, scope: anyio.CancelScope) -> None:
        """The run begins, in a scope that the first violation cancels."""
        self.scope = scope
        self.began = anyio.current_time()

    def note(self, text: str) -> None:
        """Add to the trace."""
        self.trace.append(f"{anyio.current_time() - self.began:.6f} {text}")

    # --- the tree -----------------------------------------------------------------------------------------------------
    def _supervisor(self, name: str, depth: int) -> SupervisorSpec:
        dice = self.dice
        strategy = dice.choice(list(Strategy)[: 3 if depth == DEPTH else 4])
        auto = dice.choices(list(AutoShutdown), weights=(18, 1, 1))[0]
        children: tuple[ChildSpec, ...] = ()
        if strategy is not Strategy.POOL:
            children = tuple(self._child(f"c{number}", depth, auto) for number in range(dice.randint(2, 5)))
        return SupervisorSpec(
            name,
            children,
            strategy,
            # The top is patient: a world that ends at once shows little.
            intensity=dice.choice((20, 50)) if depth == DEPTH else dice.choices((0, 1, 3, 10), (1, 6, 6, 4))[0],
            period_s=dice.choice((1.0, 5.0, 30.0)),
            auto_shutdown=auto,
            strict_start=dice.random() < 0.05,
        )

    def _child(self, name: str, depth: int, auto: AutoShutdown = AutoShutdown.NEVER) -> ChildSpec:
        dice = self.dice
        restart = dice.choices(list(Restart), weights=(6, 3, 2))[0]
        significant = auto is not AutoShutdown.NEVER and restart is not Restart.PERMANENT and dice.random() < 0.5
        critical = dice.random() < 0.5
        if depth and dice.random() < 0.35:
            nested = self._supervisor(name, depth - 1)
            return ChildSpec(name, nested, restart, significant=significant, critical=critical, cancel_timeout_s=30.0)
        self.workers += 1
        return ChildSpec(
            name,
            self._body(),
            restart,
            significant=significant,
            start_timeout_s=dice.choice((1.0, 5.0, math.inf)),
            stop_timeout_s=dice.choice(STOP_S),
            cancel_timeout_s=CANCEL_S,
            critical=critical,
            backoff=dice.choice(
                (IMMEDIATE, IMMEDIATE, Backoff(), Backoff(minimum_s=1.0, reset_after_s=5.0, max_short_lives=4))
            ),
            quarantine_on=dice.choice(((), (), (KeyError,))),
        )

    # --- children -----------------------------------------------------------------------------------------------------
    def _body(self) -> Callable[[ChildContext], Awaitable[None]]:
        dice = self.dice
        down_at = dice.uniform(1, 60) if dice.random() < 0.5 else math.inf
        return partial(self._live, dice.random() < 0.5, (down_at, down_at + dice.uniform(0, 10)))

    async def _live(self, stable: bool, outage: tuple[float, float], context: ChildContext) -> None:
        dice = self.dice
        self._enter(context)
        try:
            now = anyio.current_time() - self.began
            if outage[0] <= now < outage[1]:
                raise OSError("what it needs is down")
            await self._start(context, stable=stable)
            length = dice.expovariate(1 / (60 if stable else 4))
            await self._work(context, min(length, outage[0] - now if now < outage[0] else math.inf))
        finally:
            if dice.random() < 0.2:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(dice.uniform(0, LONGEST_CLEAN_UP_S))
            self._leave(context)
            if dice.random() < 0.05:
                raise OSError("the clean-up failed")

    def _enter(self, context: ChildContext) -> None:
        path = context.path
        self.note(f"enter {path}#{context.incarnation}")
        self.live[path] = self.live.get(path, 0) + 1
        if self.live[path] > 1:
            self.violated(f"{path} lives {self.live[path]} times at once")

    def _leave(self, context: ChildContext) -> None:
        self.note(f"leave {context.path}#{context.incarnation}")
        self.live[context.path] -= 1

    async def _start(self, context: ChildContext, *, stable: bool) -> None:
        dice = self.dice
        roll = dice.random() * (10 if stable else 2)
        if roll < 0.05:
            raise dice.choice((OSError("no start"), KeyError("no setting"), Declined("not today")))
        if roll < 0.08:
            await anyio.sleep_forever() if dice.random() < 0.5 else await anyio.sleep(dice.uniform(0, 3))
        if roll < 0.10:
            await _stale_cancellation()
        if roll > 0.5:
            await anyio.sleep(dice.choice((0.0, 0.01, 0.3)))
        context.ready(context.incarnation)

    async def _work(self, context: ChildContext, length: float) -> None:
        dice = self.dice
        way = dice.randrange(10)
        with anyio.move_on_after(length):
            if way == 0:
                await anyio.sleep_forever()  # deaf to a polite request
            elif way == 1:
                await self._swallow()
            else:
                await context.stopping.wait()
                return
        if dice.random() < 0.1:
            context.degraded("feels unwell")
            await anyio.sleep(0.1)
        await self._end(dice.randrange(100))

    async def _swallow(self) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.dice.uniform(0, LONGEST_CLEAN_UP_S))

    async def _end(self, roll: int) -> None:
        if roll < 20:
            return
        if roll < 30:
            raise DeliberateStop("done for today")
        if roll < 40:
            await _stale_cancellation()
        if roll < 50:
            raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [KeyError("two")])])
        if roll == 99:
            raise SystemExit(3)
        raise ValueError("boom")

    # --- operators ----------------------------------------------------------------------------------------------------
    async def operate(self, supervisor: Supervisor) -> None:
        """Interfere, until the supervisor has ended."""
        dice = self.dice
        async with anyio.create_task_group() as group:
            for number in range(dice.randint(5, 40)):
                await anyio.sleep(dice.expovariate(1.0))
                paths = [view.path.removeprefix("root/") for view in supervisor.snapshot.root.walk()]
                group.start_soon(self._ask, supervisor, dice.choice(paths), number)

    async def _ask(self, supervisor: Supervisor, path: str, number: int) -> None:
        dice = self.dice
        ask = dice.choice(("start", "start", "terminate", "restart", "restart", "delete", "reset", "crash", "ping"))
        self.note(f"ask {ask} {path}")
        self.open_requests += 1
        answer = "answered"
        try:
            if ask == "start":
                spec = self._child(f"d{number}", depth=0)
                await supervisor.start_child(spec, under=path if dice.random() < 0.7 and path != "root" else "")
            elif ask == "ping":
                await supervisor.ping()
            else:
                await getattr(supervisor, f"{ask}_child")(path)
        except ChildRefused as refused:
            answer = refused.reason.name
        except SpecError:
            answer = "SPEC"
        self.open_requests -= 1
        self.note(f"told {ask} {path} {answer}")


async def _stale_cancellation() -> None:
    """Raise a cancellation that nobody asked for, as a careless library does."""
    kept: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as error:
            kept = error
            raise
    if kept is not None:
        raise kept
