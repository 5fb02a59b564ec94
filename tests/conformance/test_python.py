"""Behaviours that only Python has to get right: P1 to P12, but for those that need real time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from coordinator.supervision import (
    ChildContext,
    ChildRefused,
    ChildSpec,
    ChildState,
    DeliberateStop,
    ReportKind,
    Restart,
    SupervisorSpec,
    health,
)
from tests.conformance.rows import row
from tests.conformance.stage import HANG, SILENT, Stage, always
from tests.conformance.virtual_time import Backend

pytestmark = pytest.mark.anyio


@row("P1")
async def test_silent_return(stage: Stage) -> None:
    """A child that returns without saying that it is ready has failed to start, and nothing of it is left."""
    stage.part("a", starts=always(SILENT))
    async with stage.play(SupervisorSpec("root")) as play:
        tasks = len(anyio.get_running_tasks())
        with pytest.raises(ChildRefused, match="returned without saying that it was ready"):
            await play.supervisor.start_child(stage.child("a"))
        assert play.supervisor.snapshot.children == ()
        assert len(anyio.get_running_tasks()) == tasks
    assert stage.kinds() == [ReportKind.START_ERROR]


@row("P2")
async def test_stop_while_starting(stage: Stage) -> None:
    """A supervisor that is stopped while a child still starts stops that child too, when it has become ready."""
    tidy: list[str] = []

    async def slow(context: ChildContext) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2)
        context.ready()
        await context.stopping.wait()
        tidy.append("stopped")

    play = stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("slow", start=slow))))
    async with anyio.create_task_group() as group:
        group.start_soon(play._run)
        await anyio.sleep(1)
        play.supervisor.request_stop("changed our minds")
    assert tidy == ["stopped"]
    assert stage.log == ["+a", "-a"]
    assert stage.outcome is None


@row("P2")
async def test_cancel_while_starting(stage: Stage) -> None:
    """A supervisor that is cancelled while a child still starts leaves nothing running."""
    stage.part("b", starts=always(HANG), clean_up_s=1.0)
    supervisor = stage.supervisor(SupervisorSpec("root", (stage.child("a"), stage.child("b"))))
    with anyio.move_on_after(1):
        await supervisor.run()
    assert [part.alive for part in stage.parts.values()] == [0, 0]
    assert supervisor.snapshot.root.state is ChildState.STOPPED
    assert [child.state for child in supervisor.snapshot.children] == [ChildState.STOPPED] * 2
    with pytest.raises(ChildRefused):
        await supervisor.ping()


@row("P3")
async def test_start_deadline(stage: Stage) -> None:
    """A child that is not ready in time goes alone: its siblings are not disturbed."""
    stage.part("slow", starts=always(HANG))
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        with pytest.raises(ChildRefused, match="not ready within 3 s"):
            await play.supervisor.start_child(stage.child("slow", start_timeout_s=3.0))
        assert play.running == ["root/a"]
        assert play.lives == {"slow": 1, "a": 1}
        assert stage.parts["slow"].alive == 0


async def _stale() -> None:
    """Raise a cancellation outside of the scope it was meant for, as a library may that keeps exceptions."""
    kept: BaseException | None = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class() as error:
            kept = error
            raise
    assert kept is not None
    raise kept


async def _cancelled_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def _cancelled_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(10)


@row("P4")
@pytest.mark.parametrize("way", [_stale, _cancelled_future, _cancelled_task])
async def test_foreign_cancellation(stage: Stage, way: Callable[[], Awaitable[None]], anyio_backend: Backend) -> None:
    """A cancellation that the supervisor did not ask for is a crash: reported, and the child restarted."""
    if way is not _stale and anyio_backend[0] == "trio":
        return  # trio has no cancellation but its own scopes'

    async def fragile(context: ChildContext) -> None:
        context.ready()
        if context.incarnation == 1:
            await anyio.sleep(1)
            await way()
        await context.stopping.wait()

    async with stage.play(SupervisorSpec("root", (stage.child("a", start=fragile), stage.child("b")))) as play:
        await play.settle(2)
        view = play.view("a")
        assert view is not None
        assert (view.state, view.incarnation) == (ChildState.RUNNING, 2)
        assert view.last_error is not None
        assert "cancelled by something other than its supervisor" in view.last_error
    assert stage.kinds() == [ReportKind.CHILD_TERMINATED]
    assert stage.outcome is None


@row("P5")
async def test_exception_groups(stage: Stage) -> None:
    """Errors that come in groups are told apart by their leaves; a group of deliberate stops is no crash."""
    crash = ExceptionGroup("outer", [ValueError("one"), ExceptionGroup("inner", [KeyError("two"), DeliberateStop()])])
    calm = ExceptionGroup("all", [DeliberateStop("first"), DeliberateStop("second")])
    children = (stage.child("a", Restart.TRANSIENT), stage.child("b", Restart.TRANSIENT))
    async with stage.play(SupervisorSpec("root", children)) as play:
        await play.crash("a", crash)
        await play.crash("b", calm)
        assert play.running == ["root/a"]
    (report,) = (report for report in stage.reports if report.kind is ReportKind.CHILD_TERMINATED)
    assert report.reason == "2 errors: ValueError: one; KeyError: 'two'"


@row("P6")
async def test_clean_up_error(stage: Stage) -> None:
    """An error in the clean-up of a child that is being stopped is a stop error, and restarts nothing."""
    for name in ("a", "b"):
        stage.part(name, clean_up_error=OSError("cannot flush"))
    async with stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("b")))) as play:
        await play.supervisor.terminate_child("a")
        assert play.state("a") is ChildState.STOPPED
    assert stage.kinds() == [ReportKind.SHUTDOWN_ERROR] * 2
    assert play.lives == {"a": 1, "b": 1}
    assert stage.outcome is None


@row("P7")
async def test_clean_up_outlives_grace(stage: Stage) -> None:
    """A clean-up that outlives its grace is abandoned and named by health; what comes after it is still stopped."""
    stage.part("clinging", clean_up_s=1000.0)
    inner = SupervisorSpec("inner", (stage.child("deep"), stage.child("clinging", cancel_timeout_s=1.0)))
    children = (stage.child("first"), ChildSpec("inner", inner), stage.child("last"))
    async with stage.play(SupervisorSpec("root", children)) as play:
        play.supervisor.request_stop("enough")
        assert await play.supervisor.wait_stopped() == ("root/inner",)
        assert stage.log[4:] == ["-last", "-deep", "-first"]
        told = health(play.supervisor.snapshot)
        assert not told.live
        assert any(line.startswith("root/inner/clinging: abandoned: ") for line in told.degraded)
        assert not stage.ended.is_set()
        await stage.ended.wait()


@row("P10")
@pytest.mark.parametrize("quit_", [SystemExit(75), SystemExit("message"), KeyboardInterrupt()], ids=repr)
async def test_system_exit(stage: Stage, quit_: BaseException) -> None:
    """A child that wants the process to end has the whole tree stopped in order first; its exit code is kept."""
    inner = SupervisorSpec("inner", (stage.child("b"), stage.child("c"), stage.child("d")))
    children = (stage.child("a"), ChildSpec("inner", inner), stage.child("e"))
    async with stage.play(SupervisorSpec("root", children)) as play:
        await play.crash("c", quit_)
        await stage.ended.wait()
    assert stage.log[5:] == ["-c", "-d", "-b", "-e", "-a"]
    assert type(stage.outcome) is type(quit_)
    if isinstance(stage.outcome, SystemExit):
        assert isinstance(quit_, SystemExit)
        assert stage.outcome.code == quit_.code


@row("P11")
async def test_impatient_stop(stage: Stage) -> None:
    """A second request to stop shortens the grace of every child, of the one being stopped too, at any depth."""
    for name in ("a", "b", "c"):
        stage.part(name, obeys=False)
    inner = SupervisorSpec("inner", (stage.child("b", stop_timeout_s=100.0), stage.child("c", stop_timeout_s=100.0)))
    children = (stage.child("a", stop_timeout_s=100.0), ChildSpec("inner", inner))
    async with stage.play(SupervisorSpec("root", children)) as play:
        before = anyio.current_time()
        play.supervisor.request_stop("first signal")
        await play.settle(10)
        assert stage.log[3:] == []
        play.supervisor.request_stop("second signal", grace_s=1.0)
        await stage.ended.wait()
        assert anyio.current_time() - before == pytest.approx(13.0, abs=0.1)
    assert stage.log[3:] == ["-c", "-b", "-a"]


@row("P12")
async def test_restart_after_clean_up(stage: Stage) -> None:
    """A restart never begins before the clean-up of the former life has ended: the port is free again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    refused: list[OSError] = []

    async def server(context: ChildContext) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError as error:
                refused.append(error)
                raise
            context.ready()
            if context.incarnation < 5:
                raise ValueError("boom")
            await context.stopping.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            listener.close()

    async with stage.play(SupervisorSpec("root", (stage.child("server", start=server),))) as play:
        await play.settle(10)
        view = play.view("server")
        assert view is not None
        assert (view.state, view.incarnation) == (ChildState.RUNNING, 5)
        await play.supervisor.crash_child("server")
        await play.settle(10)
        view = play.view("server")
        assert view is not None
        assert (view.state, view.incarnation) == (ChildState.RUNNING, 6)
    assert refused == []
