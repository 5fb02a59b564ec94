"""Where log messages end up: plain JSON values, complete lines in a rotated file, lines for a person.
Knows nothing of Eliot's context, levels or of who logs.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from enum import Enum
from pathlib import Path, PurePath
from threading import Lock
from typing import Final, TextIO

from pydantic import BaseModel, SecretBytes, SecretStr

MAX_TEXT: Final = 16_384
"""Characters of one text field; the rest is cut and counted."""
_MAX_DEPTH: Final = 12
_MAX_INT: Final = 2**53
_MASK: Final = "***"
_ELIOT_FIELDS: Final = {"timestamp", "task_uuid", "task_level", "message_type", "action_type", "action_status"}
_NOT_ON_CONSOLE: Final = _ELIOT_FIELDS | {"level", "actor", "service", "instance", "environment"}


def plain(value: object, depth: int = 0) -> object:
    """The value as JSON can hold it: secrets masked, keys and big integers as text, nothing refused."""
    match value:
        case None | bool():
            return value
        case SecretStr() | SecretBytes():
            return _MASK
        case Enum():
            return plain(value.value, depth)
        case str():
            return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value) - MAX_TEXT} more)"
        case int():
            return value if -_MAX_INT <= value <= _MAX_INT else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
    return _as_text(value, depth) or (_nested(value, depth) if depth < _MAX_DEPTH else "…")


def _as_text(value: object, depth: int) -> object:
    match value:
        case bytes() | bytearray():
            return plain(value.decode("utf-8", "backslashreplace"), depth)
        case datetime() | date() | time():
            return value.isoformat()
        case PurePath():
            return str(value)
        case BaseException():
            return plain(f"{type(value).__name__}: {value}", depth)
    return None


def _nested(value: object, depth: int) -> object:
    match value:
        case BaseModel():
            return plain(dict(value), depth + 1)
        case Mapping():
            return {_key(key): plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [plain(item, depth + 1) for item in value]
        case set() | frozenset():
            return sorted((plain(item, depth + 1) for item in value), key=str)
        case bytes() | bytearray():
            return ""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    return plain(repr(value), depth)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(plain(key))


def json_line(message: Mapping[str, object]) -> bytes:
    """One message as one line, its end included."""
    # Half a surrogate pair (undecodable file names) cannot be UTF-8; written as an escape it is still JSON.
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def console_line(message: Mapping[str, object]) -> str:
    """One message as one line for a person: time, level, actor, what, fields."""
    stamp = message.get("timestamp")
    at = datetime.fromtimestamp(stamp if isinstance(stamp, int | float) else 0, UTC).isoformat(timespec="milliseconds")
    what = message.get("message_type") or f"{message.get('action_type', '')} {message.get('action_status', '')}"
    fields = [f"{name}={_on_one_line(value)}" for name, value in message.items() if name not in _NOT_ON_CONSOLE]
    head = f"{at[11:23]} {message.get('level', ''):<8} {message.get('actor', ''):<16} {what}"
    return "  ".join([head, *fields]) + "\n"


def _on_one_line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and (not text.isprintable() or " " in text or not text):
        return json.dumps(text)
    return text


class Console:
    """Prints each message to a stream as it comes. Raises OSError or ValueError when the stream is gone."""

    def __init__(self, stream: TextIO, *, readable: bool) -> None:
        """`readable`: lines for a person instead of JSON."""
        self._stream = stream
        self._readable = readable

    def __call__(self, message: Mapping[str, object]) -> None:
        """Print one message."""
        line = console_line(message) if self._readable else json_line(message).decode("utf-8")
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


class RotatedLines:
    """Appends complete JSON lines to a file shared by any number of processes; rotates it by size.

    `FILE.1` is the newest of `keep` older parts. Raises OSError when a line cannot be written; the next tries again.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        """Touch nothing yet: the file is opened with the first line."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._lock = Lock()
        self._descriptor: int | None = None
        self._torn = False

    def __call__(self, message: Mapping[str, object]) -> None:
        """Append one message."""
        line = json_line(message)
        with self._lock:
            descriptor = self._opened(len(line))
            if self._torn:
                line = b"\n" + line
            written = os.write(descriptor, line)
            # A full disk takes a part of a line: it is ended before the next, so that readers lose one line only.
            self._torn = written < len(line)
            if self._torn:
                raise OSError(f"{self._path}: only a part of a message could be written")

    def close(self) -> None:
        """Close the file; a later line would open it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _opened(self, coming: int) -> int:
        descriptor = self._current()
        size = os.fstat(descriptor).st_size
        if size and size + coming > self._max_bytes:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another process may have rotated while this one waited.
            if self._is_current(descriptor):
                self._rotate()
            descriptor = self._current()
        return descriptor

    def _current(self) -> int:
        if self._descriptor is not None and not self._is_current(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
        if self._descriptor is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Append mode is what keeps the lines of several processes apart.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = os.fstat(self._descriptor).st_size
            self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
        return self._descriptor

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                _numbered(self._path, number).replace(_numbered(self._path, number + 1))
        self._path.replace(_numbered(self._path, 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def rotated(path: Path) -> tuple[Path, ...]:
    """The file and its older parts that exist, oldest first."""
    older = [part for part in path.parent.glob(f"{path.name}.*") if part.name.removeprefix(f"{path.name}.").isdigit()]
    older.sort(key=lambda part: -int(part.name.removeprefix(f"{path.name}.")))
    return (*older, *([path] if path.exists() else []))
