"""The end of the process: asked, drained, stopped in order, and the status that it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import anyio
import pytest

from coordinator.errors import LedgerUnavailable
from coordinator.process import EXIT_LEFT_BROKEN, EXIT_OK, Process
from coordinator.supervision import ChildContext, ChildSpec, Supervisor, SupervisorSpec
from tests.conformance.virtual_time import Backend, virtual_backend

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


async def all_put_back(_reason: str) -> bool:
    """A drain that leaves nothing."""
    return True


async def ended(
    drain: Callable[[str], Awaitable[bool]], stop: Callable[[Process], None] | None = None
) -> tuple[int, list[str]]:
    """The status of a process with one child that is stopped as soon as it is up, and what the child went through.

    `stop` stops it otherwise than by a call: with signals taken.
    """
    told: list[str] = []

    async def body(life: ChildContext) -> None:
        life.ready()
        await life.stopping.wait()
        told.append("asked to stop")

    async def started() -> None:
        if stop is None:
            process.stop("enough")
        else:
            stop(process)

    supervisor = Supervisor(
        SupervisorSpec("root", (ChildSpec("only", body),)), clock=anyio.current_time, random=Random(1)
    )
    process = Process(supervisor, drain=drain, on_started=started, deadline_s=float("inf"))
    with anyio.fail_after(60):
        return await process.run(take_signals=stop is not None), told


async def test_all_put_back() -> None:
    """Everything drained: its children are asked to stop, and the status is success."""
    assert await ended(all_put_back) == (EXIT_OK, ["asked to stop"])


async def test_something_left() -> None:
    """What is not undone shows in the status, and the children are stopped all the same."""

    async def drain(_reason: str) -> bool:
        return False

    assert await ended(drain) == (EXIT_LEFT_BROKEN, ["asked to stop"])


async def test_without_a_ledger_it_still_ends_in_order() -> None:
    """A ledger that cannot be asked is no reason to end with a traceback: nobody knows what is left, and it says so."""

    async def drain(_reason: str) -> bool:
        raise LedgerUnavailable("the disk is gone")

    assert await ended(drain) == (EXIT_LEFT_BROKEN, ["asked to stop"])


@contextmanager
def hangup_is(handler: Any) -> Iterator[None]:
    """What the process was started to do with SIGHUP."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_the_end_of_its_terminal_is_an_orderly_end() -> None:
    """SIGHUP undoes and stops as SIGTERM does: a terminal that is closed leaves nothing broken."""
    with hangup_is(lambda *_: None):
        assert await ended(all_put_back, lambda _: os.kill(os.getpid(), signal.SIGHUP)) == (EXIT_OK, ["asked to stop"])


async def test_started_to_outlive_its_terminal() -> None:
    """Under `nohup` a hangup stays ignored."""
    seen: list[object] = []

    def stop(process: Process) -> None:
        seen.append(signal.getsignal(signal.SIGHUP))
        process.stop("enough")

    with hangup_is(signal.SIG_IGN):
        assert await ended(all_put_back, stop) == (EXIT_OK, ["asked to stop"])
    assert seen == [signal.SIG_IGN]


async def test_asked_to_end_while_it_starts() -> None:
    """A stop before the tree was ever up ends it in order as well: status 0, and nobody is told that it started."""
    started: list[str] = []

    async def slow(life: ChildContext) -> None:
        process.stop("too early")
        await life.stopping.wait()

    async def say_started() -> None:
        started.append("up")

    supervisor = Supervisor(
        SupervisorSpec("root", (ChildSpec("slow", slow),)), clock=anyio.current_time, random=Random(1)
    )
    process = Process(supervisor, drain=all_put_back, on_started=say_started, deadline_s=float("inf"))
    with anyio.fail_after(60):
        assert await process.run(take_signals=False) == 0
    assert started == []


HELD = """
import random, sys, time
import anyio
from coordinator.process import Process
from coordinator.supervision import ChildSpec, Supervisor, SupervisorSpec

async def body(life):
    life.ready()
    await life.stopping.wait()
    {holds}

async def main():
    async def started():
        process.stop("enough")
    async def drain(reason):
        return True
    spec = SupervisorSpec("root", (ChildSpec("only", body, stop_timeout_s=0.1, cancel_timeout_s=0.1),))
    supervisor = Supervisor(spec, clock=time.time, random=random.Random(1))
    process = Process(supervisor, drain=drain, on_started=started, deadline_s=1.0)
    return await process.run()

sys.exit(anyio.run(main))
"""


@pytest.mark.parametrize(
    "holds",
    [
        pytest.param("with anyio.CancelScope(shield=True): await anyio.sleep_forever()", id="a shielded wait"),
        pytest.param("time.sleep(3600)", id="a blocked event loop"),
    ],
)
def test_what_does_not_end_is_ended_with_the_process(holds: str) -> None:
    """An actor that outlives every deadline, or blocks the event loop itself, cannot keep the process: status 1."""
    program = [sys.executable, "-c", HELD.format(holds=holds)]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (1, "")
