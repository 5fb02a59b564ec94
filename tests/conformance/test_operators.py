"""OTP's cases about what operators ask: 23 to 25, 37, 69 to 71, 78 and 80."""

from __future__ import annotations

import anyio
import pytest

from coordinator.supervision import (
    Backoff,
    ChildRefused,
    ChildSpec,
    ChildState,
    Counts,
    Refusal,
    Restart,
    Strategy,
    SupervisorSpec,
    count_children,
)
from tests.conformance.rows import row
from tests.conformance.stage import HANG, Performance, Stage, only_in

pytestmark = pytest.mark.anyio

POOL = SupervisorSpec("root", strategy=Strategy.POOL)
SLOW = Backoff(minimum_s=100.0, maximum_s=100.0, factor=1.0)


async def refusal(play: Performance, ask: str, child: str) -> Refusal:
    """Ask for something that must be refused; why it was."""
    with pytest.raises(ChildRefused) as refused:
        await getattr(play.supervisor, f"{ask}_child")(child)
    return refused.value.reason


@row("23")
async def test_child_adm(stage: Stage) -> None:
    """A child's whole life by hand: each step works in its state and is refused exactly in every other."""
    async with stage.play(SupervisorSpec("root")) as play:
        supervisor = play.supervisor
        spec = stage.child("a")
        for ask in ("terminate", "restart", "delete", "reset", "crash"):
            assert await refusal(play, ask, "a") is Refusal.UNKNOWN
        await supervisor.start_child(spec)
        with pytest.raises(ChildRefused, match="already running"):
            await supervisor.start_child(spec)
        assert await refusal(play, "restart", "a") is Refusal.RUNNING
        assert await refusal(play, "delete", "a") is Refusal.RUNNING
        assert await refusal(play, "reset", "a") is Refusal.NOT_QUARANTINED
        await supervisor.terminate_child("a")
        await supervisor.terminate_child("a")
        assert play.state("a") is ChildState.STOPPED
        with pytest.raises(ChildRefused, match="present but stopped"):
            await supervisor.start_child(spec)
        assert await refusal(play, "crash", "a") is Refusal.NOT_RUNNING
        await supervisor.restart_child("a")
        assert play.running == ["root/a"]
        await supervisor.terminate_child("a")
        await supervisor.delete_child("a")
        assert await refusal(play, "delete", "a") is Refusal.UNKNOWN
        await supervisor.start_child(spec)
        assert play.lives == {"a": 3}
    with pytest.raises(ChildRefused) as refused:
        await supervisor.start_child(spec)
    assert refused.value.reason is Refusal.NOT_RUNNING


@row("24")
async def test_child_adm_simple(stage: Stage) -> None:
    """A pool keeps no stopped children: restart and delete are refused; a member of another pool is not known."""
    async with stage.play(POOL) as play, Stage().play(POOL) as foreign:
        await play.supervisor.start_child(stage.child("mine"))
        await foreign.supervisor.start_child(foreign.stage.child("theirs"))
        assert await refusal(play, "restart", "mine") is Refusal.POOL_MEMBER
        assert await refusal(play, "delete", "mine") is Refusal.POOL_MEMBER
        assert await refusal(play, "terminate", "theirs") is Refusal.UNKNOWN
        assert foreign.running == ["root/theirs"]
        await play.supervisor.terminate_child("mine")
        assert play.supervisor.snapshot.children == ()
        assert await refusal(play, "terminate", "mine") is Refusal.UNKNOWN


@row("25", "37")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
async def test_extra_return(stage: Stage, strategy: Strategy) -> None:
    """What a child gives to `ready` is returned to whoever started it, and an automatic restart is not disturbed."""
    value = object()
    part = stage.part("a", value=value)
    async with stage.play(SupervisorSpec("root", strategy=strategy)) as play:
        assert await play.supervisor.start_child(stage.child("a")) is value
        await play.crash("a")
        assert play.running == ["root/a"]
        assert part.lives == 2
        if strategy is not Strategy.POOL:
            await play.supervisor.terminate_child("a")
            assert await play.supervisor.restart_child("a") is value


@row("69")
@pytest.mark.parametrize("members", [1000, 2000])
async def test_count_children(stage: Stage, members: int) -> None:
    """A pool counts its members, and none once they are killed."""
    async with stage.play(POOL) as play:
        for number in range(members):
            await play.supervisor.start_child(stage.child(f"m{number}", Restart.TEMPORARY))
        full = Counts(specs=members, active=members, supervisors=0, workers=members)
        assert count_children(play.supervisor.snapshot.root) == full
        async with anyio.create_task_group() as group:
            for number in range(members):
                group.start_soon(play.supervisor.crash_child, f"m{number}")
        empty = Counts(specs=0, active=0, supervisors=0, workers=0)
        assert count_children(play.supervisor.snapshot.root) == empty


@row("70")
async def test_count_children_supervisor(stage: Stage) -> None:
    """Nested supervisors are counted as such."""
    async with stage.play(SupervisorSpec("root")) as play:
        await play.supervisor.start_child(ChildSpec("s", SupervisorSpec("s")))
        await play.supervisor.start_child(stage.child("w"))
        counts = count_children(play.supervisor.snapshot.root)
        assert counts == Counts(specs=2, active=2, supervisors=1, workers=1)


@row("71")
async def test_count_restarting_children(stage: Stage) -> None:
    """A child in backoff has a spec and is not active; it recovers; terminating it cancels its restart."""
    stage.part("a", starts=only_in({2, 3}, OSError("still in use")))
    async with stage.play(SupervisorSpec("root", (stage.child("a", backoff=SLOW), stage.child("b")))) as play:
        await play.crash("a")  # the first restart is immediate, and fails
        assert play.state("a") is ChildState.BACKOFF
        counts = count_children(play.supervisor.snapshot.root)
        assert (counts.specs, counts.active) == (2, 1)
        await play.settle(300)
        assert play.state("a") is ChildState.RUNNING
        assert count_children(play.supervisor.snapshot.root).active == 2
        await play.crash("a")
        await play.crash("a")
        assert play.state("a") is ChildState.BACKOFF
        await play.supervisor.terminate_child("a")
        await play.supervisor.delete_child("a")
        await play.settle(300)
        assert play.lives["a"] == 5
        counts = count_children(play.supervisor.snapshot.root)
        assert (counts.specs, counts.active) == (1, 1)


@row("78", "80")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE, Strategy.POOL])
async def test_hanging_restart_loop(stage: Stage, strategy: Strategy) -> None:
    """While a restart hangs the supervisor answers: the child is restarting, others can come, and a stop works."""
    stage.part("a", starts=only_in({2}, HANG))
    async with stage.play(SupervisorSpec("root", strategy=strategy)) as play:
        supervisor = play.supervisor
        await supervisor.start_child(stage.child("a", start_timeout_s=float("inf")))
        await play.crash("a")
        assert play.state("a") is ChildState.STARTING
        await supervisor.ping()
        pool = strategy is Strategy.POOL
        expected = Refusal.POOL_MEMBER if pool else Refusal.RESTARTING
        assert await refusal(play, "restart", "a") is expected
        assert await refusal(play, "delete", "a") is expected
        with pytest.raises(ChildRefused, match="being restarted"):
            await supervisor.start_child(stage.child("a"))
        await supervisor.start_child(stage.child("b"))
        assert play.running == ["root/b"]
        await supervisor.terminate_child("a")
        assert play.state("a") is (None if pool else ChildState.STOPPED)
        if not pool:
            await supervisor.restart_child("a")
            assert play.running == ["root/a", "root/b"]
    assert stage.outcome is None
