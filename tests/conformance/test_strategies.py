"""OTP's cases about strategies and the restart budget: 29 to 35, 38, 40 to 42, 76 and 79."""

from __future__ import annotations

import pytest

from coordinator.supervision import ChildState, Escalated, ReportKind, Restart, Strategy, SupervisorSpec
from tests.conformance.rows import row
from tests.conformance.stage import HANG, Stage, only_in

pytestmark = pytest.mark.anyio

TWICE = 2  # restarts allowed within a period, as in OTP's own cases
PERIOD_S = 3600.0


def tree(stage: Stage, strategy: Strategy, *names: str) -> SupervisorSpec:
    """A supervisor of permanent workers that stands two crashes an hour."""
    return SupervisorSpec("root", tuple(stage.child(name) for name in names), strategy, TWICE, PERIOD_S)


@row("29")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_multiple_restarts(stage: Stage, strategy: Strategy) -> None:
    """Crashes that are spaced beyond the period never use up the budget."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),), strategy, 1, 10.0)) as play:
        for _ in range(50):
            await play.crash("a")
            assert play.running == ["root/a"]
            await play.settle(10.1)
    assert stage.outcome is None


@row("30")
async def test_one_for_one(stage: Stage) -> None:
    """Only the crashed child is new; the third crash within the period ends the supervisor and its other children."""
    async with stage.play(tree(stage, Strategy.ONE_FOR_ONE, "a", "b")) as play:
        await play.crash("a")
        assert play.lives == {"a": 2, "b": 1}
        await play.crash("b")
        assert play.lives == {"a": 2, "b": 2}
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)
        assert stage.outcome.child == "root/a"
        assert play.running == []
    assert stage.kinds()[-1] is ReportKind.SHUTDOWN


@row("31", "38")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
async def test_one_for_one_escalation(stage: Stage, strategy: Strategy) -> None:
    """A child that cannot be started again uses up the budget by its attempts; its siblings go down too."""
    stage.part("a", starts=lambda life: OSError("in use") if life > 1 else None)
    async with stage.play(SupervisorSpec("root", (), strategy, TWICE, PERIOD_S)) as play:
        await play.supervisor.start_child(stage.child("a"))
        await play.supervisor.start_child(stage.child("b"))
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)
        assert play.lives == {"a": 1 + TWICE, "b": 1}
        assert [part.alive for part in stage.parts.values()] == [0, 0]


@row("32")
async def test_one_for_all(stage: Stage) -> None:
    """All children are new after a crash of one; the third crash within the period ends the supervisor."""
    async with stage.play(tree(stage, Strategy.ONE_FOR_ALL, "a", "b", "c")) as play:
        await play.crash("b")
        assert play.lives == {"a": 2, "b": 2, "c": 2}
        assert stage.log[3:] == ["-b", "-c", "-a", "+a", "+b", "+c"]
        await play.crash("c")
        assert play.lives == {"a": 3, "b": 3, "c": 3}
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)


@row("33")
async def test_one_for_all_escalation(stage: Stage) -> None:
    """A sibling that fails to start again, time after time, escalates."""
    stage.part("b", starts=lambda life: OSError("gone") if life > 1 else None)
    async with stage.play(tree(stage, Strategy.ONE_FOR_ALL, "a", "b")) as play:
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)
        assert stage.outcome.child == "root/b"
        assert play.lives == {"a": 1 + TWICE, "b": 1 + TWICE}


@row("34")
async def test_one_for_all_other_child_fails_restart(stage: Stage) -> None:
    """A sibling fails in the middle of a restart: what was restarted is stopped, and all is tried again."""
    stage.part("b", starts=only_in({2}, OSError("not yet")))
    async with stage.play(tree(stage, Strategy.ONE_FOR_ALL, "a", "b", "c")) as play:
        await play.crash("a")
        assert stage.log[3:] == ["-a", "-c", "-b", "+a", "-b", "-a", "+a", "+b", "+c"]
        assert play.running == ["root/a", "root/b", "root/c"]
        assert play.lives == {"a": 3, "b": 3, "c": 2}


@row("35")
async def test_simple_one_for_one(stage: Stage) -> None:
    """In a pool only the crashed member is new, and all share one budget."""
    async with stage.play(SupervisorSpec("root", (), Strategy.POOL, TWICE, PERIOD_S)) as play:
        for name in ("a", "b"):
            await play.supervisor.start_child(stage.child(name))
        await play.crash("a")
        assert play.lives == {"a": 2, "b": 1}
        await play.crash("b")
        assert play.lives == {"a": 2, "b": 2}
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)


@row("40")
async def test_rest_for_one(stage: Stage) -> None:
    """Earlier siblings keep their identity, later ones are new; the third crash ends the supervisor."""
    async with stage.play(tree(stage, Strategy.REST_FOR_ONE, "a", "b", "c")) as play:
        await play.crash("b")
        assert play.lives == {"a": 1, "b": 2, "c": 2}
        await play.crash("c")
        assert play.lives == {"a": 1, "b": 2, "c": 3}
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)


@row("41")
async def test_rest_for_one_escalation(stage: Stage) -> None:
    """A later sibling that fails to start again, time after time, escalates."""
    stage.part("b", starts=lambda life: OSError("gone") if life > 1 else None)
    async with stage.play(tree(stage, Strategy.REST_FOR_ONE, "a", "b")) as play:
        await play.crash("a")
        assert isinstance(stage.outcome, Escalated)
        assert stage.outcome.child == "root/b"


@row("42")
async def test_rest_for_one_other_child_fails_restart(stage: Stage) -> None:
    """When a sibling fails in the middle of a restart, the next try begins at it, not at the one that crashed first."""
    stage.part("b", starts=only_in({2}, OSError("not yet")))
    async with stage.play(tree(stage, Strategy.REST_FOR_ONE, "a", "b", "c")) as play:
        await play.crash("a")
        assert stage.log[3:] == ["-a", "-c", "-b", "+a", "-b", "+b", "+c"]
        assert play.lives == {"a": 2, "b": 3, "c": 2}


@row("76")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_temporary_bystander(stage: Stage, strategy: Strategy) -> None:
    """A temporary child that goes down with a sibling is not restarted, and costs no budget."""
    children = (stage.child("a"), stage.child("t", Restart.TEMPORARY), stage.child("b"))
    async with stage.play(SupervisorSpec("root", children, strategy, 1, PERIOD_S)) as play:
        await play.crash("a")
        assert play.running == ["root/a", "root/b"]
        assert play.view("t") is None
        assert play.lives == {"a": 2, "t": 1, "b": 2}
    assert stage.outcome is None


@row("79")
async def test_hanging_restart_loop_rest_for_one(stage: Stage) -> None:
    """While a restart hangs, later siblings are stopped and earlier ones still run."""
    stage.part("b", starts=only_in({2}, HANG))
    spec = SupervisorSpec(
        "root",
        (stage.child("a"), stage.child("b", start_timeout_s=float("inf")), stage.child("c")),
        Strategy.REST_FOR_ONE,
    )
    async with stage.play(spec) as play:
        await play.crash("b")
        assert play.running == ["root/a"]
        assert play.state("b") is ChildState.STARTING
        assert play.state("c") is ChildState.STOPPED
        await play.supervisor.terminate_child("b")
        await play.settle()
        assert play.running == ["root/a", "root/c"]
