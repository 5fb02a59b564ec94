"""A scenario file as text: YAML or JSON read, event by event, into nodes that know their file and line. Scalars stay
text; which field means what is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import yaml
from pydantic import JsonValue
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from coordinator.errors import Problem
from coordinator.scenarios.model import masked

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NODES: Final = 10_000
MAX_PROBLEMS: Final = 100
NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
SHOWN: Final = 60

Path = tuple[str | int, ...]

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_PAIR: Final = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)")
# Not longer than a float can tell apart, and no leading zeros: 007 is a text.
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,2})?")
_HINTS: Final = (
    ("scanning a block scalar", "a comparison that starts with > stands in quotes, like '>= 99%'"),
    ("cannot start any token", "spaces for indentation, and quotes around a text that starts with %, @, ` or >"),
    ("mapping values are not allowed", "quotes around a text that holds a colon and a space; even indentation"),
    ("expected ',' or", "quotes around a text that holds {, }, [, ] or a comma"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar. None is an absent value; `broken` is one already complained of, which nobody should judge again."""

    file: str
    line: int
    text: str | None
    broken: bool = False
    plain: bool = False
    """Written without quotes: where any value may stand, the text says what it is."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    file: str
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A map. The line of a value is that of its key."""

    file: str
    line: int
    entries: dict[str, Node]


Node = Text | Items | Fields


def field(path: Path) -> str:
    """The path for a person: `phases[0].faults[1].at`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def described(node: Node) -> str:
    """What was found, in a few words; passwords in URLs are masked."""
    if isinstance(node, Items):
        return f"a list of {len(node.items)}"
    if isinstance(node, Fields):
        return "a map with " + (", ".join(list(node.entries)[:5]) or "nothing in it")
    if node.text is None:
        return "nothing"
    text = masked(node.text)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def entry(node: Node | None, key: str) -> Node | None:
    """The value under a key, or None when there is no such thing."""
    return node.entries.get(key) if isinstance(node, Fields) else None


def items(node: Node | None) -> tuple[Node, ...]:
    """The items of a list; nothing for anything else."""
    return node.items if isinstance(node, Items) else ()


def text_of(node: Node | None) -> str | None:
    """The text of a scalar that may be judged, else None."""
    return node.text if isinstance(node, Text) and not node.broken else None


def typed(node: Node | None) -> JsonValue:
    """What a node is where any JSON may stand: without quotes there are numbers, true, false and null, as in YAML."""
    if isinstance(node, Items):
        return [typed(one) for one in node.items]
    if isinstance(node, Fields):
        return {key: typed(one) for key, one in node.entries.items()}
    if node is None or node.text is None or not node.plain:
        return None if node is None else node.text
    if node.text.lower() in {"true", "false"}:
        return node.text.lower() == "true"
    if _WHOLE.fullmatch(node.text):
        return int(node.text)
    return float(node.text) if _DECIMAL.fullmatch(node.text) else node.text


def _line(event: Event) -> int:
    """Counted from 1, as editors do."""
    return event.start_mark.line + 1 if event.start_mark else 1


class _Stopped(Exception):
    """Reading cannot go on; the problem is noted."""


class _Reader:
    """Builds nodes from events and notes what a scenario file may not hold."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self._file = file
        self._problems = problems
        self._count = 0

    def note(self, line: int | None, path: Path, found: str, allowed: str) -> None:
        """Add a problem; too many of them end the reading."""
        self._problems.append(Problem(self._file, line, field(path), found, allowed))
        if len(self._problems) >= MAX_PROBLEMS:
            raise _Stopped

    def document(self, events: Iterator[Event]) -> Node | None:
        """The one document, or None when there is none."""
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self.note(_line(event), (), "a second document", "one document in a file")
                    break
                root = self._node(next(events), events, (), 1)
        return root

    def _node(self, event: Event, events: Iterator[Event], path: Path, depth: int, line: int = 0) -> Node:
        line = line or _line(event)
        self._count += 1
        if self._count > MAX_NODES:
            self.note(line, path, f"more than {MAX_NODES:,} values", f"at most {MAX_NODES:,}")
            raise _Stopped
        if depth > MAX_DEPTH:
            self.note(line, path, f"deeper than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
            raise _Stopped
        broken = self._decorated(event, line, path)
        if isinstance(event, SequenceStartEvent):
            return Items(self._file, line, tuple(self._items(events, path, depth)))
        if isinstance(event, MappingStartEvent):
            return Fields(self._file, line, self._entries(events, path, depth))
        if isinstance(event, ScalarEvent):
            return self._scalar(event, line, path, broken=broken)
        return Text(self._file, line, None, broken=True)

    def _decorated(self, event: Event, line: int, path: Path) -> bool:
        """Note an alias, an anchor or a tag."""
        if isinstance(event, AliasEvent):
            self.note(line, path, f"the alias *{event.anchor}", "values written out; aliases are not read")
            return True
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        tag = getattr(event, "tag", None)
        if anchor:
            self.note(line, path, f"the anchor &{anchor}", "values without anchors")
        if tag:
            self.note(line, path, f"the tag {tag}", "values without tags; their field says what they are")
        return bool(anchor or tag)

    def _scalar(self, event: ScalarEvent, line: int, path: Path, *, broken: bool) -> Text:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.note(line, path, "half a character (a lone surrogate)", "Unicode text")
            return Text(self._file, line, None, broken=True)
        # The C parser writes the plain style as an empty text.
        absent = not event.style and text in NULLS
        return Text(self._file, line, None if absent else text, broken=broken, plain=not event.style)

    def _items(self, events: Iterator[Event], path: Path, depth: int) -> Iterator[Node]:
        for index, event in enumerate(events):
            if isinstance(event, CollectionEndEvent):
                return
            yield self._node(event, events, (*path, index), depth + 1)

    def _entries(self, events: Iterator[Event], path: Path, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for event in events:
            if isinstance(event, CollectionEndEvent):
                break
            line = _line(event)
            key = self._key(event, events, path, depth)
            value = self._node(next(events), events, path if key is None else (*path, key), depth + 1, line)
            if key in entries:
                allowed = f"each field once; it also stands on line {entries[key].line}"
                self.note(line, (*path, key), "given twice", allowed)
            elif key is not None:
                entries[key] = value
        return entries

    def _key(self, event: Event, events: Iterator[Event], path: Path, depth: int) -> str | None:
        """The key's text, or None when it is none."""
        line = _line(event)
        node = self._node(event, events, path, depth + 1)
        if isinstance(node, Text) and not node.broken and isinstance(event, ScalarEvent) and event.value:
            return str(event.value)
        if not (isinstance(node, Text) and node.broken):
            self.note(line, path, "a key that is no text", 'a plain text as key; quotes around "{{ variable }}"')
        return None


def _as_yaml(text: str) -> str:
    """JSON is YAML but for tabs between tokens and characters written as two escapes."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text

    def paired(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        return chr(0x10000 + ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00)

    return _JSON_PAIR.sub(paired, text.replace("\t", " "))


def _decoded(source: str | bytes, reader: _Reader) -> str:
    """The text without a byte order mark."""
    try:
        raw = source.encode() if isinstance(source, str) else source
        if len(raw) > MAX_BYTES:
            reader.note(None, (), f"{len(raw):,} bytes", f"at most 1 MiB ({MAX_BYTES:,} bytes)")
            raise _Stopped
        return raw.decode("utf-8-sig")
    except UnicodeError as error:
        line = error.object[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else None
        reader.note(line, (), "bytes that are not UTF-8", "a text file in UTF-8")
        raise _Stopped from None


def _syntax(error: yaml.YAMLError | ValueError | OverflowError, text: str, reader: _Reader) -> None:
    """Note what the YAML scanner or parser stumbled over, with what usually helps."""
    line: int | None = None
    what = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        what = " ".join(part for part in (error.context, error.problem) if part)
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.encode()[: error.position].count(b"\n") + 1
        what = f"a character that may not stand in a text file ({error.reason})"
    if "nesting depth" in what:  # some builds of libyaml count before we do
        reader.note(line, (), f"deeper than {MAX_DEPTH} levels", f"at most {MAX_DEPTH} levels")
        return
    allowed = next((hint for part, hint in _HINTS if part in what), "YAML 1.2 or JSON")
    reader.note(line, (), f"not readable: {what}", allowed)


def read(source: str | bytes, file: str, problems: list[Problem]) -> Fields | None:
    """The document's map; adds to `problems` all that it may not hold. None when nothing can be made of it."""
    reader = _Reader(file, problems)
    text = ""
    try:
        text = _as_yaml(_decoded(source, reader))
        root = reader.document(iter(yaml.parse(text, Loader=_LOADER)))
        if isinstance(root, Fields):
            return root
        reader.note(root.line if root else None, (), described(root) if root else "an empty file", "a map of fields")
    except _Stopped:
        pass
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        with suppress(_Stopped):
            _syntax(error, text, reader)
    return None


def merged(old: Node, new: Node) -> Node:
    """`new` laid over `old`: maps are merged deeply, an absent value takes an entry out, all else replaces.

    A map that says it is of another `type` replaces the old one whole.
    """
    if not (isinstance(old, Fields) and isinstance(new, Fields)):
        return new
    types = (text_of(entry(old, "type")), text_of(entry(new, "type")))
    if None not in types and types[0] != types[1]:
        return new
    entries = dict(old.entries)
    for key, value in new.entries.items():
        if isinstance(value, Text) and value.text is None and not value.broken:
            entries.pop(key, None)
        else:
            entries[key] = merged(entries[key], value) if key in entries else value
    return replace(new, entries=entries)
