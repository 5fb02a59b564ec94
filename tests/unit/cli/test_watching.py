import io
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from coordinator.cli import watching
from coordinator.cli.overview import Overview
from coordinator.cli.sparkline import BLOCKS, Recent
from coordinator.cli.tools import Tools, Where
from coordinator.cli.watching import Picture, Printed, Redrawn, drawn, files, watch
from coordinator.client import NoAnswer
from coordinator.record import ExecutionState, FaultState
from coordinator.settings import Settings
from tests.unit.cli import played
from tests.unit.cli.scripted import ScriptedControl

RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE)
SOMEWHERE = Where("http://127.0.0.1:1")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly."""
    monkeypatch.setattr(watching, "EVERY_S", 0.01)


class Remembered:
    """A screen that remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Picture] = []
        self.closed = False
        self._changed = anyio.Event()

    def show(self, picture: Picture) -> None:
        self.shown.append(picture)
        self._changed.set()

    def close(self) -> None:
        self.closed = True

    async def after(self, count: int) -> None:
        """Wait until it was shown that many more pictures."""
        wanted = len(self.shown) + count
        while len(self.shown) < wanted:
            self._changed = anyio.Event()
            await self._changed.wait()


class Connect:
    """Connects to a coordinator that may go away."""

    def __init__(self, control: ScriptedControl) -> None:
        self.control = control
        self.looks = 0
        self.away = ""

    @asynccontextmanager
    async def __call__(self, settings: Settings, where: Where, *, recovery: bool) -> AsyncIterator[ScriptedControl]:
        assert not recovery
        self.looks += 1
        if self.away:
            raise NoAnswer(self.away)
        yield self.control


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("workplace")
async def test_it_looks_until_a_signal(number: signal.Signals) -> None:
    """Looks follow each other; INT, TERM and HUP end it, and the terminal is given back."""
    connect, screen = Connect(ScriptedControl([RUNNING])), Remembered()
    async with anyio.create_task_group() as group:
        group.start_soon(watch, Tools(connect=connect), SOMEWHERE, screen)
        await screen.after(3)
        os.kill(os.getpid(), number)
    assert connect.looks >= 3
    assert screen.closed
    execution, recent = screen.shown[0].active[0]
    assert (execution, len(recent.of("api"))) == (RUNNING, 16)


@pytest.mark.anyio
@pytest.mark.usefixtures("workplace")
async def test_a_coordinator_that_goes_away_is_waited_for() -> None:
    """The last picture stays, with what is wrong; when it is back there is a new one."""
    connect, screen = Connect(ScriptedControl([RUNNING])), Remembered()
    async with anyio.create_task_group() as group:
        group.start_soon(watch, Tools(connect=connect), SOMEWHERE, screen)
        await screen.after(1)
        connect.away = "no coordinator\nanswers"
        await screen.after(2)
        assert screen.shown[-1].trouble == "no coordinator answers"
        assert screen.shown[-1].seen.executions == (RUNNING,)
        connect.away = ""
        await screen.after(2)
        assert screen.shown[-1].trouble == ""
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.anyio
@pytest.mark.usefixtures("workplace")
async def test_nobody_at_the_first_look_is_an_error() -> None:
    """A wrong address is told, and not waited for."""
    connect, screen = Connect(ScriptedControl()), Remembered()
    connect.away = "nobody"
    with pytest.raises(ExceptionGroup) as raised:
        await watch(Tools(connect=connect), SOMEWHERE, screen)
    assert [str(leaf) for leaf in raised.value.exceptions] == ["nobody"]
    assert screen.closed
    assert screen.shown == []


@pytest.mark.anyio
async def test_a_ledger_that_nobody_changes_is_read_once(workplace: Path) -> None:
    """Where no coordinator runs it is read again only after a file of DATA_DIR has changed."""
    connect, screen = Connect(ScriptedControl()), Remembered()
    async with anyio.create_task_group() as group:
        group.start_soon(watch, Tools(connect=connect), Where(), screen)
        await screen.after(5)
        assert connect.looks == 1
        (workplace / "data").mkdir()
        (workplace / "data" / "endpoints.json").write_text("{}")
        await screen.after(3)
        assert connect.looks == 2
        os.kill(os.getpid(), signal.SIGINT)


def test_only_files_that_tell_of_work_count(tmp_path: Path) -> None:
    """The ledger, its log and the endpoints; what is not there is left out."""
    assert files(tmp_path) == {}
    for name in ("ledger.db", "other"):
        (tmp_path / name).write_text("x")
    before = files(tmp_path)
    assert list(before) == ["ledger.db"]
    (tmp_path / "ledger.db").write_text("xy")
    assert files(tmp_path) != before


SEEN = Overview("blue 1.0 at http://x", "healthy", {"ledger": "ok"}, (), (RUNNING,), ())
NOBODY = Overview(None, None, {}, (), (), ())


def test_what_changes_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """The same picture is printed once; the next after an empty line."""
    screen = Printed(as_json=False)
    for seen in (NOBODY, NOBODY, SEEN):
        screen.show(Picture(seen, ()))
    screen.show(Picture(SEEN, (), "no answer"))
    screen.close()
    text = capfd.readouterr().out
    assert text.count("coordinator  not running here\n") == 1
    assert "no outstanding faults\n\ncoordinator  blue 1.0 at http://x\n" in text
    assert "\nno answer\n\ncoordinator  blue" in text


def test_json_is_an_object_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """For programs: what `status --json` prints, and why it is not newer."""
    screen = Printed(as_json=True)
    screen.show(Picture(SEEN, ()))
    screen.show(Picture(SEEN, ()))
    screen.show(Picture(SEEN, (), "no answer"))
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["trouble"] for line in lines] == [None, "no answer"]
    assert lines[0]["status"]["executions"][0]["id"] == played.EXECUTION_ID


def test_the_terminal_is_redrawn_and_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    """It is drawn on its other screen, which is left at the end; what was seen last is printed."""
    out = io.StringIO()
    screen = Redrawn(Console(file=out, force_terminal=True, width=100, height=30))
    screen.show(Picture(SEEN, ()))
    screen.close()
    assert out.getvalue().index("\x1b[?1049h") < out.getvalue().index("\x1b[?1049l")
    assert capfd.readouterr().out.startswith("coordinator  blue 1.0 at http://x\n")


def test_what_matters_most_stands_first() -> None:
    """Trouble, health, executions with their probes, outstanding faults; then the actors."""
    console = Console(file=io.StringIO(), width=100)
    recent = Recent()
    recent.take(played.report(RUNNING).probes, -1.0)
    faults = (played.fault(FaultState.ACTIVE),)
    console.print(drawn(Picture(SEEN._replace(faults=faults), [(RUNNING, recent)], "late"), console))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    places = [text.index(part) for part in ("not up to date: late", "health", "phase outage", "outstanding faults")]
    assert places == sorted(places)
    assert BLOCKS.bad in text
    assert "Ctrl-C ends this" in text
