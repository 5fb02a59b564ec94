"""One task of the log as the tree that eliot-tree prints. Reads files, tolerates torn and foreign lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from coordinator.log_output import rotated

IDENTITY_FIELDS: Final = frozenset({"service", "instance", "environment"})
_NOT_SHOWN: Final = IDENTITY_FIELDS | {"action_status", "action_type", "task_level", "task_uuid", "message_type"}
_STATUSES: Final = frozenset({"started", "succeeded", "failed"})
_FIELD_LIMIT: Final = 200

Message = dict[str, object]


def tree_lines(path: Path, task_uuid: str) -> tuple[str, ...]:
    """The causal tree of a task, line by line; empty where the log has nothing of it.

    `path` is a log file, or a folder whose `*.jsonl` are all read (the warden writes its own); rotated parts included.
    """
    # Heavy, and only one command needs them.
    import eliottree
    from eliot.parse import Task

    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    messages = sorted(_messages(paths, task_uuid), key=_when)
    if not messages:
        return ()
    task = Task()
    for message in _with_changes_of_actor(messages):
        task = task.add(message)
    out = io.StringIO()
    theme = eliottree.get_theme(dark_background=True, colored=None)
    eliottree.render_tasks(
        out.write, [task], field_limit=_FIELD_LIMIT, ignored_fields=_NOT_SHOWN, human_readable=True, theme=theme
    )
    return tuple(out.getvalue().rstrip().split("\n"))


def _messages(paths: Iterable[Path], task_uuid: str) -> Iterator[Message]:
    """The task's messages, each place in the tree once, actions by the type they were first seen with."""
    needle = task_uuid.encode()
    seen: set[tuple[int, ...]] = set()
    types: dict[tuple[int, ...], object] = {}
    for part in (part for path in paths for part in rotated(path)):
        with part.open("rb") as lines:
            for line in lines:
                message = _parsed(line) if needle in line else None
                if message is None or message["task_uuid"] != task_uuid:
                    continue
                place = _place(message)
                kind = message.get("action_type")
                if place in seen or (kind is not None and types.setdefault(place[:-1], kind) != kind):
                    continue
                seen.add(place)
                yield {name: value for name, value in message.items() if not _said_already(message, name)}


def _with_changes_of_actor(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages in order of time, each naming its actor only where it is another than that of the action around."""
    actors: dict[tuple[int, ...], object] = {}
    for message in messages:
        actor, own = message.get("actor"), _place(message)[:-1]
        begins = message.get("action_status") == "started"
        # Work that another process continued may stand deeper than any action we know: the nearest one counts.
        outer = range(len(own) - begins, -1, -1)
        nearest = next((own[:end] for end in outer if own[:end] in actors), None)
        same = nearest is not None and actors[nearest] == actor
        if begins:
            actors[own] = actor
        yield {name: value for name, value in message.items() if not (same and name == "actor")}


def _parsed(line: bytes) -> Message | None:
    """The message of a complete Eliot line, else None."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or not {"task_uuid", "task_level", "timestamp"} <= message.keys():
        return None
    if not _place(message) or not isinstance(message["timestamp"], int | float):
        return None
    return message if "action_type" not in message or message.get("action_status") in _STATUSES else None


def _said_already(message: Message, name: str) -> bool:
    """Whether a field only repeats: the usual level, and the actor at an action's end."""
    usual = name == "level" and message[name] == "INFO"
    return usual or (name == "actor" and message.get("action_status") in {"succeeded", "failed"})


def _place(message: Message) -> tuple[int, ...]:
    level = message["task_level"]
    return tuple(step for step in level if isinstance(step, int)) if isinstance(level, list) else ()


def _when(message: Message) -> float:
    at = message["timestamp"]
    return float(at) if isinstance(at, int | float) else 0.0
