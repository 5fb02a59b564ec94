"""OTP's cases about stopping: 16 to 22, 36, 53 and 85."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from coordinator.supervision import (
    ChildContext,
    ChildRefused,
    ChildState,
    DeliberateStop,
    Refusal,
    ReportKind,
    Restart,
    Strategy,
    SupervisorSpec,
)
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio

POOL = SupervisorSpec("root", strategy=Strategy.POOL)


@row("16")
async def test_sup_stop_infinity(stage: Stage) -> None:
    """A worker may have all the time it needs: an infinite grace is never cut short."""
    stage.part("a", clean_up_s=100_000.0)
    async with stage.play(SupervisorSpec("root", (stage.child("a", stop_timeout_s=float("inf")),))) as play:
        before = anyio.current_time()
        await play.stop()
        assert anyio.current_time() - before == pytest.approx(100_000.0)
    assert stage.kinds() == []


@row("17")
async def test_sup_stop_timeout(stage: Stage) -> None:
    """A good child stops when asked, a sleeper is cancelled after its grace, one that outlives that is abandoned."""
    stage.part("sleeper", obeys=False)
    stage.part("clinging", obeys=False, clean_up_s=50.0)
    children = (
        stage.child("good"),
        stage.child("sleeper", stop_timeout_s=2.0),
        stage.child("clinging", stop_timeout_s=1.0, cancel_timeout_s=3.0),
    )
    async with stage.play(SupervisorSpec("root", children)) as play:
        before = anyio.current_time()
        play.supervisor.request_stop("enough")
        assert await play.supervisor.wait_stopped() == ("root/clinging",)
        assert anyio.current_time() - before == pytest.approx(1.0 + 3.0 + 2.0)
        assert play.state("clinging") is ChildState.ABANDONED
        assert play.state("good") is ChildState.STOPPED
        await stage.ended.wait()
    assert stage.log[-3:] == ["-sleeper", "-good", "-clinging"]


@row("18")
async def test_sup_stop_timeout_dynamic(stage: Stage) -> None:
    """In a pool, too, each member is cancelled after its own grace, and what outlives that is abandoned."""
    async with stage.play(POOL) as play:
        stage.part("sleeper", obeys=False)
        stage.part("clinging", obeys=False, clean_up_s=50.0)
        for spec in (
            stage.child("good"),
            stage.child("sleeper", stop_timeout_s=2.0),
            stage.child("clinging", stop_timeout_s=1.0, cancel_timeout_s=3.0),
        ):
            await play.supervisor.start_child(spec)
        before = anyio.current_time()
        play.supervisor.request_stop("enough")
        assert await play.supervisor.wait_stopped() == ("root/clinging",)
        assert anyio.current_time() - before == pytest.approx(4.0)


@row("19", "20")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
async def test_sup_stop_brutal_kill(stage: Stage, strategy: Strategy) -> None:
    """A child without grace is cancelled at once, unasked; its siblings stop as they are used to."""
    asked: list[str] = []

    async def unasked(context: ChildContext) -> None:
        context.ready()
        try:
            await anyio.sleep_forever()
        finally:
            asked.append(f"{context.path} {context.stopping.is_set()}")

    async with stage.play(SupervisorSpec("root", strategy=strategy)) as play:
        for number in range(10):
            await play.supervisor.start_child(stage.child(f"n{number}", start=unasked, stop_timeout_s=0))
        await play.supervisor.start_child(stage.child("good"))
        before = anyio.current_time()
        await play.stop()
        assert anyio.current_time() == before
    assert sorted(asked) == sorted(f"root/n{number} False" for number in range(10))
    assert stage.log == ["+good", "-good"]
    assert stage.kinds() == []


ENDS: tuple[BaseException | None, ...] = (None, DeliberateStop(), DeliberateStop("detail"), ValueError("boom"))


@row("21", "22")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("end", ENDS, ids=repr)
async def test_sup_stop_race(stage: Stage, strategy: Strategy, restart: Restart, end: BaseException | None) -> None:
    """Children that end by themselves, in whatever way, while the supervisor stops: it completes and restarts none."""

    def until(signal: anyio.Event) -> Callable[[ChildContext], Awaitable[None]]:
        async def body(context: ChildContext) -> None:
            context.ready()
            await signal.wait()
            if end is not None:
                raise end

        return body

    race = anyio.Event()
    async with stage.play(SupervisorSpec("root", strategy=strategy, intensity=100)) as play:
        for number in range(3):
            spec = stage.child(f"n{number}", restart, start=until(race))
            await play.supervisor.start_child(spec)
        play.supervisor.request_stop("enough")
        race.set()
        await stage.ended.wait()
    assert stage.outcome is None
    assert max(report.offender.incarnation for report in stage.reports) == 1
    failed = isinstance(end, ValueError)
    assert ReportKind.CHILD_TERMINATED not in stage.kinds()
    assert (ReportKind.SHUTDOWN_ERROR in stage.kinds()) is failed


@row("36")
async def test_simple_one_for_one_shutdown(stage: Stage) -> None:
    """A pool stops all its members at once: it takes as long as the slowest, not as long as all together."""
    async with stage.play(POOL) as play:
        for number in range(10):
            stage.part(f"m{number}", clean_up_s=number / 10)
            await play.supervisor.start_child(stage.child(f"m{number}"))
        before = anyio.current_time()
        await play.stop()
        assert anyio.current_time() - before == pytest.approx(0.9)


@row("53")
async def test_child_unlink(stage: Stage) -> None:
    """A child that swallows its cancellation cannot hang a terminate: the operator is told that it is abandoned."""
    let_go = anyio.Event()

    async def swallowing(context: ChildContext) -> None:
        context.ready()
        with anyio.CancelScope(shield=True):
            await let_go.wait()

    spec = stage.child("deaf", start=swallowing, stop_timeout_s=1.0, cancel_timeout_s=1.0)
    async with stage.play(SupervisorSpec("root", (spec,))) as play:
        with pytest.raises(ChildRefused) as refused:
            await play.supervisor.terminate_child("deaf")
        assert refused.value.reason is Refusal.ABANDONED
        assert "swallowing" in refused.value.cause
        let_go.set()
        await play.settle()
        assert play.state("deaf") is ChildState.STOPPED


@row("85")
async def test_order_of_children(stage: Stage) -> None:
    """Children start in the given order and stop in reverse, also the part that a rest_for_one restart takes."""
    names = [f"c{number}" for number in range(6)]
    spec = SupervisorSpec("root", tuple(stage.child(name) for name in names), Strategy.REST_FOR_ONE)
    async with stage.play(spec) as play:
        assert stage.log == [f"+{name}" for name in names]
        stage.log.clear()
        await play.crash("c3")
        assert stage.log == ["-c3", "-c5", "-c4", "+c3", "+c4", "+c5"]
        stage.log.clear()
    assert stage.log == [f"-{name}" for name in reversed(names)]


@row("85")
async def test_the_next_child_waits_for_the_one_before_to_be_gone(stage: Stage) -> None:
    """A child is asked to stop only when the one after it has ended, clean-up included."""
    for name in ("a", "b", "c"):
        stage.part(name, clean_up_s=1.0)
    spec = SupervisorSpec("root", tuple(stage.child(name) for name in ("a", "b", "c")))
    async with stage.play(spec) as play:
        before = anyio.current_time()
        await play.stop()
        assert anyio.current_time() - before == pytest.approx(3.0)
    assert stage.log[-3:] == ["-c", "-b", "-a"]
