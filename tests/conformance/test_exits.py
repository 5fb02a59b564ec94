"""OTP's cases about what an end means for each restart class: 43 to 48, 50 to 52, and 74."""

from __future__ import annotations

import pytest

from coordinator.supervision import (
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

STRATEGIES = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]


async def end(stage: Stage, restart: Restart, error: BaseException | None) -> ChildState | None:
    """Let a child of a class end in a way; the state it is in then."""
    async with stage.play(SupervisorSpec("root", (stage.child("a", restart), stage.child("b")))) as play:
        stage.parts["a"].end(error)
        await play.settle()
        assert play.lives["b"] == 1
        return play.state("a")


@row("43")
async def test_permanent_normal(stage: Stage) -> None:
    """A permanent child that returns is restarted, and that is reported."""
    assert await end(stage, Restart.PERMANENT, None) is ChildState.RUNNING
    assert stage.kinds() == [ReportKind.CHILD_TERMINATED]


@row("44")
async def test_transient_normal(stage: Stage) -> None:
    """A transient child that returns stays down, its spec is kept, and nothing is reported."""
    assert await end(stage, Restart.TRANSIENT, None) is ChildState.STOPPED
    assert stage.kinds() == []


@row("45")
async def test_temporary_normal(stage: Stage) -> None:
    """A temporary child that returns is forgotten, and nothing is reported."""
    assert await end(stage, Restart.TEMPORARY, None) is None
    assert stage.kinds() == []


DELIBERATE = pytest.mark.parametrize("error", [DeliberateStop(), DeliberateStop("a detail")], ids=repr)


@row("46")
@DELIBERATE
async def test_permanent_shutdown(stage: Stage, error: DeliberateStop) -> None:
    """A permanent child that stops on purpose is restarted."""
    assert await end(stage, Restart.PERMANENT, error) is ChildState.RUNNING


@row("47")
@DELIBERATE
async def test_transient_shutdown(stage: Stage, error: DeliberateStop) -> None:
    """A transient child that stops on purpose stays down, its spec is kept, and nothing is reported."""
    assert await end(stage, Restart.TRANSIENT, error) is ChildState.STOPPED
    assert stage.kinds() == []


@row("48")
@DELIBERATE
async def test_temporary_shutdown(stage: Stage, error: DeliberateStop) -> None:
    """A temporary child that stops on purpose is forgotten, and nothing is reported."""
    assert await end(stage, Restart.TEMPORARY, error) is None
    assert stage.kinds() == []


@row("50")
async def test_permanent_abnormal(stage: Stage) -> None:
    """A permanent child that crashes is restarted, and the crash reported."""
    assert await end(stage, Restart.PERMANENT, ValueError("boom")) is ChildState.RUNNING
    assert stage.kinds() == [ReportKind.CHILD_TERMINATED]


@row("51")
async def test_transient_abnormal(stage: Stage) -> None:
    """A transient child that crashes is restarted, and the crash reported."""
    assert await end(stage, Restart.TRANSIENT, ValueError("boom")) is ChildState.RUNNING
    assert stage.kinds() == [ReportKind.CHILD_TERMINATED]


@row("52")
async def test_temporary_abnormal(stage: Stage) -> None:
    """A temporary child that crashes is forgotten, and the crash reported."""
    assert await end(stage, Restart.TEMPORARY, ValueError("boom")) is None
    assert stage.kinds() == [ReportKind.CHILD_TERMINATED]


@row("74")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("way", ["normal", "deliberate", "crash", "terminated"])
async def test_do_not_save_child_specs_for_temporary_children(
    stage: Stage, strategy: Strategy, restart: Restart, way: str
) -> None:
    """However a child ends, the spec of a temporary one is gone and any other's is kept."""
    errors = {"normal": None, "deliberate": DeliberateStop(), "crash": ValueError("boom")}
    async with stage.play(SupervisorSpec("root", (stage.child("a", restart),), strategy)) as play:
        if way == "terminated":
            await play.supervisor.terminate_child("a")
        else:
            stage.parts["a"].end(errors[way])
            await play.settle()
        if restart is Restart.TEMPORARY:
            with pytest.raises(ChildRefused) as refused:
                play.supervisor.child_spec("a")
            assert refused.value.reason is Refusal.UNKNOWN
        else:
            assert play.supervisor.child_spec("a").restart is restart
