"""What both engines promise of locks, helpers and namespaces: what a coordinator may leave, and find again."""

from __future__ import annotations

from uuid import uuid4

import pytest

from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerState
from coordinator.faults.leftovers import Placed, Trace, look_command, parse_placed, parse_sight, remove_command
from coordinator.faults.locks import lock_command, unlock_command
from coordinator.faults.looks import Undo
from tests.contracts.engine_stage import Stage

pytestmark = pytest.mark.anyio


async def test_the_first_lock_stays(stage: Stage) -> None:
    """Locking a locked target changes nothing, so reading it back tells who holds it; unlocking frees it."""
    target = await stage.add()
    argvs = (("unpause", target.id), ("exec", target.id, "sh", "-c", 'echo "a, b" = {"c":1}'))
    undo = [
        Undo(
            container_id=target.id, name=target.name, started_at=target.started_at, command=DockerCommand(argv=argv),
            needed_in=(ContainerState.PAUSED,), restores=ContainerState.RUNNING,
        )
        for argv in argvs
    ]  # fmt: skip

    try:
        first = await stage.runner.run(lock_command(target.id, "one", "execution-1", "fault-1", 1e9, undo))
        second = await stage.runner.run(lock_command(target.id, "two", "execution-2", "fault-2", 2e9, []))
        locks = [lock for lock in await stage.facts.locks() if lock.container_id == target.id]
    finally:
        removed = await stage.runner.run(unlock_command(target.id))

    assert first.ok
    assert second.ok
    assert [(lock.instance, lock.execution, lock.fault, lock.expires) for lock in locks] == [
        ("one", "execution-1", "fault-1", 1e9)
    ]
    assert locks[0].undo == tuple(each.command.shown() for each in undo)
    assert [(each.run, each.argv) for each in locks[0].undos or ()] == [(target.started_at, argv) for argv in argvs]
    assert removed.ok
    assert target.id not in {lock.container_id for lock in await stage.facts.locks()}


async def test_a_lock_without_labels_is_nobodys(stage: Stage) -> None:
    """An engine that died while it made a lock has kept none: it is told as torn, and nobody can take it until it is
    removed.
    """
    # Of no container: any coordinator on this engine may remove one that is in the way.
    identity = uuid4().hex * 2

    async def found() -> list[bool]:
        return [lock.torn for lock in await stage.facts.locks() if lock.container_id == identity]

    try:
        assert (await stage.run("volume", "create", f"tc-{identity}")).ok
        assert await found() == [True]
        assert (await stage.runner.run(lock_command(identity, "one", "execution-1", "", 1e9, []))).ok
        assert await found() == [True]
    finally:
        removed = await stage.runner.run(unlock_command(identity))

    assert removed.ok
    assert await found() == []


async def test_helpers_are_found_and_removed(stage: Stage) -> None:
    """Containers with the role of a helper are listed, in whatever state, and go by force; no others do."""
    target, helper = await stage.add(), await stage.add("helper", role="helper")
    ours = {target.id, helper.id}

    async def present() -> list[str]:
        return [each.id for each in await stage.facts.helpers() if each.id in ours]

    assert await present() == [helper.id]
    await stage.run("kill", helper.id)
    assert await present() == [helper.id]
    assert (await stage.run("rm", "--force", helper.id)).ok
    assert await present() == []
    assert (await stage.look(target)).state is ContainerState.RUNNING


async def test_the_namespaces_of_the_engines_machine_are_looked_at(stage: Stage) -> None:
    """Looking tells of everything that bears our name; removing what is not there any more is no error."""
    looked = await stage.runner.run(look_command())
    assert looked.ok, looked.stderr
    inodes = {each.inode for each in parse_sight(looked.stdout).namespaces}
    absent = Placed(inode=max(inodes, default=0) + 1, trace=Trace(kind="table", name=f"tc_{'0' * 32}", family="inet"))
    removed = await stage.runner.run(remove_command([absent]))
    assert parse_placed(removed.stdout) == (absent,)
