"""The actor with a real warden beside it."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import psutil
import pytest

from actors.warden import WardenActor, WardenDied
from actors.warden import actor as module
from coordinator.warden.ward import ANSWER, ASKED, LINK, NOTHING_LEFT, Ward
from tests.unit.ledger.living import Life
from tests.unit.warden.owing import ward

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def watched(actor: WardenActor) -> AsyncIterator[int]:
    """One life of the actor, asked to stop at the end; the process id of its warden."""
    life = Life()
    async with anyio.create_task_group() as group:
        group.start_soon(actor.run, life)
        await life.up.wait()
        assert actor.pid is not None
        yield actor.pid
        life.stopping.set()


async def gone(pid: int) -> None:
    """Wait until the process has ended; the test's timeout bounds it."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110  # no event
            await anyio.sleep(0.01)


async def test_it_outlives_lives_and_goes_when_dismissed(tmp_path: Path) -> None:
    """The next life finds the warden of the last; it is in a session of its own and nobody's child; told that nothing
    is left, it ends without a trace.
    """
    actor = WardenActor(ward(tmp_path / "data"), {})
    async with watched(actor) as first:
        assert os.getsid(first) != os.getsid(0)
        assert first not in {child.pid for child in psutil.Process().children(recursive=True)}
    async with watched(actor) as second:
        assert second == first
    actor.dismiss(nothing_left=True)
    await gone(first)
    assert not (tmp_path / "data").exists()


async def test_its_death_ends_the_life_and_the_next_begins_another(tmp_path: Path) -> None:
    """A killed warden is a crash of the actor, which names it; the next life has a new one."""
    actor = WardenActor(ward(tmp_path), {})
    life = Life()
    with pytest.RaisesGroup(pytest.RaisesExc(WardenDied, match="has died")):
        async with anyio.create_task_group() as group:
            group.start_soon(actor.run, life)
            await life.up.wait()
            assert actor.pid is not None
            first = actor.pid
            os.kill(first, signal.SIGKILL)
    async with watched(actor) as second:
        assert second != first
    actor.dismiss(nothing_left=True)
    await gone(second)


async def test_one_that_is_stopped_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warden that does not answer is of no use: a crash of the actor, which names it; the next life has a new one."""
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.01)
    actor = WardenActor(ward(tmp_path), {})
    life = Life()
    with pytest.RaisesGroup(pytest.RaisesExc(WardenDied, match="has not answered")):
        async with anyio.create_task_group() as group:
            group.start_soon(actor.run, life)
            await life.up.wait()
            assert actor.pid is not None
            first = actor.pid
            os.kill(first, signal.SIGSTOP)
            monkeypatch.setattr(module, "ANSWERS_WITHIN_S", 0.1)
    monkeypatch.undo()
    async with watched(actor) as second:
        assert second != first
    actor.dismiss(nothing_left=True)
    await gone(second)
    os.kill(first, signal.SIGCONT)
    await gone(first)


async def test_one_that_answers_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Question after question, in one life, and an answer too many does no harm."""
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.01)
    parents, ours = socket.socketpair()
    parents.setblocking(False)
    parents.sendall(b"ready 4711\n")
    actor = WardenActor(ward(tmp_path), {LINK: str(ours.detach())})
    with parents:
        async with watched(actor):
            said = b""
            for asked in range(1, 4):
                while said.count(ASKED.encode()) < asked:
                    await anyio.wait_readable(parents)
                    said += parents.recv(4096)
                parents.sendall(f"{ANSWER}\n".encode() * asked)
        actor.dismiss(nothing_left=False)


async def test_a_parent_that_watches_is_made_use_of(tmp_path: Path) -> None:
    """With the line of a parent in the environment no process is started, and none of ours inherits the line."""
    parents, ours = socket.socketpair()
    environ = {LINK: str(os.dup(ours.fileno()))}
    os.set_inheritable(int(environ[LINK]), True)
    descriptor = int(environ[LINK])
    ours.close()
    parents.sendall(b"ready 4711\n")
    actor = WardenActor(ward(tmp_path), environ)
    assert environ == {}
    assert not os.get_inheritable(descriptor)
    async with watched(actor) as pid:
        assert pid == 4711
    actor.dismiss(nothing_left=True)
    with parents, parents.makefile() as said:
        assert Ward.parse(said.readline()) == ward(tmp_path)
        assert said.read() == f"{NOTHING_LEFT}\n"


async def test_without_a_word_it_is_left_to_its_work(tmp_path: Path) -> None:
    """Something is outstanding: the line is closed, and nothing said."""
    parents, ours = socket.socketpair()
    parents.sendall(b"ready 4711\n")
    actor = WardenActor(ward(tmp_path), {LINK: str(ours.detach())})
    async with watched(actor):
        pass
    actor.dismiss(nothing_left=False)
    with parents, parents.makefile() as said:
        assert len(said.readlines()) == 1


@pytest.mark.parametrize("said", [b"", b"ready\n", b"nonsense 1\n"])
async def test_one_that_does_not_watch_is_no_warden(tmp_path: Path, said: bytes) -> None:
    """Whatever answers in another way, or ends at once, is told and not relied on."""
    parents, ours = socket.socketpair()
    actor = WardenActor(ward(tmp_path), {LINK: str(ours.detach())})
    with parents:
        parents.sendall(said)
        parents.shutdown(socket.SHUT_WR)
        with pytest.raises(WardenDied, match="does not watch"):
            await actor.run(Life())


async def test_a_line_that_is_none_is_not_taken(tmp_path: Path) -> None:
    """A variable left over from somebody else: a warden of one's own is started."""
    actor = WardenActor(ward(tmp_path), {LINK: "99999"})
    async with watched(actor) as pid:
        assert psutil.pid_exists(pid)
    actor.dismiss(nothing_left=True)
    await gone(pid)
