"""What is still owed as a person can run it: with the image of helpers named in each command, once it is known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from coordinator.faults.commands import named, needs_image
from coordinator.faults.leftovers import ScanReport
from coordinator.record import ENDED, Execution, Fault, Report

Image = Callable[[], Awaitable[str]]
"""Asks for the helper image; empty where it is not known. Asked only where a command needs it."""


async def faults(found: tuple[Fault, ...], image: Image) -> tuple[Fault, ...]:
    """Those that owe nothing any more stay as they are."""
    owing = [command for fault in found if fault.state not in ENDED for command in fault.undo_commands]
    name = await _asked(owing, image)
    if not name:
        return found
    return tuple(
        fault if fault.state in ENDED else fault.model_copy(update={"undo_commands": named(fault.undo_commands, name)})
        for fault in found
    )


async def execution(found: Execution, image: Image) -> Execution:
    """Its faults."""
    told = await faults(found.faults, image)
    return found if told is found.faults else found.model_copy(update={"faults": told})


async def report(found: Report, image: Image) -> Report:
    """What is left broken, and the faults."""
    name = await _asked(found.left_broken, image)
    update = {
        "execution": await execution(found.execution, image),
        "left_broken": named(found.left_broken, name),
    }
    return found.model_copy(update=update)


async def scan(found: ScanReport, image: Image) -> ScanReport:
    """What was found and is left."""
    name = await _asked((command for each in found.found for command in each.commands), image)
    each_named = tuple(each.model_copy(update={"commands": named(each.commands, name)}) for each in found.found)
    return found.model_copy(update={"found": each_named})


async def _asked(commands: Iterable[str], image: Image) -> str:
    return await image() if any(map(needs_image, commands)) else ""
