"""The commands of one execution through a helper that is held open, which a program of the test plays."""

from __future__ import annotations

import os
import sys

import anyio
import pytest
from anyio.abc import Process

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.hands import namespace_hands
from actors.docker.processes import start
from coordinator.faults.commands import LIMITS_PROGRAM, STRESS_PROGRAM, Command, DockerCommand, Outcome, in_namespace
from coordinator.faults.limits import beside_cgroups

pytestmark = pytest.mark.anyio

TARGET = "c" * 64
FAULT = "0" * 32
HELPER = """
import json, sys
print('{"ready": true}', flush=True)
asked = []
while len(asked) < 2:
    told = json.loads(sys.stdin.readline())
    if "ask" in told:
        asked.append(told["id"])
for number in asked:
    print(json.dumps({"id": number, "exit": 0, "out": "", "error": ""}), flush=True)
"""
"""Answers a put only when its removal is asked for as well, then is lost."""

SHORT = HELPER.replace("< 2", "< 1")
"""Answers a put, then is lost."""


COUNTS = '{"was_there": true, "packets": 0}'
STAYS = f"""
import json, sys
print('{{"ready": true}}', flush=True)
for line in sys.stdin:
    told = json.loads(line)
    if "ask" in told:
        print(json.dumps({{"id": told["id"], "exit": 0, "out": {COUNTS!r}, "error": ""}}), flush=True)
"""
"""Answers whatever is asked, with counts."""


class Runner(DockerCommandRunner):
    """Opens such helpers."""

    def __init__(self) -> None:
        super().__init__("", str)
        self.program = HELPER
        self.opened = 0
        self.replaced = anyio.Event()
        """What was lost has been put by another helper, which is lost in its turn."""
        self.began = ""

    async def hold(self, command: DockerCommand) -> tuple[Process, str]:
        """One more."""
        self.opened += 1
        if self.opened > 2:
            self.replaced.set()
        return await start([sys.executable, "-c", self.program], os.environ, fed=True), ""

    async def prepare_helper(self) -> None:
        """There is nothing to prepare."""

    async def run(self, command: Command) -> Outcome:
        """Which run is up, and what a helper that is lost does not answer."""
        return Outcome(exit_code=0, stdout=f"{TARGET} {self.began}\n" if command.argv[0] == "inspect" else "")


async def test_what_is_taken_out_before_it_was_answered_is_not_put_once_more() -> None:
    """Although the put was done, and its helper is lost then: nobody would take it out again."""
    lost = anyio.Event()
    async with namespace_hands(Runner(), "e") as hands:
        put = in_namespace(TARGET, "put", f"fault={FAULT} execution=e instance=i expires=4000000000", "{}")
        hands.listen(lambda *_: lost.set())
        await hands.ready([put])
        async with anyio.create_task_group() as group:
            group.start_soon(hands.run, put)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(hands.run, in_namespace(TARGET, "remove", FAULT))
        await hands.run(in_namespace(TARGET, "remove", "1" * 32))
        with anyio.move_on_after(0.3):
            await lost.wait()
    assert not lost.is_set()


async def test_a_helper_is_in_the_network_of_the_run_that_is_up() -> None:
    """One that joined an earlier run would put everything where nobody is any more: another takes its place."""
    runner = Runner()
    async with namespace_hands(runner, "e") as hands:
        put = in_namespace(TARGET, "put", f"fault={FAULT} execution=e instance=i expires=4000000000", "{}")
        opened = []
        for runner.began in ("1", "1", "2", "2", ""):
            await hands.ready([put])
            opened.append(runner.opened)
    assert opened == [1, 1, 2, 2, 2]


async def test_what_is_put_when_its_helper_is_lost_is_put_by_another() -> None:
    """Nobody would keep it otherwise."""
    runner = Runner()
    async with namespace_hands(runner, "e") as hands:
        put = in_namespace(TARGET, "put", f"fault={FAULT} execution=e instance=i expires=4000000000", "{}")
        await hands.ready([put])
        for opened in (1, 2):
            async with anyio.create_task_group() as group:
                answered = anyio.Event()

                async def ask(answered: anyio.Event = answered) -> None:
                    await hands.run(put)
                    answered.set()

                group.start_soon(ask)
                while not answered.is_set():
                    # Asked at once, or as soon as there is a helper: the put is answered with it.
                    await hands.run(in_namespace(TARGET, "remove", "1" * 32))
                    await anyio.sleep(0.01)
            await hands.run(in_namespace(TARGET, "remove", "1" * 32))  # answered by none: the helper has ended
            assert runner.opened == opened


async def test_what_was_put_by_another_has_not_all_counts() -> None:
    """They went with the helper that was lost: what the other has counted is told of nothing but its own puts."""
    runner = Runner()
    runner.program = SHORT
    other = "1" * 32
    async with namespace_hands(runner, "e") as hands:
        again = anyio.Event()

        def tell(event: str, container_id: str, text: str) -> None:
            if event == "fault_interrupted":
                runner.program = STAYS
            if event == "fault_reapplied":
                again.set()

        hands.listen(tell)
        mark = "execution=e instance=i expires=4000000000"
        put = in_namespace(TARGET, "put", f"fault={FAULT} {mark}", "{}")
        await hands.ready([put])
        await hands.run(put)
        await again.wait()
        await hands.run(in_namespace(TARGET, "put", f"fault={other} {mark}", "{}"))
        told = [(await hands.run(in_namespace(TARGET, "remove", each))).stdout for each in (FAULT, other)]
        assert told == ["", COUNTS]


@pytest.mark.parametrize(
    ("program", "told"), [(LIMITS_PROGRAM, set()), (STRESS_PROGRAM, {"fault_interrupted", "fault_reapplied"})]
)
async def test_a_limit_outlasts_its_helper(program: str, told: set[str]) -> None:
    """Another looks after it, and nothing was interrupted; what ends with its helper is told."""
    runner, heard = Runner(), set()
    runner.program = SHORT
    async with namespace_hands(runner, "e") as hands:
        hands.listen(lambda event, *_: heard.add(event))
        put = beside_cgroups(program, "put", FAULT, "cpu", "0.5", "end", TARGET)
        await hands.ready([put])
        assert (await hands.run(put)).ok
        await runner.replaced.wait()
    assert heard == told
