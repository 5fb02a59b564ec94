"""Four behaviours that ractor's tests pin and OTP's do not: R1 to R4."""

from __future__ import annotations

import random
import sys

import anyio
import pytest

from coordinator.supervision import (
    Backoff,
    ChildRefused,
    ChildSpec,
    Refusal,
    ReportKind,
    Supervisor,
    SupervisorSpec,
)
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


class _Broken(random.Random):
    def random(self) -> float:
        raise ZeroDivisionError("the dice are broken")


@row("R1")
async def test_supervision_panic_in_supervisor_handle(stage: Stage) -> None:
    """A supervisor that itself crashes in handling a child's crash ends its children and raises."""
    children = (stage.child("a"), stage.child("b", backoff=Backoff()), stage.child("c"))
    supervisor = Supervisor(SupervisorSpec("root", children), clock=lambda: 0.0, random=_Broken())

    async def crash() -> None:
        async with anyio.create_task_group() as group:
            await group.start(supervisor.run)
            stage.parts["b"].end(ValueError("boom"))

    with pytest.raises(BaseExceptionGroup) as raised:
        await crash()
    assert raised.value.split(ZeroDivisionError)[1] is None
    assert stage.log[3:] == ["-b", "-c", "-a"]


@row("R2")
async def test_linked_spawn_rejects_a_draining_supervisor(stage: Stage) -> None:
    """A supervisor that is stopping takes no new children, and restarts none."""
    stage.part("slow", clean_up_s=10.0)
    async with stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("slow")))) as play:
        await play.supervisor.start_child(stage.child("down"))
        await play.supervisor.terminate_child("down")
        play.supervisor.request_stop("enough")
        await play.settle(1)
        for asking in (
            play.supervisor.start_child(stage.child("late")),
            play.supervisor.restart_child("down"),
            play.supervisor.delete_child("down"),
            play.supervisor.reset_child("down"),
        ):
            with pytest.raises(ChildRefused) as refused:
                await asking
            assert refused.value.reason is Refusal.DRAINING
        await play.supervisor.terminate_child("slow")
        assert play.lives["late"] == 0


LEVELS = 256
STACK = 120  # frames, of which the test runner itself needs about half


@row("R3")
async def test_terminating_a_deep_supervision_tree_is_iterative(stage: Stage) -> None:
    """A tree that is deeper than the stack starts, is read and stops: nothing in the supervisor recurses."""
    spec = SupervisorSpec("s", (stage.child("leaf"),))
    for _ in range(LEVELS):
        spec = SupervisorSpec("s", (ChildSpec("s", spec),))
    deep = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        deep, frame = deep + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(deep + STACK)
    try:
        async with stage.play(spec) as play:
            depth = sum(1 for _ in play.supervisor.snapshot.root.walk())
            assert depth == LEVELS + 2
            await play.stop()
    finally:
        sys.setrecursionlimit(limit)
    assert stage.log == ["+leaf", "-leaf"]
    assert stage.outcome is None


@row("R4")
async def test_supervision_panic_in_post_stop(stage: Stage) -> None:
    """A child whose clean-up fails when it is stopped is reported as a failure."""
    stage.part("a", clean_up_error=OSError("cannot say goodbye"))
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))):
        pass
    (report,) = (report for report in stage.reports if report.kind is not ReportKind.PROGRESS)
    assert (report.kind, report.reason) == (ReportKind.SHUTDOWN_ERROR, "OSError: cannot say goodbye")
