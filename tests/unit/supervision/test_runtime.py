"""The supervisor at work, beside what tests/conformance holds it to."""

from __future__ import annotations

import random

import anyio
import pytest

from coordinator.supervision import (
    ChildContext,
    ChildRefused,
    ChildSpec,
    ChildState,
    Escalated,
    Refusal,
    Restart,
    SpecError,
    StartFailed,
    Strategy,
    Supervisor,
    SupervisorSpec,
    health,
)
from tests.conformance.stage import HANG, Stage, always

pytestmark = pytest.mark.anyio


def plain(spec: SupervisorSpec) -> Supervisor:
    """A supervisor without hooks."""
    return Supervisor(spec, clock=lambda: 0.0, random=random.Random(1))


async def test_run_is_told_ready_after_the_last_child(stage: Stage) -> None:
    """`start` returns when every child is up, and run returns after a stop."""
    supervisor = plain(SupervisorSpec("root", (stage.child("a"), stage.child("b"))))
    async with anyio.create_task_group() as group:
        await group.start(supervisor.run)
        assert stage.log == ["+a", "+b"]
        supervisor.request_stop("enough")
    assert stage.log == ["+a", "+b", "-b", "-a"]


async def test_a_failed_start_reaches_whoever_started(stage: Stage) -> None:
    """`start` raises what run raises."""
    stage.part("a", starts=always(OSError("in use")))
    supervisor = plain(SupervisorSpec("root", (stage.child("a"),)))

    async def begin() -> None:
        async with anyio.create_task_group() as group:
            await group.start(supervisor.run)

    with pytest.raises(BaseExceptionGroup) as raised:
        await begin()
    assert raised.group_contains(StartFailed)


async def test_a_supervisor_runs_once(stage: Stage) -> None:
    """Its state is its run's: a second run is refused."""
    supervisor = plain(SupervisorSpec("root"))
    supervisor.request_stop("before it began")
    await supervisor.run()
    with pytest.raises(RuntimeError, match="has run already"):
        await supervisor.run()


async def test_nothing_can_be_asked_before_or_after(stage: Stage) -> None:
    """A supervisor that does not run answers nobody, and its snapshot says that it is stopped."""
    supervisor = plain(SupervisorSpec("root"))
    assert supervisor.snapshot.root.state is ChildState.STOPPED
    with pytest.raises(ChildRefused) as refused:
        await supervisor.ping()
    assert refused.value.reason is Refusal.NOT_RUNNING
    supervisor.request_stop("enough")
    await supervisor.run()
    with pytest.raises(ChildRefused):
        await supervisor.start_child(stage.child("a"))


async def test_who_waits_when_it_ends_is_refused(stage: Stage) -> None:
    """An operator whose child is still starting when the supervisor is stopped is told so."""
    stage.part("slow", starts=always(HANG))
    reasons: list[Refusal] = []

    async def ask(supervisor: Supervisor) -> None:
        with pytest.raises(ChildRefused) as refused:
            await supervisor.start_child(stage.child("slow"))
        reasons.append(refused.value.reason)

    async with stage.play(SupervisorSpec("root")) as play, anyio.create_task_group() as group:
        group.start_soon(ask, play.supervisor)
        await play.settle()
        await play.stop()
    assert reasons == [Refusal.DRAINING]


async def test_a_degraded_child_shows_in_health(stage: Stage) -> None:
    """What a running child says is wrong is in the next snapshot, and gone when it says so."""
    async with stage.play(SupervisorSpec("root", (stage.child("data"),))) as play:
        context = stage.parts["data"].context
        assert context is not None
        context.degraded("postgres does not answer")
        await play.settle()
        assert health(play.supervisor.snapshot).degraded == ("root/data: postgres does not answer",)
        context.degraded(None)
        await play.settle()
        assert health(play.supervisor.snapshot).status == "healthy"


async def test_health_through_a_crash_of_a_critical_child(stage: Stage) -> None:
    """While a critical child is down the process is not ready; as soon as it is up again all is well."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        stage.snapshots.clear()
        await play.crash("a")
        told = [health(snapshot) for snapshot in stage.snapshots]
        assert [one.ready for one in told] == [False, True]
        assert told[0].degraded == ("root/a: starting: ValueError: a crashed",)


async def test_since_is_wall_time(stage: Stage) -> None:
    """Since when a child is in its state is told in the injected clock's seconds."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        began = 1_000_000.0 + anyio.current_time()
        await play.settle(50)
        await play.crash("a")
        view = play.view("a")
        assert view is not None
        assert view.since == pytest.approx(began + 50, abs=0.01)


async def test_a_killed_supervisor_takes_its_children_with_it(stage: Stage) -> None:
    """Killing a nested supervisor ends all below it; it comes back whole, and only then."""
    stage.part("a", clean_up_s=2.0)
    inner = SupervisorSpec("inner", (stage.child("a"), stage.child("b")))
    async with stage.play(SupervisorSpec("root", (ChildSpec("inner", inner),))) as play:
        before = anyio.current_time()
        await play.supervisor.crash_child("inner")
        assert anyio.current_time() - before == pytest.approx(2.0)
        await play.settle()
        assert play.running == ["root/inner/a", "root/inner/b"]
        assert stage.parts["a"].most_alive == 1


async def test_a_cancelled_supervisor_shows_its_children_ending(stage: Stage) -> None:
    """The children of a cancelled supervisor are shown as stopping while they clean up, and as stopped then."""
    stage.part("a", clean_up_s=5.0)
    supervisor = stage.supervisor(SupervisorSpec("root", (stage.child("a"),)))
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        await anyio.sleep(1)
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)
            assert supervisor.snapshot.children[0].state is ChildState.STOPPING
    assert supervisor.snapshot.children[0].state is ChildState.STOPPED


async def test_an_escalation_of_a_transient_supervisor_is_a_crash(stage: Stage) -> None:
    """A parent never takes an escalation for a clean end: a transient supervisor that gave up is restarted."""
    inner = SupervisorSpec("inner", (stage.child("a"),), intensity=0)
    async with stage.play(SupervisorSpec("root", (ChildSpec("inner", inner, Restart.TRANSIENT),), intensity=1)) as play:
        await play.crash("a")
        assert play.running == ["root/inner/a"]
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)
        assert stage.outcome.child == "root/inner"


async def test_significance_is_checked_for_added_children(stage: Stage) -> None:
    """A child that a supervisor cannot have is refused before it is asked for."""
    spec = stage.child("a", Restart.TEMPORARY, significant=True)
    async with stage.play(SupervisorSpec("root", strategy=Strategy.POOL)) as play:
        with pytest.raises(SpecError):
            await play.supervisor.start_child(spec)


async def test_a_start_that_is_no_coroutine_function(stage: Stage) -> None:
    """A start function that is not asynchronous is a failed start, not a broken supervisor."""

    def plainly_wrong(context: ChildContext) -> None:
        """Return at once, and not something to wait for."""

    spec = ChildSpec("a", plainly_wrong)  # type: ignore[arg-type]  # wrong on purpose
    async with stage.play(SupervisorSpec("root", (spec,))):
        await stage.ended.wait()
    assert isinstance(stage.outcome, StartFailed)
    assert "TypeError" in str(stage.outcome)


async def test_a_request_that_is_given_up_does_no_harm(stage: Stage) -> None:
    """An operator who stops waiting leaves his request to be carried out, and nobody is told twice."""
    stage.part("a", clean_up_s=5.0)
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        with anyio.move_on_after(1):
            await play.supervisor.terminate_child("a")
        await play.settle(10)
        assert play.state("a") is ChildState.STOPPED
