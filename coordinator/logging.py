"""Eliot for this house: who speaks is bound to every message, levels filter without tearing trees, clean stops are no
failures. The one way to log; knows nothing of what is logged.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, Self, TextIO, TypeAlias
from uuid import uuid4

import anyio
import eliot

from coordinator.identity import Identity
from coordinator.log_output import Console, RotatedLines, plain
from coordinator.log_tree import tree_lines

__all__ = [
    "LOG_FILE",
    "Level",
    "LogHandle",
    "Work",
    "action",
    "bind",
    "configure",
    "continuing",
    "log",
    "serialized_task",
    "task",
    "task_uuid",
    "tree_lines",
]

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Message: TypeAlias = Mapping[str, object]
Sink: TypeAlias = Callable[[Message], None]

LOG_FILE: Final = Path("logs", "test-coordinator.jsonl")
"""Below DATA_DIR."""
_RANKS: Final[dict[Level, int]] = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_OWN_HANDLERS: Final = ("hypercorn.error", "hypercorn.access", "quart.app", "quart.serving")
_CHATTY: Final = ("asyncio", "httpx", "httpcore", "urllib3", "docker", "hpack")
_MAX_HELD: Final = 10_000
_MAX_MINTED: Final = 100_000

_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
_bound: ContextVar[Mapping[str, str]] = ContextVar("coordinator.logging.bound", default=_NOBODY)
_minted: OrderedDict[str, None] = OrderedDict()


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Put these fields on every message logged inside, tasks and threads started there included."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def log(message_type: str, /, level: Level = "INFO", **fields: object) -> None:
    """Log one message, in the current action if there is one. Never raises."""
    eliot.log_message(message_type, level=level, **fields)


class Work:
    """An action in progress, as a context manager. Left by cancellation it has succeeded, with `cancelled: true`."""

    def __init__(self, started: Any, level: Level) -> None:
        """Wrap an Eliot action that has logged its start."""
        self._action = started
        self._context: Any = None
        if level != "INFO":
            self._action.add_success_fields(level=level)

    def __enter__(self) -> Self:
        """Make it the current action."""
        self._context = self._action.context()
        self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Log its end; the error goes on."""
        self._context.__exit__(None, None, None)
        if error is not None and _is_clean_stop(error):
            self._action.add_success_fields(cancelled=True)
            error = None
        self._action.finish(error)

    @property
    def task_uuid(self) -> str:
        """The task it belongs to."""
        return str(self._action.task_uuid)

    def add_success_fields(self, **fields: object) -> None:
        """Fields for the message that ends it, unless it fails."""
        self._action.add_success_fields(**fields)


def action(action_type: str, /, level: Level = "INFO", **fields: object) -> Work:
    """A part of the current task; without one, a new task. A failed end is logged as ERROR."""
    return Work(eliot.start_action(action_type=action_type, level=level, **fields), level)


def task(action_type: str, /, level: Level = "INFO", **fields: object) -> Work:
    """A new task, whatever is current: every request, call and tick is a unit of work of its own."""
    return Work(eliot.start_task(action_type=action_type, level=level, **fields), level)


def serialized_task() -> str:
    """A place in the current task, for `continuing` in another task, process or incarnation; a new task if none is."""
    current = eliot.current_action()
    serialized = f"{uuid4()}@/" if current is None else str(current.serialize_task_id().decode("ascii"))
    _minted[serialized] = None
    if len(_minted) > _MAX_MINTED:
        _minted.popitem(last=False)
    return serialized


def task_uuid(serialized: str) -> str:
    """The task that a serialized place belongs to."""
    return serialized.partition("@")[0]


def continuing(serialized: str, action_type: str, /, level: Level = "INFO", **fields: object) -> Work:
    """Go on with a task at the place that `serialized_task` reserved.

    A place can be taken once: whoever comes later (a restarted actor, recovery) stands beside it, in order of time.
    """
    place = serialized if serialized in _minted else _beside(serialized)
    _minted.pop(serialized, None)
    started = eliot.Action.continue_task(task_id=place, action_type=action_type, level=level, **fields)
    return Work(started, level)


def _beside(serialized: str) -> str:
    uuid, _, place = serialized.partition("@")
    parent = place.rpartition("/")[0]
    return f"{uuid}@{parent}/{time.time_ns() // 1000}"


def _is_clean_stop(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_clean_stop(leaf) for leaf in error.exceptions)
    try:
        return isinstance(error, (anyio.get_cancelled_exc_class(), GeneratorExit))
    except anyio.NoEventLoopError:
        return isinstance(error, GeneratorExit)


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [f"{type(error).__module__}.{type(error).__qualname__}: {error}"]


def _group_fields(error: BaseException) -> dict[str, object]:
    return {"leaves": _leaves(error)}


def _level_of(message: Message) -> Level:
    for level in _RANKS:
        if message.get("level") == level:
            return level
    failed = message.get("action_status") == "failed"
    broken = message.get("message_type") in {"eliot:traceback", "eliot:destination_failure"}
    return "ERROR" if failed or broken else "INFO"


class _LevelFilter:
    """Lets messages of a level pass, and with each the starts of the actions around it, held back until then."""

    def __init__(self, level: Level) -> None:
        self._least = _RANKS[level]
        self._held: OrderedDict[tuple[object, tuple[int, ...]], Message] = OrderedDict()
        self._lock = Lock()

    def passing(self, message: Message, level: Level) -> list[Message]:
        """What is to be written now: nothing, the message, or starts of actions and the message."""
        steps_given = message.get("task_level")
        steps = tuple(steps_given) if isinstance(steps_given, list) else ()
        uuid, status = message.get("task_uuid"), message.get("action_status")
        with self._lock:
            if _RANKS[level] < self._least:
                if status == "started":
                    self._held[uuid, steps[:-1]] = message
                    if len(self._held) > _MAX_HELD:
                        self._held.popitem(last=False)
                    return []
                # An end is written exactly when its start was.
                if status is None or self._held.pop((uuid, steps[:-1]), None) is not None:
                    return []
            around = [(uuid, steps[:depth]) for depth in range(len(steps))]
            return [*(self._held.pop(place) for place in around if place in self._held), message]


class _Destination:
    """The one Eliot destination: merges who speaks, gives a level, makes it plain, filters, hands it to the sinks."""

    def __init__(self, identity: Identity, level: Level, sinks: Sequence[Sink]) -> None:
        names = {"service": identity.service, "instance": identity.instance, "environment": identity.environment}
        self._speaker = {**names, "actor": "root"}
        self._filter = _LevelFilter(level)
        self._sinks = sinks

    def __call__(self, message: dict[str, object]) -> None:
        speaker = {**self._speaker, **_bound.get()}
        level = _level_of(message)
        # Fields that bear a speaker's name are kept aside: who speaks must hold on every message.
        own = {f"own_{name}" if name in speaker else name: plain(value) for name, value in message.items()}
        failures: list[OSError | ValueError] = []
        for passing in self._filter.passing({**own, "level": level, **speaker}, level):
            for sink in self._sinks:
                # Where one sink fails, the others must still have it.
                try:
                    sink(passing)
                except (OSError, ValueError) as failed:
                    failures.append(failed)
        if failures:
            raise failures[0]


class _StdlibHandler(logging.Handler):
    """Hands records of the standard library's logging to Eliot, in the current action."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = f"{record.msg} {record.args}"
        level = max((rank, name) for name, rank in _RANKS.items() if rank <= max(record.levelno, logging.DEBUG))[1]
        raised = record.exc_info[1] if record.exc_info else None
        extra = {"exception": _leaves(raised)} if raised is not None else {}
        eliot.log_message("eliot:stdlib", level=level, logger=record.name, message=text, **extra)


_handlers: list[_StdlibHandler] = []


def _attach_last(level: int) -> None:
    """Only the log configured last takes the standard library's records, else each would be logged once per log."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _StdlibHandler)]
    root.handlers.extend(_handlers[-1:])
    root.setLevel(level)


class LogHandle:
    """What `configure` set up. Several may stand side by side; each is closed by whoever made it."""

    def __init__(self, destination: _Destination, file: RotatedLines | None, level: Level) -> None:
        """Start writing."""
        self.lost = 0
        """Messages that a sink could not take, since the start."""
        self._destinations: list[Callable[[dict[str, object]], None]] = [destination, self._count]
        self._file = file
        self._handler = _StdlibHandler()
        self._level_before = logging.getLogger().level
        _handlers.append(self._handler)
        _attach_last(_RANKS[level])
        eliot.add_destinations(*self._destinations)

    def close(self) -> None:
        """Stop writing and leave the standard library's logging as it was found. May be called twice."""
        for destination in self._destinations:
            eliot.remove_destination(destination)
        self._destinations = []
        if self._handler in _handlers:
            _handlers.remove(self._handler)
            _attach_last(self._level_before)
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        """For tests and short commands."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _count(self, message: dict[str, object]) -> None:
        if message.get("message_type") == "eliot:destination_failure":
            self.lost += 1


def configure(
    identity: Identity,
    *,
    level: Level = "INFO",
    file: Path | None = None,
    stream: TextIO | None = None,
    stream_format: Literal["json", "console"] = "json",
    sinks: Sequence[Sink] = (),
    max_bytes: int = 20_000_000,
    keep: int = 5,
) -> LogHandle:
    """Write every message to `file` (rotated above `max_bytes`, `keep` older parts), `stream` and `sinks`.

    Also takes over the standard library's logging. Opens nothing before the first message, never raises for a disk.
    """
    lines = RotatedLines(file, max_bytes=max_bytes, keep=keep) if file is not None else None
    console = Console(stream, readable=stream_format == "console") if stream is not None else None
    for name in _OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        # They name every request and event loop, and samples are not messages.
        logging.getLogger(name).setLevel(logging.WARNING)
    eliot.register_exception_extractor(BaseExceptionGroup, _group_fields)
    writers: list[Sink] = [sink for sink in (lines, console) if sink is not None]
    return LogHandle(_Destination(identity, level, [*writers, *sinks]), lines, level)
