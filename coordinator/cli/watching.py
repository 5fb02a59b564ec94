"""`status --watch`: how the coordinator is, again and again, until somebody has seen enough. Looks; changes nothing.

A coordinator that goes away is waited for, with the last picture left standing. Where none runs the ledger is read, and
read again only when a file of DATA_DIR has changed: whoever reads it keeps a coordinator from starting for that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import anyio

from coordinator.cli.connection import ENDPOINTS
from coordinator.cli.interrupts import heeded
from coordinator.cli.live import frame, look_of, make_console, make_display
from coordinator.cli.output import compact, result
from coordinator.cli.overview import (
    Overview,
    executions_text,
    faults_text,
    head_text,
    look,
    overview_object,
    overview_text,
)
from coordinator.cli.run import POLL_S, summary
from coordinator.cli.sparkline import Recent
from coordinator.client import HttpControl
from coordinator.errors import CoordinatorError, NotFound
from coordinator.plain_text import one_line
from coordinator.record import Execution, ExecutionState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from coordinator.cli.tools import Tools, Where
    from coordinator.ports import Control

EVERY_S: Final = 1.0
MOST_SHOWN: Final = 5
"""Active executions that are shown in full; the others are lines of the table."""
_FILES: Final = (ENDPOINTS, "ledger.db", "ledger.db-wal")


class Picture(NamedTuple):
    """What is shown: the last look, the active executions with their samples, and why there is no newer look."""

    seen: Overview
    active: Sequence[tuple[Execution, Recent]]
    trouble: str = ""


class Screen(Protocol):
    """Shows pictures."""

    def show(self, picture: Picture) -> None:
        """Show it in place of the one before."""
        ...

    def close(self) -> None:
        """Give the terminal back."""
        ...


class Redrawn:
    """The whole terminal, drawn anew at each look; the last picture stays behind as text."""

    def __init__(self, console: Console) -> None:
        """Take the terminal."""
        from rich.live import Live

        self._last: Overview | None = None
        self._region = Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
        self._region.start()

    def show(self, picture: Picture) -> None:
        """Draw it; what does not fit is cut off at the bottom."""
        self._last = picture.seen
        self._region.update(drawn(picture, self._region.console), refresh=True)

    def close(self) -> None:
        """Leave, and print what was seen last."""
        self._region.stop()
        if self._last is not None:
            result(overview_text(self._last))


class Printed:
    """Text, or a JSON object a line, whenever something has changed: for logs and programs."""

    def __init__(self, *, as_json: bool) -> None:
        """Nothing is printed yet."""
        self._as_json = as_json
        self._last = ""

    def show(self, picture: Picture) -> None:
        """Print what is new."""
        if self._as_json:
            text = compact({"trouble": picture.trouble or None, "status": overview_object(picture.seen)})
        else:
            text = f"{picture.trouble}\n\n" * bool(picture.trouble) + overview_text(picture.seen)
        if text != self._last:
            result(text if self._as_json or not self._last else f"\n{text}")
        self._last = text

    def close(self) -> None:
        """Nothing to give back."""


def make_screen(*, as_json: bool) -> Screen:
    """A terminal is redrawn; anything else is printed to, and JSON always is."""
    console = None if as_json else make_console(to_stderr=False)
    return Printed(as_json=as_json) if console is None else Redrawn(console)


async def watch(tools: Tools, where: Where, screen: Screen) -> None:
    """Look every second until INT, TERM or HUP. What keeps the first look from being made ends it.

    Raises what `tools.connect` does.
    """
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_look_again_and_again, tools, where, screen)
            with anyio.open_signal_receiver(*heeded()) as signals:
                async for _ in signals:
                    break
            group.cancel_scope.cancel(reason="seen enough")
    finally:
        screen.close()


async def _look_again_and_again(tools: Tools, where: Where, screen: Screen) -> None:
    recents: dict[str, Recent] = {}
    data_dir = tools.load().data_dir
    picture: Picture | None = None
    known: Mapping[str, tuple[int, int]] = {}
    while True:
        asleep = picture is not None and not picture.seen.running and not picture.trouble
        if not asleep or where.server is not None or files(data_dir) != known:
            try:
                async with tools.connect(tools.load(), where, recovery=False) as control:
                    picture = await _picture(control, recents)
            except CoordinatorError as trouble:
                if picture is None:
                    raise
                picture = picture._replace(trouble=one_line(str(trouble)))
            known = files(data_dir)
        if picture is not None:
            screen.show(picture)
        await anyio.sleep(EVERY_S)


async def _picture(control: Control, recents: dict[str, Recent]) -> Picture:
    seen = await look(control)
    active = []
    for one in seen.executions[:MOST_SHOWN]:
        recent = recents.setdefault(one.id, Recent())
        try:
            execution = await control.execution(one.id)
            await recent.refresh(control, one.id)
        except NotFound:  # purged just now
            continue
        active.append((execution, recent))
    for gone in recents.keys() - {one.id for one in seen.executions}:
        del recents[gone]
    return Picture(seen, active)


def files(data_dir: Path) -> dict[str, tuple[int, int]]:
    """What tells that somebody works in DATA_DIR: size and time of change of those files that are there."""
    found = {}
    for name in _FILES:
        try:
            stat = (data_dir / name).stat()
        except OSError:
            continue
        found[name] = (stat.st_size, stat.st_mtime_ns)
    return found


def drawn(picture: Picture, console: Console) -> RenderableType:
    """The picture, what matters most first: it may be cut off at the bottom."""
    from rich.console import Group
    from rich.text import Text

    seen, look = picture.seen, look_of(console)
    head, _, actors = head_text(seen).partition("\n\n")
    parts: list[RenderableType] = []
    if picture.trouble:
        parts.append(Text(f"not up to date: {picture.trouble}\n", "bold red"))
    parts.append(Text(f"{head.rstrip()}\n", "" if seen.health in {None, "healthy"} else "yellow"))
    for execution, recent in picture.active:
        parts += [frame(execution, recent, look), Text(one_line(f"  {execution.id}") + "\n", "dim")]
    if len(seen.executions) != len(picture.active) or not seen.executions:
        parts.append(Text(executions_text(seen), no_wrap=True))
    parts.append(Text(faults_text(seen), "bold red" if seen.faults else "", no_wrap=True))
    parts.append(Text(actors, no_wrap=True))
    parts.append(Text("Ctrl-C ends this, and nothing else", "dim"))
    return Group(*parts)


# ---------------------------------------------------------------- one execution


async def watch_one(tools: Tools, where: Where, execution_id: str) -> str:
    """Show one as `run` does, to its end or until INT, TERM or HUP, which stop nothing; its summary, or else its state.

    Raises NotFound, and what `tools.connect` does.
    """
    display = make_display()
    text = ""

    async def show(control: Control) -> None:
        nonlocal text
        while True:
            execution = await control.execution(execution_id)
            text = f"{execution_id} {execution.state.value}\n"
            if display.recent is not None and execution.started_at is not None:
                await display.recent.refresh(control, execution_id)
            display.show(execution)
            if execution.state is ExecutionState.FINISHED:
                text = summary(await control.report(execution_id), ())
                return
            if not isinstance(control, HttpControl):  # nobody plays it: it stays as it is
                return
            await anyio.sleep(POLL_S)

    try:
        async with anyio.create_task_group() as group:

            async def until_the_end() -> None:
                async with tools.connect(tools.load(), where, recovery=False) as control:
                    await show(control)
                group.cancel_scope.cancel(reason="shown")

            group.start_soon(until_the_end)
            with anyio.open_signal_receiver(*heeded()) as signals:
                async for _ in signals:
                    break
            group.cancel_scope.cancel(reason="seen enough")
    finally:
        display.close()
    return text
