"""Behaviours that keep a processor or a thread busy, which a virtual clock cannot see: P8 and P9, on real clocks."""

from __future__ import annotations

import threading

import anyio
import anyio.to_thread
import pytest

from coordinator.supervision import ChildContext, ChildState, ReportKind, SupervisorSpec
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Each event loop on its real clock."""
    return str(request.param)


@row("P8")
async def test_swallowed_cancellation(stage: Stage) -> None:
    """A child that swallows its cancellation again and again is abandoned; the supervisor still answers."""
    enough = anyio.Event()

    async def swallowing(context: ChildContext) -> None:
        context.ready()
        while not enough.is_set():
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                pass

    deaf = stage.child("deaf", start=swallowing, stop_timeout_s=0.05, cancel_timeout_s=0.05)
    async with stage.play(SupervisorSpec("root", (stage.child("a"), deaf))) as play:
        play.supervisor.request_stop("enough")
        assert await play.supervisor.wait_stopped() == ("root/deaf",)
        assert play.state("deaf") is ChildState.ABANDONED
        assert play.state("a") is ChildState.STOPPED
        enough.set()
        await stage.ended.wait()
    assert stage.kinds() == [ReportKind.SHUTDOWN_ERROR]


@row("P9")
async def test_blocking_thread(stage: Stage) -> None:
    """A blocking call in a thread holds a stop up for its grace only, and the report names what the thread runs."""
    let_go = threading.Event()

    def blocking_call() -> None:
        let_go.wait(30)

    async def child(context: ChildContext) -> None:
        context.ready()
        await anyio.to_thread.run_sync(blocking_call)

    busy = stage.child("busy", start=child, stop_timeout_s=0.05, cancel_timeout_s=0.05)
    async with stage.play(SupervisorSpec("root", (stage.child("a"), busy))) as play:
        await play.settle(0.05)
        play.supervisor.request_stop("enough")
        assert await play.supervisor.wait_stopped() == ("root/busy",)
        assert stage.log == ["+a", "-a"]
        let_go.set()
        await stage.ended.wait()
    (report,) = (report for report in stage.reports if report.kind is ReportKind.SHUTDOWN_ERROR)
    assert "in a worker thread running" in report.reason
    assert "blocking_call" in report.reason
