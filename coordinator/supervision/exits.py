"""What the end of a child means: classified on the leaves of what it raised, never on its type, and kept as text.

Knows no event loop: which exception means cancellation is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from coordinator.supervision.errors import Declined, DeliberateStop, Escalated, StartFailed

LINE_LIMIT: Final = 300  # characters of one error's message
FRAME_LIMIT: Final = 8  # innermost frames kept per error
CAUSE_LIMIT: Final = 4  # errors kept of a chain of causes
LEAF_LIMIT: Final = 8  # errors told of one group


class ExitKind(Enum):
    """How a child ended."""

    NORMAL = "normal"  # returned, unasked
    SHUTDOWN = "shutdown"  # ended on purpose, unasked
    DECLINED = "declined"  # said that it does not want to run
    CRASH = "crash"  # raised, or was cancelled by something that is not its supervisor
    STOPPED = "stopped"  # ended as it was told to
    STOP_ERROR = "stop_error"  # was told to stop and failed in doing so
    QUIT = "quit"  # SystemExit or KeyboardInterrupt: the process is to end


@dataclass(frozen=True, slots=True)
class Exit:
    """One end: a line for people, the stack as text, and whether a restart could help.

    No exception is kept: its frames would keep everything alive that the dead child touched.
    """

    kind: ExitKind
    reason: str
    detail: str = ""
    hopeless: bool = False
    interrupted: bool = False
    code: int | str | None = None


RETURNED: Final = Exit(ExitKind.NORMAL, "returned")
STOPPED: Final = Exit(ExitKind.STOPPED, "stopped")


def classify(
    error: BaseException | None,
    *,
    asked: bool,
    cancelled: type[BaseException],
    quarantine_on: tuple[type[Exception], ...] = (),
) -> Exit:
    """Say what an end means.

    Args:
        error: what left the child's body; None when it returned.
        asked: the child was told to stop, or cancelled by its supervisor or with it.
        cancelled: the event loop's cancellation exception.
        quarantine_on: errors that no restart can mend.
    """
    if error is None:
        return STOPPED if asked else RETURNED
    leaves = tuple(_leaves(error))
    quits = [leaf for leaf in leaves if isinstance(leaf, SystemExit | KeyboardInterrupt)]
    if quits:
        first = quits[0]
        interrupted = isinstance(first, KeyboardInterrupt)
        code = None if isinstance(first, KeyboardInterrupt) else first.code
        return Exit(ExitKind.QUIT, describe(first), _stack(first, describe(first)), interrupted=interrupted, code=code)
    failures = [leaf for leaf in leaves if not isinstance(leaf, (cancelled, DeliberateStop, Declined))]
    if asked:
        return _failed(ExitKind.STOP_ERROR, failures, quarantine_on) if failures else STOPPED
    if failures:
        return _failed(ExitKind.CRASH, failures, quarantine_on)
    if any(isinstance(leaf, cancelled) for leaf in leaves):
        # A library's cancellation kills a child silently unless it counts as a crash.
        reason = f"{cancelled.__name__}: cancelled by something other than its supervisor"
        return Exit(ExitKind.CRASH, reason, _stack(leaves[0], cancelled.__name__))
    kind = ExitKind.SHUTDOWN if any(isinstance(leaf, DeliberateStop) for leaf in leaves) else ExitKind.DECLINED
    return Exit(kind, "; ".join(describe(leaf) for leaf in leaves[:LEAF_LIMIT]))


def _failed(kind: ExitKind, leaves: list[BaseException], quarantine_on: tuple[type[Exception], ...]) -> Exit:
    told = [describe(leaf) for leaf in leaves[:LEAF_LIMIT]]
    reason = told[0] if len(leaves) == 1 else f"{len(leaves)} errors: {'; '.join(told)}"
    detail = "\n".join(map(_stack, leaves[:LEAF_LIMIT], told))
    return Exit(kind, reason, detail, hopeless=any(isinstance(leaf, quarantine_on) for leaf in leaves))


def describe(error: BaseException) -> str:
    """One line: the type and the start of the message."""
    if isinstance(error, StartFailed | Escalated):
        return error.brief
    try:
        message = " ".join(str(error).split())
    except Exception as broken:  # noqa: BLE001 - the message is the child's own code, part of classifying its end
        message = f"(its message cannot be read: {type(broken).__name__})"
    if len(message) > LINE_LIMIT:
        message = message[: LINE_LIMIT - 1] + "…"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors at the bottom of nested groups; iterative, since a child may nest as it likes."""
    pending = [error]
    while pending:
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            pending.extend(reversed(one.exceptions))
        else:
            yield one


def _stack(error: BaseException, described: str) -> str:
    """An error with its causes and where each came from. No source lines: reading files takes longer than a restart."""
    if isinstance(error, StartFailed | Escalated):
        return error.detail  # the stack that matters is the child's
    lines: list[str] = []
    current: BaseException | None = error
    for number in range(CAUSE_LIMIT):
        if current is None:
            break
        lines.append(f"caused by {describe(current)}" if number else described)
        frames: list[str] = []
        trace = current.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"  {code.co_filename}:{trace.tb_lineno} in {code.co_qualname}")
            trace = trace.tb_next
        lines.extend(frames[-FRAME_LIMIT:])
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(lines)


def suspended_at(awaitable: object) -> str:
    """Where a coroutine waits, outermost and innermost place; names the function that a worker thread is busy with."""
    places: list[str] = []
    thread = ""
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            code = frame.f_code
            places.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
            if code.co_name == "run_sync" and code.co_filename.endswith("to_thread.py"):
                function = frame.f_locals.get("func")
                thread = f", in a worker thread running {getattr(function, '__qualname__', function)!r}"
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    if not places:
        return "waiting at an unknown place"
    inner = "" if len(places) == 1 else f" … {places[-1]}"
    return f"waiting at {places[0]}{inner}{thread}"
