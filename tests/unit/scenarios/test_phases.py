"""Phases: what happens when, in which order it is put back, and what is judged at which moment."""

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.faults.facts import ContainerState
from coordinator.identity import Identity
from coordinator.logging import configure, serialized_task, task
from coordinator.record import Execution, FaultState, UndoState, Verdict
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

TARGETS = "targets: {web: {names: [web]}, db: {names: [db]}, both: {name_regex: '.*'}}\n"
PROBES = "probes: {up: {type: container, target: web, every: 100ms}}\n"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def scenario(*phases: str, more: str = "") -> str:
    """A scenario of these phases, with a probe of web."""
    return TARGETS + PROBES + more + f"phases: [{', '.join(phases)}]\n"


def offsets(done: Execution, event: str) -> list[float]:
    """When something happened, in whole tenths of a second."""
    return [round(entry.offset_s, 1) for entry in done.timeline if entry.event == event]


async def test_faults_at_their_times() -> None:
    """Faults of a phase are fired at their own `at` from the phase's start, and end after their own `for`."""
    text = scenario(
        "{name: p, duration: 20s, faults: [{type: container_pause, target: web, at: 2s, for: 3s},"
        " {type: container_kill, target: db, at: 10s}]}"
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        start = offsets(done, "phase_started")[0]
        effective = [at - start for at in offsets(done, "fault_effective")]
        assert effective == pytest.approx([2.0, 10.1], abs=0.11)
        undone = [round(at - start, 1) for at in offsets(done, "fault_undone")]
        assert undone[0] == pytest.approx(5.0, abs=0.15)
        assert undone[1] == pytest.approx(20.2, abs=0.2)
        armed = [round(at - start, 1) for at in offsets(done, "fault_armed")]
        assert armed[1] == pytest.approx(8.0, abs=0.1)


async def test_undone_last_fired_first_on_each_container() -> None:
    """Faults that end together on one container are undone in the reverse order, also when the play is cancelled."""
    text = scenario(
        "{name: p, duration: 10s, faults: ["
        "{type: exec, target: web, command: [do, '1'], undo_command: [undo, '1']},"
        "{type: exec, target: web, at: 2s, command: [do, '2'], undo_command: [undo, '2']},"
        "{type: exec, target: web, at: 4s, command: [do, '3'], undo_command: [undo, '3']}]}"
    )
    async with fleet("web", "db") as house:
        await house.play(text)
        assert [text.split()[-1] for _, text in house.runner.ran if " undo " in text and text.startswith("exec")] == [
            "3",
            "2",
            "1",
        ]
        house.runner.ran.clear()
        player = await house.player(text, number=2)
        with anyio.move_on_after(7):
            await player.play(f"{player.id}@/")
        assert [text.split()[-1] for _, text in house.runner.ran if " undo " in text and text.startswith("exec")] == [
            "3",
            "2",
            "1",
        ]


async def test_one_that_cannot_be_undone_leaves_the_others_their_turn() -> None:
    """A stuck fault keeps no other one from being undone, and no further phase is played."""
    text = scenario(
        "{name: p, duration: 3s, faults: ["
        "{type: container_pause, target: db}, {type: container_kill, target: web},"
        "{type: exec, target: db, command: [do], undo_command: [undo]}]}",
        "{name: q, duration: 3s, faults: [{type: container_kill, target: web}]}",
    )
    async with fleet("web", "db", undo_deadline_s=20) as house:
        house.engine.script(("undo",), ExecResult(exit_code=1, stderr="no"))
        done = await house.play(text.replace("{type: container_pause, target: db}, ", ""))
        assert (done.undo, done.verdict) == (UndoState.INCOMPLETE, Verdict.ERROR)
        assert "is not undone: no" in (done.reason or "")
        assert offsets(done, "phase_started") == [pytest.approx(0.2, abs=0.2)]
        assert house.state("web") is ContainerState.RUNNING


async def test_rounds() -> None:
    """A repeated phase plays each round with its own faults, `every` after the last one began."""
    text = scenario(
        "{name: p, duration: 2s, repeat: {times: 3, every: 10s}, faults: [{type: container_kill, target: web}]}"
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.PASSED
        assert [fault.phase for fault in done.faults] == ["p[1]", "p[2]", "p[3]"]
        assert len({fault.id for fault in done.faults}) == 3
        first, second, third = offsets(done, "phase_started")
        assert [second - first, third - second] == pytest.approx([10, 10], abs=0.1)


async def test_rounds_that_take_longer_than_every() -> None:
    """The next round begins when the last one ended, if that is later."""
    text = scenario("{name: p, duration: 5s, repeat: {times: 2, every: 1s}}")
    async with fleet("web", "db") as house:
        first, second = offsets(await house.play(text), "phase_started")
        assert second - first == pytest.approx(5, abs=0.1)


async def test_wait_until() -> None:
    """A phase goes on until the probe has been good for so long, faults in force."""
    text = scenario(
        "{name: p, duration: 1s, faults: [{type: container_kill, target: web, for: 1s}],"
        " wait_until: {probe: up, steady_for: 2s, timeout: 30s}}"
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.PASSED
        assert offsets(done, "phase_ended")[0] == pytest.approx(3.5, abs=0.4)


async def test_waiting_in_vain_fails_and_skips_the_rest() -> None:
    """A wait that times out fails the phase, undoes, and plays no other phase."""
    text = scenario(
        "{name: p, faults: [{type: container_kill, target: web}],"
        " wait_until: {probe: up, steady_for: 2s, timeout: 5s}}",
        "{name: q, duration: 5s, faults: [{type: container_kill, target: db}]}",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.FAILED
        assert "waited 5 s for probe up in vain" in (done.reason or "")
        assert [fault.phase for fault in done.faults] == ["p"]
        assert house.state("web") is ContainerState.RUNNING


async def test_waiting_for_a_container() -> None:
    """A wait for containers ends when all of them are so."""
    text = scenario(
        "{name: p, faults: [{type: container_kill, target: web, for: 3s}], duration: 4s,"
        " wait_until: {container: {target: web, state: running}, timeout: 30s}}"
    )
    async with fleet("web", "db") as house:
        assert (await house.play(text)).verdict is Verdict.PASSED


async def test_containers_are_judged_before_the_undo() -> None:
    """A container assertion sees the fault in force."""
    text = scenario(
        "{name: p, duration: 2s, faults: [{type: container_kill, target: web}],"
        " assert: [{container: {target: web, state: exited}}]}",
        "{name: q, assert: [{container: {target: web, state: running}}]}",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert (done.verdict, [one.passed for one in done.assertions]) == (Verdict.PASSED, [True, True])


async def test_unchanged_compares_with_the_steady_state() -> None:
    """A value is unchanged that equals the last one of the steady state before the phases."""
    text = scenario(
        "{name: p, duration: 2s, assert: [{probe: up, unchanged: true}]}",
        "{name: q, duration: 2s, faults: [{type: container_kill, target: web}],"
        " assert: [{probe: up, unchanged: true}]}",
        more="steady_state: [{probe: up, availability: '>= 99%', for: 2s}]\n",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        judged = [one.passed for one in done.assertions if one.metric == "unchanged"]
        assert (done.verdict, judged) == (Verdict.FAILED, [True, False])


async def test_over_the_execution() -> None:
    """`over: execution` counts every sample since the start; the default only those of the phase."""
    text = scenario(
        "{name: p, duration: 5s, faults: [{type: container_kill, target: web}]}",
        "{name: q, duration: 5s, assert: [{probe: up, availability: '>= 99%'},"
        " {probe: up, availability: '>= 99%', over: execution}]}",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert [one.passed for one in done.assertions] == [True, False]


async def test_recovery_is_counted_from_an_earlier_phase() -> None:
    """`recovers_within` in a later phase looks back to the effect."""
    text = scenario(
        "{name: p, duration: 5s, faults: [{type: container_kill, target: web}]}",
        "{name: q, duration: 3s, assert: [{probe: up, recovers_within: 6s}, {probe: up, recovers_within: 1s}]}",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert [one.passed for one in done.assertions] == [True, False]


async def test_steady_state_not_met_injects_nothing() -> None:
    """Without its steady state before, an execution fails and touches nothing."""
    text = scenario(
        "{name: p, duration: 5s, faults: [{type: container_kill, target: db}]}",
        more="steady_state: [{probe: up, availability: '>= 99%', for: 3s}]\n",
    )
    async with fleet("web", "db") as house:
        await house.engine.stop("web", 1, 0)
        done = await house.play(text)
        assert done.verdict is Verdict.FAILED
        assert (done.reason or "").startswith("steady state not met before the phases")
        assert house.runner.verbs() == []


async def test_steady_state_lost_afterwards_fails() -> None:
    """The steady state is judged again after the last phase."""
    text = scenario(
        "{name: p, duration: 5s, faults: [{type: container_kill, target: web, restore: false}]}",
        more="steady_state: [{probe: up, availability: '>= 99%', for: 3s}]\n",
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert (done.reason or "").startswith("steady state not met after the phases")
        assert done.faults[0].state is FaultState.UNDONE


async def deleted(house: Fleet, text: str, after: float) -> Execution:
    """Play it, ending its first fault so many seconds after its start."""
    player = await house.player(text)
    async with anyio.create_task_group() as group:
        group.start_soon(player.play, f"{player.id}@/")
        await anyio.sleep(after)
        injection = player.undo(player.view().faults[0].id)
        assert injection is not None
        with anyio.fail_after(2):
            await injection.done.wait()
        assert house.state("web") is ContainerState.RUNNING
        assert player.undo("nobody's") is None
    return player.view()


async def test_one_fault_is_ended() -> None:
    """Undoing one fault ends just that one; the execution goes on to its verdict."""
    text = scenario(
        "{name: p, duration: 20s, faults: [{type: container_pause, target: web}, {type: container_kill, target: db}]}"
    )
    async with fleet("web", "db") as house:
        done = await deleted(house, text, after=5)
        assert done.verdict is Verdict.PASSED
        assert offsets(done, "fault_undone")[0] == pytest.approx(5, abs=0.2)
        assert offsets(done, "fault_undone")[1] == pytest.approx(20.4, abs=0.4)


async def test_a_fault_ended_before_its_time_is_not_fired() -> None:
    """A fault that somebody ended while it was armed does not fire: not injected."""
    text = scenario("{name: p, duration: 20s, faults: [{type: container_pause, target: web, at: 2s}]}")
    async with fleet("web", "db") as house:
        done = await deleted(house, text, after=1)
        assert done.verdict is Verdict.NOT_INJECTED
        assert house.runner.verbs() == []
        assert await house.ledger.faults(outstanding=True) == ()


async def test_two_faults_of_which_one_hits_what_the_other_needs() -> None:
    """A fault that finds its container already down is not injected, and the other is undone."""
    text = scenario(
        "{name: p, duration: 10s, faults: [{type: container_kill, target: web},"
        " {type: container_pause, target: web, at: 5s}]}"
    )
    async with fleet("web", "db") as house:
        done = await house.play(text)
        assert done.verdict is Verdict.NOT_INJECTED
        assert house.state("web") is ContainerState.RUNNING


async def test_the_log_is_one_tree() -> None:
    """Request, execution, phase, fault, docker command: each inside the other, parallel faults apart, undo included."""
    messages: list[dict[str, object]] = []
    identity = Identity("test-coordinator", "chaos-1", "testing", "1", "test", "test")
    text = scenario(
        "{name: p, duration: 5s, faults: [{type: container_pause, target: web}, {type: container_kill, target: db}]}"
    )
    configure(identity, sinks=[lambda _message: None]).close()  # takes what Eliot kept of earlier tests
    async with fleet("web", "db") as house:
        player = await house.player(text)
        with configure(identity, level="DEBUG", sinks=[lambda message: messages.append(dict(message))]):
            with task("request"):
                place = serialized_task()
            await player.play(place)
    assert len({one["task_uuid"] for one in messages}) == 1
    kinds = {_place(one): str(one["action_type"]) for one in messages if "action_type" in one}
    chains: dict[str, tuple[str, tuple[int, ...]]] = {}
    for one in messages:
        if one.get("action_type") == "docker:command" and one.get("action_status") == "started":
            above = [_place(one)[:depth] for depth in range(len(_place(one))) if _place(one)[:depth] in kinds]
            fault = next((place_of for place_of in above if kinds[place_of] == "fault"), ())
            chains[str(one["argv"]).split()[1]] = " > ".join(kinds[place_of] for place_of in above), fault
    inside = "request > execution > phase > fault"
    assert chains["pause"][0] == chains["kill"][0] == inside
    assert chains["unpause"][0] == chains["start"][0] == f"{inside} > undo"
    assert chains["pause"][1] == chains["unpause"][1] != chains["kill"][1] == chains["start"][1]


def _place(message: dict[str, object]) -> tuple[int, ...]:
    """The place in the tree of the action that a message begins."""
    level = message["task_level"]
    assert isinstance(level, list)
    return tuple(level[:-1])
