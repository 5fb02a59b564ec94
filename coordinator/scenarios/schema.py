"""The JSON Schema of scenario files: for editors, and for saying which fields there are. Made from the model alone."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any, Final

from coordinator.quantities import DURATION_PATTERN, show_duration
from coordinator.scenarios.model import Scenario

# A JSON Schema has no narrower type than this.
Schema = dict[str, Any]

TEMPLATE: Final = r"\{\{"
_SCALARS: Final = ["string", "number", "boolean"]
_SPELLED: Final = {"integer": r"^-?\d+$", "number": r"^-?\d+(\.\d+)?$", "boolean": "^([Tt]rue|[Ff]alse)$"}
_REQUIRED: Final = ["apiVersion", "kind"]
_REQUIRED_ALONE: Final = ["metadata", "targets", "phases"]


@cache
def _of_model() -> Schema:
    return Scenario.model_json_schema(by_alias=True)


def schema() -> Schema:
    """JSON Schema (2020-12) of scenario files: every value may also be a `{{ variable }}` or spelled as text.

    A file that `extends` a built-in scenario may leave out or shorten anything the built-in one brings.
    """
    whole = copy.deepcopy(_of_model())
    definitions: Schema = whole.pop("$defs")
    definitions["Scenario"] = whole
    for definition in definitions.values():
        _open(definition)
    whole["required"] = [*_REQUIRED, *_REQUIRED_ALONE]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "test-coordinator scenario",
        "description": "What is broken, how it is watched, and what must hold.",
        "type": "object",
        "required": _REQUIRED,
        "properties": {name: _outline(part) for name, part in whole["properties"].items()},
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "else": {"$ref": "#/$defs/Scenario"},
        "$defs": definitions,
    }


def _outline(part: Schema) -> Schema:
    """What is said of a field whether or not the rest comes from a built-in scenario."""
    return {key: value for key, value in part.items() if key in {"description", "type", "const"}}


def _open(part: Schema) -> None:
    """Admit templates and other spellings, in place; drop the titles and defaults that say nothing."""
    part.pop("title", None)
    default = part.get("default")
    if part.get("pattern") == DURATION_PATTERN and isinstance(default, float):
        part["default"] = show_duration(default)
    elif default in (None, [], {}) or isinstance(default, dict):
        part.pop("default", None)
    for container in ("properties", "patternProperties", "$defs"):
        for name, inner in part.get(container, {}).items():
            if name == "type" and container == "properties":
                # It chooses what the other fields are, so it is neither left out nor a template.
                part["required"] = ["type", *(other for other in part.get("required", ()) if other != "type")]
                inner.pop("title", None)
                inner.pop("default", None)
            else:
                _open(inner)
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            _open(part[key])
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in part.get(key, []):
            _open(inner)
    _loosen(part)


def _loosen(part: Schema) -> None:
    kind = part.get("type")
    if "enum" in part:
        options = {"enum": part.pop("enum")}
        part.pop("type", None)
        part["anyOf"] = [options, {"type": "string", "pattern": TEMPLATE}]
    elif isinstance(kind, str) and kind in _SPELLED and "const" not in part:
        part["type"] = [kind, "string"]
        part["pattern"] = f"{_SPELLED[kind]}|{TEMPLATE}"
    elif kind == "string" and "const" not in part:
        pattern = part.get("pattern")
        if pattern is not None:
            part["pattern"] = f"{pattern}|{TEMPLATE}"
        # YAML editors see `5` as a number: it may stand where its text may.
        if pattern is None or re.search(pattern, "5"):
            part["type"] = list(_SCALARS)


def _resolved(part: Schema) -> Schema:
    while "$ref" in part:
        part = _of_model()["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def _step(part: Schema, step: str | int) -> Schema | None:
    """The schema one step further along a pydantic error's location, or None."""
    part = _resolved(part)
    mapping = part.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return _resolved({"$ref": mapping[step]})
    if step in part.get("properties", {}):
        return _resolved(part["properties"][step])
    for choice in (part.get("items") if isinstance(step, int) else None, part.get("additionalProperties")):
        if isinstance(choice, dict):
            return _resolved(choice)
    for choice in (*part.get("patternProperties", {}).values(), *part.get("anyOf", ())):
        found: Schema | None = _resolved(choice) if "patternProperties" in part else _step(choice, step)
        if found is not None:
            return found
    return None


def at(location: tuple[str | int, ...]) -> Schema:
    """The model's schema at a pydantic error's location; steps that name a branch of a union are passed over."""
    part = _of_model()
    for step in location:
        part = _step(part, step) or part
    return part


def pattern_at(location: tuple[str | int, ...]) -> str:
    """The pattern of the texts that may stand at a pydantic error's location; empty where there is none."""
    part = _resolved(at(location))
    forms: list[Schema] = [part, *(_resolved(choice) for choice in part.get("anyOf", ()))]
    return next((form["pattern"] for form in forms if "pattern" in form), "")


def fields_at(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The names of the fields a map at this location may have; none where it may have any."""
    part = _resolved(at(location))
    choices: list[Schema] = [part, *(_resolved(choice) for choice in part.get("anyOf", ()))]
    return tuple(next((choice["properties"] for choice in choices if "properties" in choice), {}))


def types_at(location: tuple[str | int, ...]) -> tuple[str, ...]:
    """The values `type` may have for a map at this location."""
    return tuple(sorted(_resolved(at(location)).get("discriminator", {}).get("mapping", {})))
