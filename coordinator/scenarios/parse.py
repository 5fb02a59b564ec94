"""From a scenario file's text to a Scenario: every problem in it at once, each with its line, its field, what was
found and what is allowed. Reads no file and knows no engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from importlib.resources import files
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from coordinator.errors import InvalidScenario, NotFound, Problem
from coordinator.quantities import shown_as
from coordinator.scenarios.document import (
    MAX_BYTES,
    MAX_PROBLEMS,
    Fields,
    Items,
    Node,
    Path,
    Text,
    described,
    entry,
    field,
    merged,
    read,
    text_of,
    typed,
)
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.references import check, listed, nearest
from coordinator.scenarios.schema import at, fields_at, pattern_at, schema, types_at
from coordinator.scenarios.slips import slips

__all__ = [
    "Parsed",
    "allowed_by",
    "as_plain",
    "builtin_names",
    "builtin_text",
    "located",
    "parse",
    "schema",
    "starter_text",
]  # fmt: skip

_BRACES: Final = re.compile(r"\{\{([^{}]*)\}\}")
_VARIABLE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*")
_QUOTED: Final = re.compile(r"'([^']*)'")
NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
# In these maps the keys are the user's: an empty value there is a text, and a nameless part is an error.
_TEXT_MAPS: Final = frozenset({"variables", "labels", "headers", "env"})
_NAME_MAPS: Final = frozenset({"targets", "probes"})
_ANY: Final = frozenset({"json"})
_KINDS: Final = {
    "string_type": "a text",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}


_SECONDARY: Final = frozenset({*_KINDS, "too_short"})
"""Errors of a list or map that say nothing more when something in it is wrong."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A valid scenario, its variables as they were put in, and what a person should know of it."""

    scenario: Scenario
    variables: dict[str, str]
    warnings: tuple[str, ...] = ()


def parse(text: str | bytes, *, file: str, variables: Mapping[str, str] = NO_VARIABLES) -> Parsed:
    """Read a scenario. `file` is what problems call it; `variables` override the declared ones.

    Raises InvalidScenario with all problems, whatever the text is.
    """
    problems: list[Problem] = []
    root = read(text, file, problems)
    if root is None:
        raise InvalidScenario(tuple(problems))
    root = _extended(root, problems)
    effective = _effective(root, variables, problems)
    putting = _Putting(effective, problems)
    fixed = {"variables", "extends"}
    entries = {key: node if key in fixed else putting.into(node, (key,)) for key, node in root.entries.items()}
    root = replace(root, entries=entries)
    scenario = _typed(root, effective, problems)
    problems += islice(check(root), MAX_PROBLEMS)
    if problems or scenario is None:
        raise InvalidScenario(_in_file_order(problems, file))
    return Parsed(scenario, effective, tuple(slips(scenario, set(effective) - putting.used)))


def _in_file_order(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    ordered = sorted(problems, key=lambda problem: (problem.file != file, problem.file, problem.line or 0))
    return tuple(dict.fromkeys(ordered))[:MAX_PROBLEMS]


# ---------------------------------------------------------------- built-in scenarios


def builtin_names() -> tuple[str, ...]:
    """The names of the built-in scenarios, sorted."""
    folder = files("coordinator.scenarios") / "library"
    return tuple(sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml")))


def builtin_text(name: str) -> str:
    """The YAML of a built-in scenario. Raises NotFound."""
    if name not in builtin_names():
        raise NotFound(f"there is no built-in scenario {name!r}; there are: {', '.join(builtin_names())}")
    return (files("coordinator.scenarios") / "library" / f"{name}.yaml").read_text("utf-8")


def starter_text() -> str:
    """The commented scenario that `init` writes."""
    return (files("coordinator.scenarios") / "starter.yaml").read_text("utf-8")


def _extended(root: Fields, problems: list[Problem]) -> Fields:
    """The document laid over the built-in scenario it extends, if it does."""
    node = entry(root, "extends")
    name = text_of(node)
    if node is None or name is None:
        return root
    names = builtin_names()
    if name not in names:
        allowed = "a built-in scenario: " + ", ".join(names)
        problems.append(Problem(node.file, node.line, "extends", described(node), allowed, nearest(name, names)))
        return root
    base = read(builtin_text(name), f"<built-in {name}>", problems)
    whole = root if base is None else merged(base, root)
    return whole if isinstance(whole, Fields) else root


# ---------------------------------------------------------------- variables


def _effective(root: Fields, given: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Every declared variable with its value."""
    node = entry(root, "variables")
    declared = node.entries if isinstance(node, Fields) else {}
    effective = {name: one.text or "" for name, one in declared.items() if isinstance(one, Text)}
    for name, value in given.items():
        if name in declared:
            effective[name] = value
            continue
        allowed = f"a variable the scenario declares: {listed(declared)}"
        found, line = f"the undeclared variable {name!r}", node.line if node else None
        problems.append(Problem(root.file, line, f"variables.{name}", found, allowed, nearest(name, declared)))
    for name, value in effective.items():
        if "{{" in value:
            one = declared[name]
            shown = described(Text(one.file, one.line, value))
            problems.append(Problem(one.file, one.line, f"variables.{name}", shown, "a text without {{ }}"))
    return effective


@dataclass(slots=True)
class _Putting:
    """Puts variables in, once, and notes which were used. What is put in is bounded, as the file is."""

    values: Mapping[str, str]
    problems: list[Problem]
    used: set[str] = dataclass_field(default_factory=set)
    room: int = MAX_BYTES

    def into(self, node: Node, path: Path) -> Node:
        """The node with its variables replaced; a text with an unknown one is marked as broken."""
        if isinstance(node, Items):
            return replace(node, items=tuple(self.into(one, (*path, n)) for n, one in enumerate(node.items)))
        if isinstance(node, Fields):
            return replace(node, entries={key: self.into(one, (*path, key)) for key, one in node.entries.items()})
        if node.text is None or "{{" not in node.text:
            return node
        wrong: list[Problem] = []

        def value(braces: re.Match[str]) -> str:
            name = _VARIABLE.fullmatch(braces[1])
            if name is None or name[1] not in self.values:
                # One text can hold as many mistakes as the file has room for.
                if len(wrong) < MAX_PROBLEMS:
                    wrong.append(self._unknown(node, path, braces[0]))
                return braces[0]
            self.used.add(name[1])
            self.room -= len(self.values[name[1]])
            return self.values[name[1]] if self.room >= 0 else ""

        text = _BRACES.sub(value, node.text)
        if "{{" in _BRACES.sub("", node.text):
            wrong.append(self._unknown(node, path, node.text))
        if self.room < 0:
            allowed = "at most 1 MiB of text put in"
            wrong.append(
                Problem(node.file, node.line, field(path), "variables that make the scenario too long", allowed)
            )
        self.problems += wrong
        alone = _BRACES.fullmatch(node.text) is not None
        return replace(node, text=text, broken=node.broken or bool(wrong), plain=node.plain or alone)

    def _unknown(self, node: Text, path: Path, braces: str) -> Problem:
        allowed = f"{{{{ name }}}} of a declared variable: {listed(self.values)}"
        shown, close = described(replace(node, text=braces)), nearest(braces.strip("{} "), self.values)
        return Problem(node.file, node.line, field(path), shown, allowed, close)


# ---------------------------------------------------------------- types


def as_plain(node: Node, key: str = "") -> object:
    """Texts, lists and dicts. An absent value leaves its field out."""
    if key in _ANY:
        return typed(node)
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Items):
        return [as_plain(one) for one in node.items]
    plain: dict[str, object] = {}
    for name, one in node.entries.items():
        value = as_plain(one, name)
        if value is not None or key in _NAME_MAPS:
            plain[name] = value
        elif key in _TEXT_MAPS:
            plain[name] = ""
    return plain


def _typed(root: Fields, variables: Mapping[str, str], problems: list[Problem]) -> Scenario | None:
    """The scenario, or None with what is wrong added to `problems`."""
    plain = as_plain(root)
    if isinstance(plain, dict) and isinstance(plain.get("variables"), dict):
        plain["variables"] |= variables
    try:
        return Scenario.model_validate(plain, by_alias=True, by_name=False)
    except ValidationError as error:
        faults = [_Fault.of(one, root) for one in error.errors(include_url=False)[: 2 * MAX_PROBLEMS]]
    deepest = [fault.path for fault in faults]
    groups: dict[tuple[Path, str], list[_Fault]] = {}
    for fault in faults:
        # A union's branches that were not meant complain at the union, and a list whose items are wrong at its length.
        beside = any(len(path) > len(fault.path) and path[: len(fault.path)] == fault.path for path in deepest)
        if not fault.broken and not (beside and fault.kind in _SECONDARY):
            groups.setdefault((fault.path, fault.found), []).append(fault)
    for (path, found), group in groups.items():
        allowed = " or ".join(dict.fromkeys(fault.allowed for fault in group))
        first = group[0]
        problems.append(Problem(first.file, first.line, field(path), found, allowed, first.suggestion))
    return None


@dataclass(frozen=True, slots=True)
class _Fault:
    """One of pydantic's errors, found again in the document."""

    kind: str
    path: Path
    file: str
    line: int
    found: str
    allowed: str
    suggestion: str | None
    broken: bool

    @classmethod
    def of(cls, error: ErrorDetails, root: Fields) -> _Fault:
        """Follow the error's location into the document."""
        kind, location = error["type"], error["loc"]
        # The name of a missing field ends the location and is not in the document, or stands there with no value.
        lacks = str(location[-1]) if kind == "missing" else None
        node, path = located(root, location[:-1] if lacks else location)
        found = described(node)
        allowed, options = _allowed(error)
        if lacks:
            found = "missing" if entry(node, lacks) is None else "nothing"
            node, path = entry(node, lacks) or node, (*path, lacks)
        elif kind in {"union_tag_not_found", "union_tag_invalid"}:
            path, tag = (*path, "type"), entry(node, "type")
            node, found = tag or node, described(tag) if tag else "missing"
        elif kind == "extra_forbidden":
            found = "an unknown field"
        elif location[-1:] == ("[key]",):
            found = f"the name {location[-2]!r}"
        written = (str(path[-1]) if kind == "extra_forbidden" else getattr(node, "text", None)) or ""
        broken = isinstance(node, Text) and node.broken
        return cls(kind, path, node.file, node.line, found, allowed, nearest(written, options), broken)


def located(root: Fields, location: tuple[str | int, ...]) -> tuple[Node, Path]:
    """The node at a location of pydantic's, which also names branches of unions: those are not in the document."""
    node: Node = root
    path: Path = ()
    tag_at: Path | None = None
    for step in location:
        if isinstance(step, str) and step == text_of(entry(node, "type")) and tag_at != path:
            tag_at = path
            continue
        inner: Node | None = None
        if isinstance(step, int):
            inner = node.items[step] if isinstance(node, Items) and step < len(node.items) else None
        else:
            inner = entry(node, step)
        if inner is not None:
            node, path = inner, (*path, step)
    return node, path


def _allowed(error: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    """What may stand there, for a person, and the options a suggestion is taken from."""
    kind, location = error["type"], error["loc"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        names = fields_at(location[:-1])
        return "one of the fields " + ", ".join(names), names
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        types = types_at(location)
        return ", ".join(types), types
    if kind in {"literal_error", "enum"}:
        options = tuple(_QUOTED.findall(str(context.get("expected", ""))))
        return ", ".join(options), options
    if kind == "value_error":
        return str(context.get("error", "")), ()
    if kind == "missing":
        part = at(location)
        says = part.get("description") if part.get("type") != "object" else None
        return f"it is required: {says}" if says else "it is required", ()
    if kind == "string_pattern_mismatch":
        described_so = None if location[-1] == "[key]" else at(location).get("description")
        return str(described_so or f"a text like the pattern {context.get('pattern', '')}"), ()
    return allowed_by(error, pattern_at(location)), ()


def allowed_by(error: ErrorDetails, pattern: str = "") -> str:
    """What a type or a bound allows, for a person; `pattern` is of the texts that stand there, and tells the unit."""
    kind, context = error["type"], error.get("ctx", {})
    return _KINDS.get(kind) or _bound(kind, context, pattern) or error["msg"].removeprefix("Input should be ")


def _bound(kind: str, context: Mapping[str, Any], pattern: str) -> str | None:
    """A bound of numbers or lengths in words, as a file would write it."""
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    for key, word in words.items():
        if key in context:
            return f"{word} {shown_as(pattern, context[key])}"
    for key, word in {"min_length": "at least", "max_length": "at most"}.items():
        if key in context:
            count, of = context[key], "character" if kind.startswith("string") else "entry"
            many = {"character": "characters", "entry": "entries"}[of]
            return f"{word} {count} {of if count == 1 else many}"
    return None
