"""A scan ends stressors and removes files that are ours to remove, and leaves everybody else's."""

import pytest
from pydantic import TypeAdapter

from actors.recovery.container_scan import UNREADABLE, removed
from actors.recovery.stray_locks import what_came_of
from coordinator.faults.catalogue import AnyFault
from coordinator.faults.commands import FAULT, LEFT, MARK, Command, Outcome
from coordinator.faults.disk import DiskFill, DiskIoStress
from coordinator.faults.facts import Mount
from coordinator.faults.leftovers import LeftoverState
from coordinator.faults.limits import CgroupFault
from coordinator.faults.looks import Undo
from coordinator.faults.strays import Stray, StraySight, parse_removed, remove_strays
from tests.unit.recovery.test_scan import LATER, OWN, Scene, anyio_backend, scene, told

pytestmark = pytest.mark.anyio
__all__ = ["anyio_backend"]

FAULTS: TypeAdapter[object] = TypeAdapter(AnyFault)


def mark(instance: str = OWN, expires: float = LATER, of: str = "gone") -> str:
    """As a fault of a coordinator bears it."""
    return f"fault=f execution={of} instance={instance} expires={expires:.0f}"


def see(place: Scene, *strays: tuple[str, str, str]) -> None:
    """Kind, container and mark of each that is there."""
    found = tuple(
        Stray(kind="file", container=place.engine.state.find(name).id, mark=text, folder="/", name="x", number=at)
        if kind == "file"
        else Stray(kind="stressor", container=place.engine.state.find(name).id, mark=text, name=str(at), number=1)
        for at, (kind, name, text) in enumerate(strays)
    )
    place.engine.state.strays = StraySight(strays=found, unable=("files of containers: no right",))


def load_undo(place: Scene) -> Undo:
    """How stressors in web are ended."""
    spec = DiskIoStress.model_validate({"type": "disk_io_stress", "target": "t"})
    (undo,) = spec.plan([place.engine.state.find("web").facts()]).undos
    return undo


async def test_what_is_ours_goes_and_the_rest_is_told() -> None:
    """By its mark: of an execution that is over, past its deadline whosever it is; not what is at work, of others, or
    says nothing, the last of which is left to a person.
    """
    async with scene() as place:
        place.playing.add("at-work")
        see(
            place, ("stressor", "web", mark()), ("stressor", "web", mark(of="at-work")), ("file", "web", mark()),
            ("stressor", "db", mark("green")), ("file", "db", mark("green", expires=1)), ("file", "db", "?"),
        )  # fmt: skip
        report = await place.scan().scan()
        states = [(each.kind, each.where, each.state.value) for each in report.found]
        assert states == [
            ("stressor", "web", "undone"), ("stressor", "web", "kept"), ("file", "web", "undone"),
            ("stressor", "db", "kept"), ("file", "db", "undone"), ("file", "db", "left"),
        ]  # fmt: skip
        (left,) = report.left
        pid = place.engine.state.find("db").facts().pid
        assert left.commands == (f"nsenter -t {pid} -m rm /x",)
        assert report.unable == ("files of containers: no right",)
        assert len(place.engine.state.strays.strays) == 3


async def test_what_a_stressor_could_not_unname_goes_whosever_it_is() -> None:
    """A file that nobody can use any more says nothing; a scan that nobody asked for only tells it."""
    async with scene() as place:
        web = place.engine.state.find("web").id
        stray = Stray(kind="file", container=web, mark="", folder="/", name=".tc-12-ab.io", number=1)
        place.engine.state.strays = StraySight(strays=(stray,))
        (found,) = (await place.scan().scan(careful=True)).found
        assert (found.state, found.why) == (LeftoverState.KEPT, "a stressor was killed before it took its name off")
        (found,) = (await place.scan().scan()).found
        assert (found.state, found.text) == (LeftoverState.UNDONE, "removed")


async def test_an_answer_that_does_not_read_is_no_success() -> None:
    """What was to go is told as still there, with what may be wrong."""

    class Mumbling:
        async def run(self, command: Command) -> Outcome:
            return Outcome(exit_code=0, stdout="?")

    stray = Stray(kind="stressor", container="c", mark=mark(), name="1", number=1)
    assert await removed(Mumbling(), [stray], remove_strays, parse_removed) == {stray: UNREADABLE}


async def test_a_lock_over_stressors_is_released_when_they_are_gone() -> None:
    """And stays while one of that execution is there; the command in the labels is not run."""
    async with scene() as place:
        await place.lock("web", load_undo(place))
        see(place, ("stressor", "web", mark()))
        assert told(await place.scan().scan()) == {
            "stressor web": LeftoverState.UNDONE, "lock web": LeftoverState.UNDONE,
        }  # fmt: skip
        assert place.locked == 0


def fill_undo(place: Scene) -> Undo:
    """How the file in a folder of the machine that web has at /data is removed."""
    facts = place.engine.state.find("web").facts()
    mounted = facts.model_copy(update={"mounts": (Mount(path="/data", source="/srv/x"),)})
    spec = DiskFill.model_validate({"type": "disk_fill", "target": "t", "path": "/data", "size": "1m"})
    (undo,) = spec.plan([mounted]).undos
    return undo


@pytest.mark.parametrize("gone", [True, False])
async def test_a_lock_over_a_file_stays_until_all_was_looked_at(*, gone: bool) -> None:
    """Whether its container is up or gone: what could not be looked into may hold the file. Then both go."""
    async with scene() as place:
        web = place.engine.state.find("web").id
        await place.lock("web", fill_undo(place), expires=1.0)
        if gone:
            place.engine.remove("web")
        scan = place.scan()
        place.engine.state.strays = StraySight(looked=("another",))
        (lock,) = (await scan.scan()).found
        assert (lock.state, place.locked) == (LeftoverState.LEFT, 1)
        assert await scan.is_called_for()
        stray = Stray(kind="file", container=web, mark=mark(), folder="/srv/x/./", name="x", number=1)
        place.engine.state.strays = StraySight(strays=(stray,), looked=(web,))
        assert {each.kind: each.state for each in (await scan.scan()).found} == {
            "file": LeftoverState.UNDONE, "lock": LeftoverState.UNDONE,
        }  # fmt: skip
        assert place.locked == 0


async def test_a_stressor_bears_the_mark_that_is_read() -> None:
    """What a fault tells its stressors is what a scan reads of them."""
    async with scene() as place:
        plan = DiskIoStress.model_validate({"type": "disk_io_stress", "target": "t"}).plan(
            [place.engine.state.find("web").facts()]
        )
        (target,) = plan.filled({FAULT: "f", MARK: mark()}).targets
        assert mark() in target.inject.shown().replace("'", "")


@pytest.mark.parametrize(
    "fault",
    [
        {"type": "cpu_limit", "cpus": "0.2"},
        {"type": "process_freeze", "name": "sh"},
        {"type": "clock_skew", "offset": "1h"},
    ],
)
async def test_what_a_container_keeps_itself_is_taken_back(fault: dict[str, str]) -> None:
    """Without a ledger, of whichever fault it was; then the lock goes. Nothing is done to a run that is over."""
    async with scene() as place:
        for name in ("web", "db"):
            spec = FAULTS.validate_python({"target": "t"} | fault)
            assert isinstance(spec, CgroupFault)
            (target,) = spec.plan([place.engine.state.find(name).facts()]).targets
            assert target.undo is not None
            await place.lock(name, target.undo)
            assert (await place.engine.runner.run(target.inject.filled({FAULT: "f-1", MARK: mark()}))).ok
        assert place.engine.state.find("web").limits
        place.engine.die("db")
        texts = {each.where: (each.state, each.text) for each in (await place.scan().scan()).found}
        assert texts == {
            "web": (LeftoverState.UNDONE, "put back"),
            "db": (LeftoverState.UNDONE, "that run of the container is over"),
        }
        assert not place.engine.state.find("web").limits
        assert place.locked == 0


def test_what_somebody_else_has_changed_is_not_called_put_back() -> None:
    """The program that takes all back says what it has left; whatever else it says is nobody's business."""
    said = f"{LEFT}pids.max was set to 77 by somebody else"
    assert what_came_of(Outcome(exit_code=0, stdout=f"{said}\n")) == said
    assert what_came_of(Outcome(exit_code=0, stdout="done")) == "put back"
