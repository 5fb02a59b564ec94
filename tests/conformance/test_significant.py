"""OTP's cases about significant children and automatic shutdown: 55 to 61."""

from __future__ import annotations

import pytest

from coordinator.supervision import (
    AutoShutdown,
    ChildSpec,
    DeliberateStop,
    Restart,
    Strategy,
    SupervisorSpec,
)
from tests.conformance.rows import row
from tests.conformance.stage import Performance, Stage

pytestmark = pytest.mark.anyio

ENDS: tuple[BaseException | None, ...] = (None, DeliberateStop(), DeliberateStop("detail"), ValueError("boom"))
MODES = pytest.mark.parametrize("mode", list(AutoShutdown))
OWN_ENDS = pytest.mark.parametrize("end", ENDS, ids=repr)


def over(play: Performance) -> bool:
    """Whether the supervisor has ended by itself."""
    return play.stage.ended.is_set()


@row("55")
@MODES
@OWN_ENDS
async def test_nonsignificant_temporary(stage: Stage, mode: AutoShutdown, end: BaseException | None) -> None:
    """A temporary child that is not significant never shuts its supervisor down, however it ends."""
    children = (stage.child("t", Restart.TEMPORARY), stage.child("b"))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=mode)) as play:
        stage.parts["t"].end(end)
        await play.settle()
        assert not over(play)
        assert play.running == ["root/b"]


@row("56")
@MODES
@OWN_ENDS
async def test_nonsignificant_transient(stage: Stage, mode: AutoShutdown, end: BaseException | None) -> None:
    """Nor does a transient one; it is restarted after a crash."""
    async with stage.play(SupervisorSpec("root", (stage.child("t", Restart.TRANSIENT),), auto_shutdown=mode)) as play:
        stage.parts["t"].end(end)
        await play.settle()
        assert not over(play)
        assert play.running == (["root/t"] if isinstance(end, ValueError) else [])


@row("57")
@OWN_ENDS
async def test_significant_temporary_any(stage: Stage, end: BaseException | None) -> None:
    """With `any_significant` each own end of a significant temporary child ends the supervisor, cleanly."""
    children = (stage.child("s", Restart.TEMPORARY, significant=True), stage.child("b"))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)) as play:
        stage.parts["s"].end(end)
        await play.settle()
        assert over(play)
    assert stage.outcome is None
    assert stage.log[-1] == "-b"


@row("57")
@pytest.mark.parametrize("mode", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
async def test_operator_does_not_trigger(stage: Stage, mode: AutoShutdown) -> None:
    """A significant child that an operator stops does not end the supervisor."""
    children = (stage.child("s", Restart.TEMPORARY, significant=True), stage.child("b"))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=mode)) as play:
        await play.supervisor.terminate_child("s")
        await play.settle()
        assert not over(play)


@row("57")
async def test_significant_temporary_all(stage: Stage) -> None:
    """With `all_significant` only the last end of a significant child ends the supervisor."""
    children = tuple(stage.child(name, Restart.TEMPORARY, significant=True) for name in ("s1", "s2", "s3"))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=AutoShutdown.ALL_SIGNIFICANT)) as play:
        for name, last in (("s2", False), ("s1", False), ("s3", True)):
            await play.finish(name)
            assert over(play) is last


@row("58")
@pytest.mark.parametrize("mode", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
async def test_significant_transient(stage: Stage, mode: AutoShutdown) -> None:
    """A crash of a significant transient child restarts it and ends nothing; its normal end ends the supervisor."""
    children = (stage.child("s", Restart.TRANSIENT, significant=True), stage.child("b"))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=mode)) as play:
        await play.crash("s")
        assert play.running == ["root/s", "root/b"]
        await play.finish("s")
        assert over(play)
    assert stage.outcome is None


@row("59")
@pytest.mark.parametrize("mode", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
async def test_significant_simple(stage: Stage, mode: AutoShutdown) -> None:
    """A pool shuts itself down after the first, or only the last, of its significant members."""
    async with stage.play(SupervisorSpec("root", strategy=Strategy.POOL, auto_shutdown=mode)) as play:
        for name in ("s1", "s2"):
            await play.supervisor.start_child(stage.child(name, Restart.TEMPORARY, significant=True))
        await play.finish("s1")
        assert over(play) is (mode is AutoShutdown.ANY_SIGNIFICANT)
        if not over(play):
            await play.finish("s2")
        assert over(play)


@row("60")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
@pytest.mark.parametrize("mode", [AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT])
async def test_significant_bystander(stage: Stage, strategy: Strategy, mode: AutoShutdown) -> None:
    """A significant child that goes down with a crashed sibling does not end the supervisor."""
    children = (
        stage.child("a"),
        stage.child("s1", Restart.TEMPORARY, significant=True),
        stage.child("s2", Restart.TRANSIENT, significant=True),
    )
    async with stage.play(SupervisorSpec("root", children, strategy, auto_shutdown=mode)) as play:
        await play.crash("a")
        assert not over(play)
        alone = strategy is Strategy.ONE_FOR_ONE
        assert play.running == (["root/a", "root/s1", "root/s2"] if alone else ["root/a", "root/s2"])


@row("61")
@pytest.mark.parametrize("significant", [True, False])
async def test_significant_escalation(stage: Stage, significant: bool) -> None:
    """An automatic shutdown climbs to the next supervisor only if the one below is itself significant."""
    leaf = stage.child("leaf", Restart.TEMPORARY, significant=True)
    inner = SupervisorSpec("inner", (leaf,), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    children = (stage.child("b"), ChildSpec("inner", inner, Restart.TRANSIENT, significant=significant))
    async with stage.play(SupervisorSpec("root", children, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)) as play:
        await play.finish("leaf")
        assert over(play) is significant
    assert stage.outcome is None
