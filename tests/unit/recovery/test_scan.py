"""A scan finds on the engine what no ledger knows, puts back what is ours, and leaves everybody else's as it is."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import anyio
import pytest

from actors.docker.simulated import SimulatedEngine
from actors.ledger.memory import MemoryLedger
from actors.recovery.scan import EngineScan
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import Command, DockerCommand, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.faults.http_call import HttpCall
from coordinator.faults.leftovers import LeftoverState, Namespace, Placed, ScanReport, Sight, Trace, parse_placed
from coordinator.faults.lifecycle import ContainerPause, ContainerStop
from coordinator.faults.locks import lock_command
from coordinator.faults.looks import Undo
from tests.clocks import LoopClock
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.unit.ledger.living import execution

pytestmark = pytest.mark.anyio
OWN = "blue"
FAULT = "0123456789abcdef0123456789abcdef"
LATER = 4e9
TABLE = Trace(kind="table", name=f"tc_{FAULT}", family="inet")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


def comment(instance: str = OWN, expires: float = LATER, of: str = "gone") -> str:
    """What a table says of itself."""
    return f"exec={of} of={instance} until={expires:.0f}"


@dataclass
class Scene:
    """An engine, an empty ledger, and a scan of instance blue."""

    engine: SimulatedEngine
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    playing: set[str] = field(default_factory=set)

    def scan(self) -> EngineScan:
        """A scan."""
        ports = (self.ledger, self.engine.facts, self.engine.runner, self.engine.clock)
        return EngineScan(*ports, instance=OWN, playing=self.playing.__contains__)

    async def lock(
        self, name: str, *undos: Undo, instance: str = OWN, expires: float = LATER, of: str = "gone"
    ) -> None:
        """A lock as a coordinator takes it."""
        identity = self.engine.state.find(name).id
        assert (await self.engine.runner.run(lock_command(identity, instance, of, "", expires, undos))).ok

    async def paused(self, name: str, *, instance: str = OWN, expires: float = LATER, of: str = "gone") -> None:
        """Locked, then paused by that coordinator."""
        plan = ContainerPause(type="container_pause", target="t").plan([self.engine.state.find(name).facts()])
        await self.lock(name, *plan.undos, instance=instance, expires=expires, of=of)
        self.engine.pause(name)

    def see(self, *traces: Trace, container: str = "web", outside: bool = False, inode: int = 1) -> None:
        """Traces in a container's namespace, or in one of the machine's own."""
        containers = (self.engine.state.find(container).id,) if container else ()
        namespace = Namespace(inode=inode, pid=40 + inode, outside=outside, containers=containers, traces=traces)
        known = self.engine.state.sight.namespaces
        self.engine.state.sight = Sight(namespaces=(*known, namespace))

    def state(self, name: str) -> ContainerState:
        """A container's state now."""
        return self.engine.state.find(name).state

    @property
    def locked(self) -> int:
        """How many locks there are."""
        return len(self.engine.state.volumes)


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """Two containers and nothing left."""
    async with SimulatedEngine(LoopClock(), Random(1)) as engine:
        for name in ("web", "db"):
            engine.add(name)
        yield Scene(engine)


def told(report: ScanReport) -> Mapping[str, LeftoverState]:
    """What became of what, by kind and place."""
    return {f"{each.kind} {each.where}": each.state for each in report.found}


async def test_what_a_lock_of_ours_says_is_undone() -> None:
    """Paused and stopped containers whose locks bear our name run again, and the locks are gone."""
    async with scene() as place:
        await place.paused("web")
        spec = ContainerStop(type="container_stop", target="t", grace="1s")
        await place.lock("db", *spec.plan([place.engine.state.find("db").facts()]).undos)
        await place.engine.stop("db", 1, 0)
        report = await place.scan().scan()
        assert told(report) == {"lock web": LeftoverState.UNDONE, "lock db": LeftoverState.UNDONE}
        assert {each.text for each in report.found} == {"put back"}
        assert place.state("web") is place.state("db") is ContainerState.RUNNING
        assert place.locked == 0


async def test_what_was_never_hit_is_only_unlocked() -> None:
    """A lock whose fault never came about is released once nothing can come about any more; nothing else is done."""
    async with scene() as place:
        plan = ContainerPause(type="container_pause", target="t").plan([place.engine.state.find("web").facts()])
        await place.lock("web", *plan.undos)
        run = place.engine.state.find("web").started_at
        began = anyio.current_time()
        (found,) = (await place.scan().scan()).found
        assert anyio.current_time() - began >= 2.0
        assert (found.state, found.text) == (LeftoverState.UNDONE, "no effect was seen: nothing to undo")
        assert (place.locked, place.engine.state.find("web").started_at) == (0, run)


async def test_a_persons_own_pause_and_stop_are_never_undone() -> None:
    """Without a lock, with a lock of an earlier run, or with one that owes something else, it stays as a person made
    it.
    """
    async with scene() as place:
        place.engine.add("app")
        place.engine.add("job")
        place.engine.pause("web")
        await place.engine.stop("db", 1, 0)
        plan = ContainerPause(type="container_pause", target="t").plan([place.engine.state.find("app").facts()])
        await place.lock("app", *plan.undos)
        await place.engine.restart("app", 1, 0)
        place.engine.pause("app")
        plan = ContainerPause(type="container_pause", target="t").plan([place.engine.state.find("job").facts()])
        await place.lock("job", *plan.undos)
        await place.engine.stop("job", 1, 0)
        report = await place.scan().scan()
        assert (place.state("web"), place.state("db")) == (ContainerState.PAUSED, ContainerState.EXITED)
        assert (place.state("app"), place.state("job")) == (ContainerState.PAUSED, ContainerState.EXITED)
        assert {each.text for each in report.found} == {"changed by somebody else since: left as it is"}


async def test_another_instances_lock_is_shown_until_it_is_gone() -> None:
    """Before its deadline it is only shown, unless its coordinator is named as gone; after it, it is taken over."""
    async with scene() as place:
        await place.paused("web", instance="green")
        await place.paused("db", instance="red", expires=1.0)
        (db, web) = sorted((await place.scan().scan()).found, key=lambda each: each.where)
        assert (web.state, web.why) == (
            LeftoverState.KEPT, "of green until 2096-10-02T07:06:40Z; --instance green if it is gone",
        )  # fmt: skip
        assert (db.state, db.why) == (LeftoverState.UNDONE, "of red, deadline past since 1970-01-01T00:00:01Z")
        assert (place.state("web"), place.state("db")) == (ContainerState.PAUSED, ContainerState.RUNNING)
        assert told(await place.scan().scan(["green"])) == {"lock web": LeftoverState.UNDONE}
        assert (place.state("web"), place.locked) == (ContainerState.RUNNING, 0)


async def test_what_is_at_work_or_known_is_left_alone() -> None:
    """Neither the lock, helper and rules of a running execution, nor a lock that the ledger answers for."""
    async with scene() as place:
        place.playing.add("live")
        await place.paused("web", of="live", expires=1.0)
        labels = {"test-coordinator.role": "helper", "test-coordinator.instance": OWN}
        place.engine.add("holder", labels=labels | {"test-coordinator.execution": "live"})
        place.engine.add("looker", labels=labels)
        place.see(TABLE.model_copy(update={"comment": comment(of="live")}), Trace(kind="qdisc", name="7c01:"))
        await place.ledger.save_execution(execution())
        await place.paused("db", of="execution-1", expires=1.0)
        report = await place.scan().scan()
        assert {each.state for each in report.found} == {LeftoverState.KEPT}
        assert len(report.found) == 6
        assert (place.state("web"), place.state("db"), place.locked) == (
            ContainerState.PAUSED,
            ContainerState.PAUSED,
            2,
        )
        assert place.state("holder") is place.state("looker") is ContainerState.RUNNING


async def test_helpers_of_dead_executions_are_removed() -> None:
    """Ours, in whatever state; another instance's stays while it may be at work."""
    async with scene() as place:
        role = {"test-coordinator.role": "helper", "test-coordinator.execution": "gone"}
        place.engine.add("one", labels=role | {"test-coordinator.instance": OWN})
        place.engine.add("two", labels=role | {"test-coordinator.instance": OWN}, started=False)
        place.engine.add("three", labels=role | {"test-coordinator.instance": "green"})
        report = await place.scan().scan()
        assert [(each.name, each.state) for each in report.found] == [
            ("one", LeftoverState.UNDONE), ("three", LeftoverState.KEPT), ("two", LeftoverState.UNDONE),
        ]  # fmt: skip
        assert [each.name for each in await place.engine.facts.helpers()] == ["three"]


async def test_rules_in_network_namespaces() -> None:
    """Ours go by their mark, unmarked ones with the lock's holder; those of others, and what lies in a namespace of no
    container without saying whose it is, stay, the latter with commands.
    """
    async with scene() as place:
        qdisc = Trace(kind="qdisc", name="7c01:", device="eth0", parent="ffffffff")
        ours = TABLE.model_copy(update={"comment": comment()})
        place.see(ours, qdisc, container="web")
        await place.lock("db", instance="green")
        place.see(TABLE.model_copy(update={"comment": comment("green")}), qdisc, container="db", inode=2)
        place.see(ours, TABLE, qdisc, container="", outside=True, inode=3)
        report = await place.scan().scan()
        states = [(each.where, each.kind, each.state.value) for each in report.found]
        assert states == [
            ("web", "table", "undone"), ("web", "qdisc", "undone"), ("db", "table", "kept"), ("db", "qdisc", "kept"),
            ("the namespace of process 43", "table", "undone"), ("the namespace of process 43", "table", "left"),
            ("the namespace of process 43", "qdisc", "left"), ("db", "lock", "kept"),
        ]  # fmt: skip
        assert [each.commands for each in report.left] == [
            (f"nsenter -t 43 -n nft delete table inet tc_{FAULT}",), ("nsenter -t 43 -n tc qdisc del dev eth0 root",),
        ]  # fmt: skip
        assert [len(each.traces) for each in place.engine.state.sight.namespaces] == [2, 2]


def rules_undo(place: Scene) -> Undo:
    """How a network fault on web is put back."""
    web = place.engine.state.find("web")
    program = "/usr/local/lib/test-coordinator/actors/docker/programs/netns.py"
    argv = ("run", "--network", f"container:{web.id}", "python3", program, "remove")
    return Undo(
        container_id=web.id, name="web", started_at=web.started_at, command=DockerCommand(argv=(*argv, "{fault}")),
        needed_in=(ContainerState.RUNNING,), restores=None,
    )  # fmt: skip


async def test_a_lock_over_rules_is_released_when_they_are_gone() -> None:
    """The command in the labels is not run: the rules were taken out of the namespace, and then the lock goes."""
    async with scene() as place:
        await place.lock("web", rules_undo(place))
        place.see(TABLE.model_copy(update={"comment": comment()}))
        report = await place.scan().scan()
        assert told(report) == {"table web": LeftoverState.UNDONE, "lock web": LeftoverState.UNDONE}
        assert place.locked == 0


async def test_a_lock_stays_over_rules_that_stay() -> None:
    """Rules that could not be taken out keep their lock, with the commands for both."""
    async with scene() as place:
        await place.lock("web", rules_undo(place))
        place.see(TABLE.model_copy(update={"comment": comment()}))
        stubborn = Stubborn(place.engine)
        ports = (place.ledger, place.engine.facts, stubborn, place.engine.clock)
        report = await EngineScan(*ports, instance=OWN, playing=lambda _: False).scan()
        assert told(report) == {"table web": LeftoverState.LEFT, "lock web": LeftoverState.LEFT}
        assert report.left[0].text == "Operation not permitted"
        assert report.left[0].commands == (f"nsenter -t 41 -n nft delete table inet tc_{FAULT}",)


async def test_where_no_namespace_can_be_seen_rules_stay_owed() -> None:
    """A scan that could not look says so, and leaves the lock over rules with the command for a person."""
    async with scene() as place:
        await place.lock("web", rules_undo(place))
        broken = Placeless(place.engine)
        ports = (place.ledger, place.engine.facts, broken, place.engine.clock)
        report = await EngineScan(*ports, instance=OWN, playing=lambda _: False).scan()
        assert report.unable == (
            "network namespaces: no helper image", "stressors and files in containers: no helper image",
        )  # fmt: skip
        (lock,) = report.left
        assert lock.commands[0].endswith("netns.py remove ${FAULT}")
        assert place.locked == 1


@dataclass
class Stubborn:
    """A runner on whose machine nothing can be taken out."""

    engine: SimulatedEngine

    async def run(self, command: Command) -> Outcome:
        """As the engine, but for removals."""
        if command.of_helper and command.argv[-2] == "remove":
            placed = [each.model_copy(update={"error": "Operation not permitted"}) for each in asked(command)]
            return Outcome(exit_code=0, stdout=f"[{','.join(each.model_dump_json() for each in placed)}]")
        if command.argv[:2] == ("volume", "rm"):
            return Outcome(exit_code=1, stderr="volume is in use")
        return await self.engine.runner.run(command)


def asked(command: Command) -> tuple[Placed, ...]:
    """What a command is to take out."""
    return parse_placed(command.argv[-1])


@dataclass
class Placeless:
    """A runner without a helper image."""

    engine: SimulatedEngine

    async def run(self, command: Command) -> Outcome:
        """As the engine, but for helpers."""
        if command.of_helper:
            return Outcome(exit_code=None, stderr="no helper image")
        return await self.engine.runner.run(command)


async def test_a_command_of_a_users_own_is_shown_and_not_run() -> None:
    """An exec in the labels stays for a person while its run is up, and is void when that is over."""
    async with scene() as place:
        web = place.engine.state.find("web")
        undo = Undo(
            container_id=web.id, name="web", started_at=web.started_at,
            command=DockerCommand(argv=("exec", web.id, "rm", "/tmp/off")), needed_in=(ContainerState.RUNNING,),
            restores=None,
        )  # fmt: skip
        await place.lock("web", undo)
        (left,) = (await place.scan().scan()).left
        assert left.commands == (f"docker exec {web.id} rm /tmp/off", f"docker volume rm tc-{web.id}")
        await place.engine.restart("web", 1, 0)
        assert told(await place.scan().scan()) == {"lock web": LeftoverState.UNDONE}


async def test_a_call_is_owed_to_whichever_run_is_up() -> None:
    """It is shown, once, as it can be pasted: the address asked for, the secret by its name."""
    async with scene() as place:
        web = place.engine.state.find("web")
        call = {"port": 80, "headers": {"X-Key": {"secret": "KEY"}}}
        spec = HttpCall.model_validate({"type": "http_call", "target": "t", "inject": {"port": 80}, "undo": call})
        (undo,) = spec.plan([web.facts()]).undos
        await place.lock("web", undo)
        await place.engine.restart("web", 1, 0)
        (left,) = (await place.scan().scan()).left
    assert left.commands == (undo.command.shown(), f"docker volume rm tc-{web.id}")
    assert "$(docker inspect" in left.commands[0]
    assert '"X-Key: ${KEY}"' in left.commands[0]


async def test_unreadable_locks_are_left_to_a_person() -> None:
    """Labels of another version, or without an owner, are neither guessed at nor forgotten."""
    async with scene() as place:
        await place.paused("web")
        await place.paused("db")
        for index, labels in enumerate(place.engine.state.volumes.values()):
            labels["test-coordinator.owed"] = '{"v":9}'
            labels["test-coordinator.instance"] = OWN if index else ""
        report = await place.scan().scan()
        assert [each.state for each in report.found] == [LeftoverState.LEFT] * 2
        assert all(each.commands[0].startswith("docker unpause ") for each in report.left)
        assert (place.state("web"), place.locked) == (ContainerState.PAUSED, 2)


async def test_a_container_that_is_gone_owes_nothing() -> None:
    """Its lock is released."""
    async with scene() as place:
        await place.paused("web")
        place.engine.remove("web")
        assert told(await place.scan().scan()) == {"lock a container that is gone": LeftoverState.UNDONE}
        assert place.locked == 0


async def test_a_careful_scan_waits_for_deadlines() -> None:
    """Unasked, only what bears our name and is past its deadline is touched: another coordinator may bear it too."""
    async with scene() as place:
        scan = place.scan()
        await place.paused("web")
        await place.paused("db", instance="green", expires=1.0)
        assert not await scan.is_called_for()
        place.engine.add("app")
        await place.paused("app", expires=1.0)
        assert await scan.is_called_for()
        report = await scan.scan(careful=True)
        assert told(report) == {
            "lock web": LeftoverState.KEPT, "lock db": LeftoverState.KEPT, "lock app": LeftoverState.UNDONE,
        }  # fmt: skip
        assert not await scan.is_called_for()


async def test_an_engine_that_is_away_is_an_error() -> None:
    """Nothing was looked at: this is not the same as nothing found."""
    async with scene() as place:
        place.engine.down()
        with pytest.raises(EngineUnreachable):
            await place.scan().scan()
