"""One fault on its own: armed, fired at its time, seen, held, undone; and what it does when it cannot."""

from dataclasses import dataclass, field, replace
from uuid import UUID

import anyio
import pytest

from actors.docker.simulated import ExecResult
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.execute import ExecFault
from coordinator.faults.facts import ContainerState
from coordinator.faults.http_call import HttpCall
from coordinator.faults.lifecycle import ContainerKill, ContainerPause, ContainerRestart
from coordinator.faults.limits import CpuLimit
from coordinator.faults.looks import LATE_S
from coordinator.faults.model import FaultSpec, Surroundings
from coordinator.record import FaultState
from coordinator.scenarios.effects import SEEN_AFTER_FAILURE_S
from coordinator.scenarios.inject import Injection, PhaseTime
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import Fleet, fleet

pytestmark = pytest.mark.anyio

KILL = ContainerKill(type="container_kill", target="x")
TERM = ContainerKill(type="container_kill", target="x", signal="SIGTERM")
PAUSE = ContainerPause(type="container_pause", target="x")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@dataclass
class Counted:
    """Satisfies Meter; remembers."""

    injected: list[tuple[str, str, float | None]] = field(default_factory=list)
    undone: list[tuple[str, float]] = field(default_factory=list)

    def fault_injected(self, fault_type: str, outcome: str, inject_s: float | None = None) -> None:
        self.injected.append((fault_type, outcome, inject_s))

    def fault_undone(self, fault_type: str, undo_s: float) -> None:
        self.undone.append((fault_type, undo_s))

    def probe_sample(self, probe_type: str, result: str) -> None:
        raise AssertionError("no probes here")


@dataclass
class Lived:
    """An injection and all it said."""

    injection: Injection
    metrics: Counted
    told: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def state(self) -> FaultState:
        """Of its row."""
        assert self.injection.row is not None
        return self.injection.row.fault.state


async def prepared(house: Fleet, spec: FaultSpec, key: str = "p/0") -> Lived:
    """A fault on all containers, not yet alive."""
    if await house.ledger.execution(str(UUID(int=1))) is None:
        await house.accepted()
    told: list[tuple[str, str]] = []
    failures: list[str] = []
    metrics = Counted()

    def tell(event: str, text: str = "", *, fault: str | None = None, target: str | None = None) -> None:
        told.append((event, text))

    async def look_around() -> Surroundings:
        return Surroundings(targets={spec.target: await house.engine.facts.containers()})

    injection = Injection(
        execution_id=str(UUID(int=1)), phase="p", key=key, spec=spec,
        container_ids=tuple(container.id for container in await house.engine.facts.containers()),
        look_around=look_around, mark="execution=e instance=i expires=1",
        engine_id=house.engine.info.id, tools=replace(house.tools, metrics=metrics), tell=tell, fail=failures.append,
    )  # fmt: skip
    return Lived(injection, metrics, told, failures)


async def lived(house: Fleet, spec: FaultSpec, seconds: float = 5.0, before: float = 0.0) -> Lived:
    """Armed, `before` seconds later begun, and ended so many seconds after the phase's start."""
    one = await prepared(house, spec)
    time = PhaseTime()
    async with anyio.create_task_group() as group:
        group.start_soon(one.injection.live, time, ())
        await one.injection.armed.wait()
        await anyio.sleep(before)
        time.begin(anyio.current_time() + 0.1)
        await anyio.sleep(seconds)
        time.over = True
        one.injection.end.set()
    return one


async def test_its_life() -> None:
    """Armed, fired, effective, undone: on disk, on the timeline and in the metrics, with its times."""
    async with fleet("a", "b") as house:
        one = await lived(house, PAUSE)
        seen = ["fault_armed", *["fault_effective"] * 2, "fault_spread", *["fault_undone"] * 2]
        assert [event for event, _ in one.told] == seen
        row = await house.ledger.fault(one.injection.id)
        assert row is not None
        fault = row.fault
        assert (fault.state, one.failures, one.injection.not_injected) == (FaultState.UNDONE, [], [])
        assert fault.armed_at is not None
        assert fault.due_at is not None
        assert fault.undone_at is not None
        assert fault.armed_at <= fault.due_at < fault.undone_at
        ((kind, outcome, inject_s),) = one.metrics.injected
        assert (kind, outcome) == ("container_pause", "active")
        assert inject_s is not None
        assert 0 < inject_s < 0.1
        assert [name for name, _ in one.metrics.undone] == ["container_pause"]


async def test_one_command_for_all_targets() -> None:
    """Pausing several containers is one command, at the due time."""
    async with fleet("a", "b", "c") as house:
        await lived(house, PAUSE)
        assert house.runner.verbs() == ["pause", "unpause"]


async def test_the_undo_waits_for_what_a_signal_began() -> None:
    """A process that ends some time after its signal is started again, however short the fault was."""
    async with fleet("a") as house:
        one = await lived(house, TERM, seconds=0.125)
        await anyio.sleep(20)
        assert (one.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)
        assert "start" in house.runner.verbs()


async def test_the_run_that_was_hit_is_ours() -> None:
    """A container restarted between arming and firing is hit in its new run, and that run is put back."""
    for spec in (KILL, TERM, PAUSE):
        async with fleet("a") as house, anyio.create_task_group() as group:
            group.start_soon(house.engine.restart, "a", 5, 0)
            one = await lived(house, spec, before=1)
            await anyio.sleep(20)
            assert (one.state, house.state("a")) == (FaultState.UNDONE, ContainerState.RUNNING)


async def test_what_is_not_running_is_left_alone() -> None:
    """A row that says so, no command, not injected."""
    async with fleet("a") as house:
        await house.engine.stop("a", 1, 0)
        one = await lived(house, PAUSE)
        assert (one.state, house.runner.ran) == (FaultState.NOT_INJECTED, [])
        assert one.injection.not_injected == ["container_pause: a: is exited, not running: left alone"]
        assert one.metrics.injected == [("container_pause", "not_injected", None)]


async def test_what_a_person_did_before_its_time_is_left_alone() -> None:
    """A container that somebody stopped or paused after it was armed is not taken for our work, nor put back."""
    for spec, state in ((KILL, ContainerState.EXITED), (PAUSE, ContainerState.PAUSED)):
        async with fleet("a", "b") as house, anyio.create_task_group() as group:

            async def meddle(house: Fleet = house, state: ContainerState = state) -> None:
                await anyio.sleep(1)
                if state is ContainerState.EXITED:
                    await house.engine.stop("a", 0, 0)
                else:
                    house.engine.pause("a")

            group.start_soon(meddle)
            one = await lived(house, spec, before=3)
            row = await house.ledger.fault(one.injection.id)
            assert row is not None
            assert (house.state("a"), house.state("b")) == (state, ContainerState.RUNNING)
            assert {undo.name for undo in row.undos} == {"b"}
            assert one.injection.not_injected == [f"{spec.type}: a: is {state}, not running any more: left alone"]
            assert {target.name for target in row.fault.targets if target.undone_at is not None} == {"b"}


@pytest.mark.parametrize("removed", [False, True])
async def test_nothing_left_to_do_at_its_time(removed: bool) -> None:
    """When no target is as it was when armed, no command is run and the row owes nothing."""
    async with fleet("a") as house, anyio.create_task_group() as group:

        async def meddle() -> None:
            await anyio.sleep(1)
            if removed:
                house.engine.remove("a")
            else:
                await house.engine.stop("a", 0, 0)

        group.start_soon(meddle)
        one = await lived(house, KILL, before=3)
        assert (one.state, house.runner.ran) == (FaultState.NOT_INJECTED, [])
        assert one.metrics.injected == [("container_kill", "not_injected", None)]
        assert len(one.injection.not_injected) == 1
        assert await house.ledger.faults(outstanding=True) == ()


async def test_what_another_fault_of_the_phase_did_is_ours() -> None:
    """A container that two faults hit is not taken for changed by somebody else: the second is fired as well."""
    async with fleet("a") as house:
        one = await prepared(house, KILL)
        one.injection.shared = frozenset(one.injection.container_ids)
        time = PhaseTime()
        async with anyio.create_task_group() as group:
            group.start_soon(one.injection.live, time, ())
            await one.injection.armed.wait()
            house.engine.pause("a")
            time.begin(anyio.current_time() + 0.1)
            await anyio.sleep(2)
            one.injection.end.set()
        assert (house.runner.verbs()[0], one.injection.not_injected) == ("kill", [])


@pytest.mark.parametrize("removed", [False, True])
async def test_what_another_fault_ended_takes_no_command(removed: bool) -> None:
    """Nothing can be done in a container that is down by a fault of the same phase: it is named, and nothing is run."""
    async with fleet("a") as house:
        one = await prepared(house, ExecFault(type="exec", target="x", command=("do",), undo_command=("undo",)))
        one.injection.shared = frozenset(one.injection.container_ids)
        time = PhaseTime()
        async with anyio.create_task_group() as group:
            group.start_soon(one.injection.live, time, ())
            await one.injection.armed.wait()
            if removed:
                house.engine.remove("a")
            else:
                await house.engine.stop("a", 0, 0)
            time.begin(anyio.current_time() + 1)
            await anyio.sleep(2)
            one.injection.end.set()
        why = "no longer exists" if removed else "is exited, not running any more: left alone"
        assert (house.runner.verbs(), one.injection.not_injected) == ([], [f"exec: a: {why}"])
        assert one.state is FaultState.NOT_INJECTED


@pytest.mark.parametrize("others", [(), ("b",)])
async def test_what_is_gone_is_not_injected(others: tuple[str, ...]) -> None:
    """A container removed after it was selected is named, in the row too; with no other nothing is left to do."""
    async with fleet("a", *others) as house, anyio.create_task_group() as group:
        one, time = await prepared(house, PAUSE), PhaseTime()
        house.engine.remove("a")
        group.start_soon(one.injection.live, time, ())
        time.begin(anyio.current_time() + 1)
        await anyio.sleep(3)
        one.injection.end.set()
        await one.injection.done.wait()
        assert one.injection.not_injected[0].endswith(": no longer exists")
        assert (one.failures, one.state) == ([], FaultState.UNDONE if others else FaultState.NOT_INJECTED)
        assert one.injection.armed_row.fault.targets[-1].outcome == "no longer exists"


async def test_each_users_command_is_judged_alone() -> None:
    """Of two exec targets one may fail: the other is effective."""
    spec = ExecFault(type="exec", target="x", command=("do",), undo_command=("undo",))
    async with fleet("a", "b") as house:
        house.engine.script(("do",), ExecResult(exit_code=7, stderr="cannot"), container="a")
        one = await lived(house, spec)
        assert one.injection.row is not None
        outcomes = {target.name: target.effective_at is not None for target in one.injection.row.fault.targets}
        assert outcomes == {"a": False, "b": True}
        assert one.injection.not_injected == ["exec: a: cannot"]
        assert one.state is FaultState.UNDONE


async def test_a_restart_undoes_itself() -> None:
    """A restart is seen as a new run, and needs no undo command."""
    async with fleet("a") as house:
        one = await lived(house, ContainerRestart(type="container_restart", target="x"))
        assert (one.state, house.runner.verbs()) == (FaultState.UNDONE, ["restart"])


async def test_an_engine_that_is_away_ends_the_execution() -> None:
    """When it cannot arm, it says so as an error and owes nothing."""
    async with fleet("a") as house:
        one = await prepared(house, PAUSE)
        house.engine.down()
        await one.injection.live(PhaseTime(), ())
        assert one.injection.row is None
        assert one.failures[0].startswith("container_pause on x: Docker engine at")


async def test_a_command_that_cannot_start_is_an_error() -> None:
    """Without a docker command line the execution is in error, not the target spared."""

    class Missing:
        async def run(self, command: Command) -> Outcome:
            raise EngineUnreachable("docker CLI not found on PATH")

    async with fleet("a") as house:
        house.runner.runner = Missing()
        one = await lived(house, PAUSE)
        assert one.failures == ["container_pause on x: docker CLI not found on PATH"]
        assert one.state is FaultState.NOT_INJECTED


@pytest.mark.parametrize("nothing_done", [True, False])
async def test_where_nothing_was_done_nothing_is_owed(*, nothing_done: bool) -> None:
    """A call that nobody heard, or that was refused, is not ended by another; one that may have begun something is."""
    call = {"url": "http://h/"}
    spec = HttpCall.model_validate({"type": "http_call", "target": "x", "inject": call, "undo": call})

    class Silent:
        async def run(self, command: Command) -> Outcome:
            return Outcome(exit_code=int(len(house.runner.ran) == 1), stderr="refused", nothing_done=nothing_done)

    async with fleet("a") as house:
        house.runner.runner = Silent()
        one = await lived(house, spec)
        assert one.injection.not_injected == ["http_call: a: refused"]
        assert one.state is (FaultState.NOT_INJECTED if nothing_done else FaultState.UNDONE)
        assert (len(house.runner.ran) == 1) is nothing_done


@pytest.mark.parametrize(
    ("outcome", "waited_for"),
    [
        (Outcome(exit_code=1, stderr="it is limited to 0.1 CPUs as it is"), False),
        (Outcome(exit_code=None, timed_out=True), True),
        (Outcome(exit_code=125, stderr="docker: error during connect"), True),
        (Outcome(exit_code=137), True),
    ],
)
async def test_what_a_helper_refused_is_not_waited_for(outcome: Outcome, *, waited_for: bool) -> None:
    """Its program has said so, and ended: one undo shows that nothing is there. A helper that was cut off may go on."""

    class Refusing:
        async def run(self, command: Command) -> Outcome:
            return outcome if len(house.runner.ran) == 1 else Outcome(exit_code=0)

    async with fleet("a") as house:
        house.runner.runner = Refusing()
        one = await lived(house, CpuLimit(type="cpu_limit", target="x", cpus=0.5))
        assert len(one.injection.not_injected) == 1
        assert one.state is FaultState.UNDONE
        ((_, took_s),) = one.metrics.undone
        assert (took_s >= LATE_S) is waited_for
        assert (len(house.runner.ran) > 2) is waited_for


async def test_an_exit_code_is_looked_at_once() -> None:
    """Where it is all there is to see, a failure is told at once: no look could change it."""
    async with fleet("a") as house:
        house.engine.script(("do",), ExecResult(exit_code=3, stderr="no"))
        began = anyio.current_time()
        one = await lived(house, ExecFault(type="exec", target="x", command=("do",)), seconds=0.3)
        assert one.injection.not_injected == ["exec: a: no"]
        assert anyio.current_time() - began < SEEN_AFTER_FAILURE_S


@pytest.mark.parametrize("write", [0, 1])
async def test_nothing_is_fired_that_is_not_on_disk(write: int) -> None:
    """A ledger that takes neither the armed nor the fired row stops the fault before its command."""
    async with fleet("a") as house:
        await house.accepted()
        house.ledger.writes_left = write
        one = await lived(house, PAUSE)
        assert house.runner.ran == []
        assert one.failures == ["container_pause on x: the disk is full"]
        assert house.state("a") is ContainerState.RUNNING


@pytest.mark.parametrize("after", [0.0, 0.05, 0.11, 0.115, 0.12, 0.125, 0.13, 0.2, 1.0])
@pytest.mark.parametrize("spec", [PAUSE, KILL, TERM], ids=["pause", "kill", "term"])
async def test_cancelled_at_any_moment(spec: FaultSpec, after: float) -> None:
    """Whenever the task is cancelled, before, while or after the command runs, all is put back in the end."""
    async with fleet("a", "b") as house:
        one = await prepared(house, spec)
        time = PhaseTime()
        time.begin(0.1)
        with anyio.move_on_after(after):
            await one.injection.live(time, ())
        assert one.injection.done.is_set()
        if after <= 0.05:
            assert house.runner.ran == []
            assert anyio.current_time() < 0.5  # nothing to wait for: its command never ran
        await anyio.sleep(30)
        assert house.state("a") is house.state("b") is ContainerState.RUNNING
        assert await house.ledger.faults(outstanding=True) == ()


async def test_its_id_is_its_place() -> None:
    """The same fault of the same execution has the same id, another place another one."""
    async with fleet("a") as house:
        first, again, other = [await prepared(house, PAUSE, key) for key in ("p/0", "p/0", "p/1")]
        assert first.injection.id == again.injection.id != other.injection.id
