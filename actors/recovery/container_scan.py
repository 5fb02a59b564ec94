"""Finds what faults have left in containers that run: stressors, and files that fill disks. Ends and removes what it is
told is ours to remove; tells everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from coordinator.faults.commands import Command
from coordinator.faults.disk import filled_folder, filled_way
from coordinator.faults.facts import TargetLock
from coordinator.faults.leftovers import Leftover, LeftoverState, Placed
from coordinator.faults.strays import (
    Stray,
    StraySight,
    look_for_strays,
    mark_of,
    parse_removed,
    parse_strays,
    remove_strays,
)
from coordinator.ports import CommandRunner
from coordinator.scenarios.side_by_side import failure_text, run_all

TOGETHER: Final = 50
"""Removed by one helper: what it is told must fit into a process's arguments."""
UNREADABLE: Final = "the helper's answer does not read: is HELPER_IMAGE of this version?"
SHORT: Final = 12

Found = TypeVar("Found", Stray, Placed)
Judge = Callable[[Stray], tuple[str, bool, LeftoverState]]
"""Why something is, or is not, ours to remove; whether it is; and what it is to be called where it stays."""


class ContainerScan:
    """The looks of one scan after another into containers."""

    def __init__(self, runner: CommandRunner) -> None:
        """Look at nothing yet."""
        self._runner = runner

    async def look(self, locks: Iterable[TargetLock]) -> tuple[StraySight, tuple[str, ...]]:
        """What was seen, in the folders too that locks name; or that nothing could be, and why."""
        folders: dict[str, set[str]] = {}
        for lock in locks:
            for locked in lock.undos or ():
                if filled_folder(locked.argv):
                    asked = {filled_folder(locked.argv), filled_way(locked.argv)}
                    folders.setdefault(lock.container_id, set()).update(asked)
        (outcome,) = await run_all(self._runner, [look_for_strays(folders)])
        why = failure_text(outcome)
        if outcome.ok:
            try:
                return parse_strays(outcome.stdout), ()
            except ValueError:
                why = UNREADABLE
        return StraySight(), (f"stressors and files in containers: {why}",)

    async def clear(
        self, sight: StraySight, names: Mapping[str, str], pids: Mapping[str, int], judge: Judge
    ) -> tuple[list[Leftover], frozenset[str]]:
        """What was found and what became of it, and the executions of which something is still there.

        `names` and `pids` are those of containers, by id; `judge` says what is to go.
        """
        judged = {stray: judge(stray) for stray in sight.strays}
        doomed = [stray for stray, (_, act, _) in judged.items() if act]
        ended = await removed(self._runner, doomed, remove_strays, parse_removed)
        found, remaining = [], set()
        for stray, (why, _, kept) in judged.items():
            mark = mark_of(stray)
            told = Leftover(
                kind=stray.kind, name=stray.shown, where=names.get(stray.container, stray.container[:SHORT]),
                instance=mark.instance, execution=mark.execution, why=why, state=kept,
            )  # fmt: skip
            error = ended.get(stray)
            if error == "":
                found.append(told.model_copy(update={"state": LeftoverState.UNDONE, "text": "removed"}))
                continue
            remaining.add(mark.execution)
            if error is not None or kept is LeftoverState.LEFT:
                by_hand = (stray.by_hand(pids.get(stray.container, 0)),)
                told = told.model_copy(update={"state": LeftoverState.LEFT, "text": error or "", "commands": by_hand})
            found.append(told)
        return found, frozenset(remaining)


async def removed(
    runner: CommandRunner,
    doomed: Sequence[Found],
    command: Callable[[Sequence[Found]], Command],
    parse: Callable[[str], tuple[Found, ...]],
) -> Mapping[Found, str]:
    """Why each is still there after `command` was to remove it; empty where it is gone. `parse` reads what it tells."""
    ended: dict[Found, str] = {}
    for first in range(0, len(doomed), TOGETHER):
        part = doomed[first : first + TOGETHER]
        (outcome,) = await run_all(runner, [command(part)])
        told: tuple[Found, ...] = ()
        why = failure_text(outcome)
        try:
            told = parse(outcome.stdout) if outcome.ok else ()
        except ValueError:
            why = UNREADABLE
        errors = {each.model_copy(update={"error": ""}): each.error for each in told}
        ended |= {each: errors.get(each, why) for each in part}
    return ended
