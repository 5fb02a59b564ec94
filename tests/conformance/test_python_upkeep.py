"""Behaviours that only Python has to get right: P13 to P20."""

from __future__ import annotations

import contextvars
import gc
import random
import types

import anyio
import anyio.lowlevel
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.supervision import (
    Backoff,
    ChildContext,
    ChildRefused,
    ChildState,
    Refusal,
    Report,
    ReportKind,
    StartFailed,
    Strategy,
    Supervisor,
    SupervisorSpec,
    health,
)
from tests.conformance.rows import row
from tests.conformance.stage import Stage, only_in

pytestmark = pytest.mark.anyio


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


@row("P13")
async def test_start_context(stage: Stage) -> None:
    """A child that a request asks for does not inherit the request's context: its messages would be told as its own."""
    seen: list[str] = []

    async def child(context: ChildContext) -> None:
        seen.append(WHO.get())
        context.ready()
        await context.stopping.wait()

    async with stage.play(SupervisorSpec("root")) as play:
        token = WHO.set("a request")
        await play.supervisor.start_child(stage.child("a", start=child))
        await play.supervisor.terminate_child("a")
        await play.supervisor.restart_child("a")
        await play.supervisor.crash_child("a")
        await play.settle()
        WHO.reset(token)
    assert seen == ["nobody"] * 3


@row("P14")
async def test_incarnation_context(stage: Stage) -> None:
    """What one life puts into its context is not seen by the next, whose number is one higher."""
    seen: list[tuple[int, str]] = []

    async def child(context: ChildContext) -> None:
        seen.append((context.incarnation, WHO.get()))
        WHO.set(f"life {context.incarnation}")
        context.ready()
        if context.incarnation < 4:
            raise ValueError("boom")
        await context.stopping.wait()

    async with stage.play(SupervisorSpec("root", (stage.child("a", start=child),))) as play:
        await play.settle()
    assert seen == [(life, "nobody") for life in (1, 2, 3, 4)]


@row("P15")
@given(
    minimum_s=st.floats(0, 10),
    spread=st.floats(1, 1000),
    factor=st.floats(1, 10),
    lives=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_jitter_bounds(minimum_s: float, spread: float, factor: float, lives: int, seed: int) -> None:
    """A delay is between nothing and its cap, the cap never above the maximum, and a seed gives it again."""
    backoff = Backoff(minimum_s=minimum_s, maximum_s=minimum_s * spread, factor=factor)
    delays = [backoff.delay_s(lives, random.Random(seed).random()) for _ in range(2)]
    assert delays[0] == delays[1]
    assert 0 <= delays[0] <= backoff.cap_s(lives) <= backoff.maximum_s
    assert backoff.cap_s(lives + 1) >= backoff.cap_s(lives)
    assert backoff.cap_s(1) == 0


async def _restart_times(seed: int) -> list[float]:
    stage = Stage()
    times: list[float] = []

    async def failing(context: ChildContext) -> None:
        times.append(anyio.current_time())
        context.ready()
        await anyio.sleep(0.1)
        raise ValueError("boom")

    backoff = Backoff(minimum_s=1.0, maximum_s=60.0, max_short_lives=100)
    spec = SupervisorSpec("root", (stage.child("a", start=failing, backoff=backoff),), intensity=1000)
    async with stage.play(spec, seed=seed) as play:
        await play.settle(600)
    return [later - times[0] for later in times]


@row("P15")
async def test_jitter_is_reproducible() -> None:
    """The same seed gives the same restarts to the moment, another seed others."""
    first, again, other = await _restart_times(7), await _restart_times(7), await _restart_times(8)
    assert first == pytest.approx(again)
    assert len(first) > 10
    assert first != pytest.approx(other)


@row("P16")
@pytest.mark.parametrize(("lived_s", "restarts_at_once"), [(59.0, False), (60.0, True)])
async def test_backoff_reset(stage: Stage, lived_s: float, restarts_at_once: bool) -> None:
    """A child that was up for `reset_after_s` starts over with its delays; one that was up for less does not."""
    backoff = Backoff(minimum_s=10.0, maximum_s=10.0, factor=1.0, reset_after_s=60.0)
    async with stage.play(SupervisorSpec("root", (stage.child("a", backoff=backoff),))) as play:
        await play.crash("a")
        assert play.state("a") is ChildState.RUNNING
        await play.settle(lived_s)
        await play.crash("a")
        assert (play.state("a") is ChildState.RUNNING) is restarts_at_once


@row("P16")
async def test_short_lives_are_limited(stage: Stage) -> None:
    """A child that a growing delay keeps below the budget is over the limit all the same after enough short lives."""
    backoff = Backoff(minimum_s=100.0, maximum_s=100.0, factor=1.0, reset_after_s=1e6, max_short_lives=4)
    spec = SupervisorSpec("root", (stage.child("a", backoff=backoff, critical=False),), intensity=5, period_s=30.0)
    async with stage.play(spec) as play:
        for _ in range(5):
            stage.parts["a"].end(ValueError("boom"))
            await play.settle(150)
        assert play.state("a") is ChildState.QUARANTINED
        assert play.lives["a"] == 5


@row("P17")
async def test_quarantine(stage: Stage) -> None:
    """A child that is not critical is quarantined: others go on, their budget is whole, and a reset brings it back."""
    children = (stage.child("vital"), stage.child("extra", critical=False))
    async with stage.play(SupervisorSpec("root", children, intensity=2, period_s=3600.0)) as play:
        for _ in range(3):
            await play.crash("extra")
        assert play.state("extra") is ChildState.QUARANTINED
        assert play.lives == {"vital": 1, "extra": 3}
        told = health(play.supervisor.snapshot)
        assert (told.live, told.ready, told.status) == (True, True, "degraded")
        assert told.degraded[0].startswith("root/extra: quarantined: more than 2 restarts in 3600 s: ValueError")
        for _ in range(2):
            await play.crash("vital")
        assert play.running == ["root/vital"]
        with pytest.raises(ChildRefused) as refused:
            await play.supervisor.restart_child("extra")
        assert refused.value.reason is Refusal.QUARANTINED
        await play.supervisor.reset_child("extra")
        assert play.running == ["root/vital", "root/extra"]
        for _ in range(2):
            await play.crash("extra")
        assert play.state("extra") is ChildState.RUNNING
        assert health(play.supervisor.snapshot).status == "healthy"
    assert stage.kinds("extra").count(ReportKind.SHUTDOWN) == 1


@row("P17")
async def test_errors_that_no_restart_can_mend(stage: Stage) -> None:
    """Errors that a child declares hopeless quarantine it at once; a critical one ends its supervisor at once."""
    for critical in (False, True):
        one = Stage()
        one.part("a", starts=only_in({2}, OSError("in use by another program")))
        child = one.child("a", critical=critical, quarantine_on=(OSError,))
        async with one.play(SupervisorSpec("root", (child,))) as play:
            await play.crash("a")
            assert play.lives["a"] == 2
            assert play.state("a") is (ChildState.STOPPED if critical else ChildState.QUARANTINED)
            assert one.ended.is_set() is critical


@row("P17")
@pytest.mark.parametrize("strict", [False, True])
async def test_start_without_what_is_not_critical(stage: Stage, strict: bool) -> None:
    """A child that is not critical and does not start holds nobody up, unless the supervisor is strict as OTP's is."""
    stage.part("extra", starts=only_in({1, 2, 3}, OSError("no database")))
    children = (stage.child("extra", critical=False, backoff=Backoff(minimum_s=5.0)), stage.child("vital"))
    async with stage.play(SupervisorSpec("root", children, strict_start=strict)) as play:
        if strict:
            await stage.ended.wait()
            assert isinstance(stage.outcome, StartFailed)
            return
        assert play.running == ["root/vital"]
        assert health(play.supervisor.snapshot).status == "degraded"
        await play.settle(100)
        assert play.running == ["root/extra", "root/vital"]
        assert play.lives == {"extra": 4, "vital": 1}


@row("P18")
async def test_reading_in_a_storm(stage: Stage) -> None:
    """Snapshot and health are read a thousand times a second through a storm of restarts, and are never torn."""

    async def failing(context: ChildContext) -> None:
        context.ready()
        await anyio.sleep(0.01)
        raise ValueError("boom")

    children = tuple(stage.child(f"c{number}", start=failing) for number in range(20))
    async with stage.play(SupervisorSpec("root", children, Strategy.ONE_FOR_ALL, intensity=10**6)) as play:
        seen: set[int] = set()
        for _ in range(1000):
            snapshot = play.supervisor.snapshot
            assert play.supervisor.snapshot is snapshot
            assert [child.id for child in snapshot.children] == [f"c{number}" for number in range(20)]
            down = any(child.state is not ChildState.RUNNING for child in snapshot.children)
            assert health(snapshot).ready is not down
            seen.add(snapshot.children[0].incarnation)
            await anyio.sleep(0.001)
        assert len(seen) > 50


def _tracebacks() -> int:
    gc.collect()
    return sum(isinstance(one, types.TracebackType) for one in gc.get_objects())


@row("P19")
async def test_no_growth(stage: Stage) -> None:
    """Ten thousand restarts leave no task, no file descriptor and no traceback behind."""
    gate = anyio.Event()

    async def failing(context: ChildContext) -> None:
        context.ready()
        if context.incarnation in {500, 10_500}:
            await gate.wait()
        raise ValueError("boom")

    process = psutil.Process()
    child = stage.child("a", start=failing)
    counts: list[tuple[int, int, int]] = []
    supervisor = Supervisor(
        SupervisorSpec("root", (child,), intensity=10**6), clock=lambda: 0.0, random=random.Random(1)
    )
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        for incarnation in (500, 10_500):
            while supervisor.snapshot.root.children == () or supervisor.snapshot.children[0].incarnation < incarnation:
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(0.001)
            counts.append((len(anyio.get_running_tasks()), process.num_fds(), _tracebacks()))
            gate.set()
            gate = anyio.Event()
        supervisor.request_stop("enough")
        gate.set()
    assert counts[1][:2] == counts[0][:2]
    assert counts[1][2] <= counts[0][2] + 10


@row("P20")
@pytest.mark.parametrize("hook", ["report", "on_snapshot"])
async def test_raising_hook(stage: Stage, hook: str) -> None:
    """A hook that raises is a bug of the supervisor's own: the children are stopped in order, the error is raised."""
    armed: list[bool] = []

    def raising(_: object) -> None:
        if armed:
            raise ZeroDivisionError("a bug")

    def report(told: Report) -> None:
        stage.reports.append(told)
        raising(told)

    children = tuple(stage.child(name) for name in ("a", "b", "c"))
    supervisor = Supervisor(
        SupervisorSpec("root", children),
        clock=lambda: 0.0,
        random=random.Random(1),
        report=report if hook == "report" else stage.reports.append,
        on_snapshot=raising if hook == "on_snapshot" else stage.snapshots.append,
    )

    async def crash_with_a_broken_hook() -> None:
        async with anyio.create_task_group() as group:
            await group.start(supervisor.run)
            armed.append(True)
            stage.parts["b"].end(ValueError("boom"))

    with pytest.raises(BaseExceptionGroup) as raised:
        await crash_with_a_broken_hook()
    assert raised.value.split(ZeroDivisionError)[1] is None
    assert stage.log[3:] in (["-b", "-c", "-a"], ["-b", "+b", "-c", "-b", "-a"])
    assert [part.alive for part in stage.parts.values()] == [0, 0, 0]
    assert supervisor.snapshot.root.state is ChildState.STOPPED
