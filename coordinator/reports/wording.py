"""What a report says in words: the verdict, and what became of the undo. Knows no format's markup."""

from __future__ import annotations

import shlex
from typing import Final, NamedTuple

from coordinator.faults.commands import by_hand
from coordinator.packets import vain
from coordinator.plain_text import harmless
from coordinator.record import ENDED, Execution, ExecutionState, Report, UndoState, Verdict


class Headline(NamedTuple):
    """The verdict as a heading and a sentence. `kind` is good, bad or open, for colours."""

    title: str
    sentence: str
    kind: str


_OF_VERDICT: Final = {
    Verdict.PASSED: Headline("Passed", "Everything that was asserted held.", "good"),
    Verdict.FAILED: Headline("Failed", "What was asserted did not hold.", "bad"),
    Verdict.ABORTED: Headline("Aborted", "It was ended before its time.", "bad"),
    Verdict.NOT_INJECTED: Headline(
        "Not injected", "It proves nothing: not every fault took effect as it should.", "bad"
    ),
    Verdict.ERROR: Headline("Error", "It could not be played as it should.", "bad"),
}
_UNDO: Final = {
    UndoState.NONE: "Nothing had to be put back.",
    UndoState.PENDING: "Not everything is put back yet.",
    UndoState.COMPLETE: "Everything that was changed is put back.",
    UndoState.INCOMPLETE: "Something is left broken.",
}


def headline(execution: Execution) -> Headline:
    """How it ended; of one that has not, that it has not."""
    if execution.verdict is None:
        state = execution.state.value.replace("_", " ")
        return Headline(
            "Not finished",
            f"When this was written it was {state}. Should its coordinator have died, the next start finishes it.",
            "open",
        )
    if execution.verdict is Verdict.PASSED and not execution.assertions:
        return Headline("Passed", "Its faults took effect and were undone; nothing was asserted.", "good")
    return _OF_VERDICT[execution.verdict]


def undo_sentence(execution: Execution) -> str:
    """What became of what was changed."""
    if execution.undo is UndoState.NONE and execution.state is not ExecutionState.FINISHED:
        return "Nothing is to be put back so far."
    return _UNDO[execution.undo]


def warnings(execution: Execution) -> tuple[str, ...]:
    """What a person should know who trusts the verdict: faults that took effect and disturbed nothing."""
    whys = ((fault, vain(fault)) for fault in execution.faults)
    return tuple(f"{fault.type} on {fault.target}, phase {fault.phase}: {why}" for fault, why in whys if why)


def left_broken(report: Report) -> tuple[str, ...]:
    """The commands for a person to run: as recorded, or where that holds none, those of the faults that still owe."""
    execution = report.execution
    if report.left_broken or execution.undo is not UndoState.INCOMPLETE:
        return by_hand(report.left_broken)
    owing = (fault for fault in reversed(execution.faults) if fault.state not in ENDED)
    return by_hand(command for fault in owing for command in fault.undo_commands)


def again(execution: Execution) -> str:
    """The command that plays it again: the same targets, as far as they are the same."""
    argv = ["test-coordinator", "run", execution.scenario, "--seed", str(execution.seed)]
    for name, value in execution.variables.items():
        argv += ["--var", f"{name}={value}"]
    return harmless(shlex.join(argv))
