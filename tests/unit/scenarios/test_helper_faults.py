"""Faults done by helpers, played on the simulated engine: the image first, then locks, labels, effect and undo."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from coordinator.errors import AbilityMissing
from coordinator.faults.commands import Command, HttpCommand, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.ports import Tell
from coordinator.record import FaultState, UndoState, Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet
from tests.unit.scenarios.test_follow import played, scenario, told

pytestmark = pytest.mark.anyio

CRASH = """
targets: {t: {names: [web, db]}}
phases:
  - {name: crash, duration: 5s, faults: [{type: container_crash, target: t, at: 1s}],
     assert: [{container: {target: w, state: running, restarts: "== 1"}}]}
"""
SCENARIO = CRASH.replace("targets: {t:", "targets: {w: {names: [web]}, t:")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@dataclass
class Handy:
    """The hands of an execution that note what they are asked to have ready."""

    made: Fleet
    calls: list[str]
    times: float
    """How often the image is there."""

    async def run(self, command: Command) -> Outcome:
        return await self.made.runner.run(command)

    def listen(self, tell: Tell) -> None:
        """It has nothing to tell."""

    async def ready(self, commands: Collection[Command]) -> None:
        if any(command.of_helper for command in commands):
            self.calls.append("ready")
            if self.calls.count("ready") > self.times:
                raise AbilityMissing("no helper image")


def with_hands(made: Fleet, calls: list[str], *, times: float = math.inf) -> None:
    """Note when helpers are to be ready, beside what is run."""

    @asynccontextmanager
    async def hands(execution_id: str) -> AsyncIterator[Handy]:
        yield Handy(made, calls, times)

    async def noted(command: Command) -> None:
        calls.append(" ".join(command.argv[:2] if command.argv[0] == "volume" else command.argv[:1]))

    made.tools = replace(made.tools, hands=hands)
    made.runner.before = noted


async def test_a_crash_is_played_to_the_end() -> None:
    """The image is ready before anything is armed, one helper hits both targets, the policy restarts the one that has
    one, and the undo starts the other alone.
    """
    calls: list[str] = []
    async with fleet("db") as made:
        made.engine.add("web", restart_policy="always")
        with_hands(made, calls)
        execution = await made.play(SCENARIO)

        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE), execution.reason
        assert calls == ["volume create", "volume create", "ready", "ready", "run", "start", "volume rm", "volume rm"]
        assert made.runner.verbs() == ["run", "start"]
        (helper,) = (text for _, text in made.runner.ran if text.startswith("run "))
        assert f"test-coordinator.execution={execution.id}" in helper
        assert f"test-coordinator.fault={execution.faults[0].id}" in helper
        assert [made.engine.state.find(name).restart_count for name in ("web", "db")] == [1, 0]
        assert {made.state("web"), made.state("db")} == {ContainerState.RUNNING}


async def test_a_crash_of_a_frozen_container_is_undone_when_it_comes_about() -> None:
    """It ends before the pause that hides it: when the pause is undone the container dies, and is started again."""
    faults = "[{type: container_pause, target: t}, {type: container_crash, target: t, at: 1s, for: 1s}]"
    async with fleet("db") as made:
        scenario = f"targets: {{t: {{names: [db]}}}}\nphases:\n  - {{name: both, duration: 30s, faults: {faults}}}\n"
        execution = await made.play(scenario)

        assert (execution.verdict, execution.undo) == (Verdict.NOT_INJECTED, UndoState.COMPLETE), execution.reason
        assert made.runner.verbs() == ["pause", "run", "unpause", "start"]
        assert (made.engine.state.find("db").runs, made.state("db")) == (2, ContainerState.RUNNING)
        assert await made.ledger.faults(outstanding=True) == ()


async def test_without_an_image_nothing_is_hit() -> None:
    """The verdict is error with the reason, no fault was armed, and the locks are released."""
    calls: list[str] = []
    async with fleet("db", "web") as made:
        with_hands(made, calls, times=0)
        execution = await made.play(SCENARIO)

        assert (execution.verdict, execution.reason) == (Verdict.ERROR, "no helper image")
        assert made.runner.verbs() == []
        assert await made.rows() == ()
        assert made.engine.state.volumes == {}


async def test_without_an_image_nothing_is_hit_again() -> None:
    """It is told why, and the execution goes on."""
    async with fleet("a", "b") as made:
        with_hands(made, [], times=2)
        fault = "type: cpu_limit, target: a, cpus: 1, on_target_restart: reapply"
        execution = await played(made, scenario(fault), (4.0, "restart", "a"))

        assert set(told(execution, "fault_not_reapplied")) == {"no helper image"}
        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE), execution.reason


async def test_other_faults_need_no_image() -> None:
    """A scenario without a fault done by a helper does not ask for the image."""
    calls: list[str] = []
    async with fleet("db", "web") as made:
        with_hands(made, calls, times=0)
        execution = await made.play(SCENARIO.replace("container_crash", "container_kill"))

        assert "ready" not in calls
        assert execution.verdict is Verdict.FAILED


CALL = """
targets: {t: {names: [web]}}
phases:
  - name: call
    duration: 100ms
    faults:
      - type: http_call
        target: t
        inject: {port: 80, path: /chaos, json: {errors: 30, mode: "30", on: true, none: null, list: [1.5, x, 007]}}
        undo: {method: DELETE, port: 80, path: /chaos}
"""


async def test_a_call_is_sent_and_sent_again_until_it_is_answered() -> None:
    """What stands under json keeps its types; an undo that nobody answered is sent again."""
    async with fleet("web") as made:
        sent: list[str] = []

        class Refusing:
            """Passes on all but the first call that is to end it."""

            async def run(self, command: Command) -> Outcome:
                if isinstance(command, HttpCommand):
                    sent.append(f"{command.method} {command.body}")
                    if sent.count("DELETE None") == 1:
                        return Outcome(exit_code=1, stderr="answered 503")
                return await made.engine.runner.run(command)

        made.runner.runner = Refusing()
        execution = await made.play(CALL)

        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE), execution.reason
        body = '{"errors": 30, "mode": "30", "on": true, "none": null, "list": [1.5, "x", "007"]}'
        assert sent == [f"POST {body}", "DELETE None", "DELETE None"]


async def test_a_call_is_owed_to_one_that_is_down_until_it_is_up_again() -> None:
    """A service may remember over a restart what it was told: the call that ends it waits, and goes to the next run."""
    call, stop = ("{type: http_call, target: t, for: 4s, inject: {port: 80}, undo: {port: 80, path: /end}}",
                  "{type: container_stop, target: t, at: 2s, for: 20s}")  # fmt: skip
    async with fleet("web") as made:
        phase = f"{{name: p, duration: 30s, faults: [{call}, {stop}]}}"
        execution = await made.play(f"targets: {{t: {{names: [web]}}}}\nphases: [{phase}]\n")

        assert (execution.verdict, execution.undo) == (Verdict.PASSED, UndoState.COMPLETE), execution.reason
        verbs = made.runner.verbs()
        assert verbs[:3] == ["curl", "stop", "curl"]
        assert verbs[verbs.index("start") :] == ["start", "curl"]
        assert execution.faults[0].targets[0].outcome == "effective; put back"


async def test_a_call_to_one_that_stays_down_is_left_until_somebody_starts_it() -> None:
    """The execution ends with the reason, and whoever undoes later sends it; to one that is removed nothing is owed."""
    die = "{type: container_kill, target: t, at: 1s, restore: false}"
    call = "{type: http_call, target: t, inject: {port: 80}, undo: {port: 80, path: /end}}"
    scenario = f"targets: {{t: {{names: [a, b]}}}}\nphases: [{{name: p, duration: 2s, faults: [{call}, {die}]}}]\n"
    async with fleet("a", "b") as made:
        execution = await made.play(scenario)
        assert execution.undo is UndoState.INCOMPLETE
        (row,) = await made.ledger.faults(outstanding=True)
        assert "has no address: it is not running" in row.last_error

        await made.engine.start("a")
        made.engine.remove("b")
        done = await made.undoer.undo(row, 30)
        assert done.fault.state is FaultState.UNDONE
        assert [target.outcome for target in done.fault.targets] == [
            "effective; put back", "effective; container is gone: nothing to undo",
        ]  # fmt: skip
