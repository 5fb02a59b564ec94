"""Commands that a person is to run hold everything that a shell needs."""

import anyio
import pytest

from actors.docker.helper_image import HelperImage
from coordinator import by_hand
from coordinator.assembly import parts
from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import SET_HELPER_IMAGE, Command, Outcome, in_namespace, named
from coordinator.faults.commands import by_hand as pasted
from coordinator.faults.leftovers import Leftover, LeftoverState, ScanReport
from coordinator.record import Fault, FaultState, Report
from tests.unit.cli import played

pytestmark = pytest.mark.anyio

HELPER = in_namespace("a" * 64, "remove", "f1").shown()
NAMED = HELPER.replace("${HELPER_IMAGE}", "blue:1")


class Image:
    """A helper image, and how often it was asked for."""

    def __init__(self, name: str = "blue:1") -> None:
        self.name = name
        self.asked = 0

    async def __call__(self) -> str:
        """Its name."""
        self.asked += 1
        return self.name


def fault(state: FaultState, *commands: str) -> Fault:
    """One that these undo."""
    return played.fault(state).model_copy(update={"undo_commands": commands})


async def test_what_is_owed_names_the_image() -> None:
    """In faults that owe something, in an execution, its report and a scan; what is undone stays as it was planned."""
    image = Image()
    owing, undone = fault(FaultState.STUCK, "docker start a", HELPER), fault(FaultState.UNDONE, HELPER)
    told = await by_hand.faults((owing, undone), image)
    assert [each.undo_commands for each in told] == [("docker start a", NAMED), (HELPER,)]
    execution = played.execution().model_copy(update={"faults": (owing,)})
    report = await by_hand.report(Report(execution=execution, left_broken=(HELPER,)), image)
    assert report.left_broken == (NAMED,)
    assert report.execution.faults[0].undo_commands == ("docker start a", NAMED)
    left = Leftover(kind="lock", name="n", where="w", why="y", state=LeftoverState.LEFT, commands=(HELPER,))
    assert (await by_hand.scan(ScanReport(found=(left,)), image)).found[0].commands == (NAMED,)


async def test_the_image_is_asked_for_only_where_it_is_needed() -> None:
    """Nothing is looked up for commands that run no helper, nor for what owes nothing; one unknown changes nothing."""
    image = Image("")
    for each in (fault(FaultState.STUCK, "docker unpause a"), fault(FaultState.UNDONE, HELPER)):
        assert await by_hand.faults((each,), image) == (each,)
    assert image.asked == 0
    unknown = fault(FaultState.STUCK, HELPER)
    assert (await by_hand.faults((unknown,), image), image.asked) == ((unknown,), 1)


async def test_an_engine_that_is_away_or_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is then not known, and what is owed is told all the same."""
    monkeypatch.setattr(parts, "NAMED_WITHIN_S", 0.01)

    class Away:
        async def run(self, command: Command) -> Outcome:
            raise EngineUnreachable("no engine")

    class Hanging:
        async def run(self, command: Command) -> Outcome:
            await anyio.sleep_forever()
            raise AssertionError

    for runner in (Away(), Hanging()):
        assert await parts.known_image(HelperImage("", "1.0"), runner) == ""
    assert await parts.known_image(HelperImage("blue:1", "1.0"), Away()) == "blue:1"


def test_a_command_is_preceded_by_the_line_that_sets_the_image() -> None:
    """Only where one of them needs it, and only in the place where the image stands: what a person wrote is kept."""
    assert pasted([HELPER, HELPER]) == (SET_HELPER_IMAGE, HELPER, HELPER)
    assert pasted([NAMED, "docker exec a sh -c 'echo ${HELPER_IMAGE}'"])[0] == NAMED
    own = "docker exec a sh -c 'echo ${HELPER_IMAGE}'"
    assert named([own, f"{HELPER} '${{HELPER_IMAGE}}'"], "blue:1") == (own, f"{NAMED} '${{HELPER_IMAGE}}'")
    assert named([HELPER], "a b") == (HELPER.replace("${HELPER_IMAGE}", "'a b'"),)
