"""OTP's cases about memory and scale: 39, 73, 75 and 86. Costs are compared with each other, never with a clock."""

from __future__ import annotations

import gc
import time
import weakref

import pytest

from coordinator.supervision import ChildContext, ChildSpec, Restart, Strategy, SupervisorSpec
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


class Argument:
    """Something large that a child was started with."""


@row("39", "73")
@pytest.mark.parametrize("strategy", list(Strategy))
async def test_start_parameters_of_temporary_children_are_not_kept(stage: Stage, strategy: Strategy) -> None:
    """Once a temporary child has begun, only its body decides how long what it was started with is kept."""
    kept: list[weakref.ref[Argument]] = []

    def specify() -> ChildSpec:
        argument = Argument()
        kept.append(weakref.ref(argument))

        class Start:
            def __init__(self) -> None:
                self.argument = argument

            def __call__(self, context: ChildContext) -> object:
                return work(context)

        return stage.child("t", Restart.TEMPORARY, start=Start())  # type: ignore[arg-type]  # returns a coroutine

    async def work(context: ChildContext) -> None:
        context.ready()
        await context.stopping.wait()

    async with stage.play(SupervisorSpec("root", strategy=strategy)) as play:
        await play.supervisor.start_child(specify())
        await play.settle()
        gc.collect()
        assert play.running == ["root/t"]
        assert kept[0]() is None


async def _idle(context: ChildContext) -> None:
    context.ready()
    await context.stopping.wait()


@row("75")
async def test_simple_one_for_one_scale_many_temporary_children(stage: Stage) -> None:
    """Terminating ten times as many members of a pool costs far less than fifty times as much."""
    costs: list[float] = []
    for members in (300, 3000):
        async with Stage().play(SupervisorSpec("root", strategy=Strategy.POOL)) as play:
            for number in range(members):
                await play.supervisor.start_child(ChildSpec(f"m{number}", _idle, Restart.TEMPORARY))
            before = time.process_time()
            for number in range(members):
                await play.supervisor.terminate_child(f"m{number}")
            costs.append(time.process_time() - before)
            assert play.supervisor.snapshot.children == ()
    assert costs[1] < 50 * costs[0]


@row("86")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
async def test_scale_start_stop_many_children(stage: Stage, strategy: Strategy) -> None:
    """Starting and stopping twenty times as many children stays within ten times of linear."""
    costs: list[float] = []
    for members in (150, 3000):
        before = time.process_time()
        if strategy is Strategy.POOL:
            async with Stage().play(SupervisorSpec("root", strategy=strategy)) as play:
                for number in range(members):
                    await play.supervisor.start_child(ChildSpec(f"m{number}", _idle))
        else:
            children = tuple(ChildSpec(f"m{number}", _idle) for number in range(members))
            async with Stage().play(SupervisorSpec("root", children)) as play:
                assert len(play.running) == members
        costs.append(time.process_time() - before)
    assert costs[1] < 10 * 20 * costs[0]
