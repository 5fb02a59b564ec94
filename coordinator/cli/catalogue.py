"""What is built in: scenarios, fault types and probe types, as their models describe themselves."""

from __future__ import annotations

import json
import shlex
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from coordinator.cli.completing import fault_types, probe_types, scenario_names
from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import listing, pairs, result, rows
from coordinator.cli.sources import not_found
from coordinator.cli.tools import Tools, prints_json
from coordinator.faults.facts import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, JsonValue

WIDTH: Final = 78
"""Columns of the variables in the list of scenarios."""
_WRITTEN_BY_TYPE: Final = ("type",)


class Parameter(Value):
    """One field as a scenario file writes it. `allowed`: its unit or form; `default`: None where it is required."""

    name: str
    allowed: str
    default: str | None
    meaning: str = ""


class Kind(Value):
    """A fault or probe type. `alias_of`: the type of which this is another name; `aliases`: its other names."""

    type: str
    summary: str
    parameters: tuple[Parameter, ...]
    alias_of: str = ""
    aliases: tuple[str, ...] = ()
    fault_class: str = ""
    undo: str = ""
    mechanism: str = ""
    needs: str = ""
    capabilities: tuple[str, ...] = ()
    proof: str = ""
    example: str = ""
    elsewhere: str = ""


@click.command()
@click.argument("name", required=False, shell_complete=scenario_names)
@prints_json
@click.pass_obj
def scenarios(tools: Tools, *, name: str | None, as_json: bool) -> None:
    """List the built-in scenarios and those kept in DATA_DIR/scenarios, or print the text of one."""
    library = tools.library()
    known = library.names()
    if name is not None:
        if name not in known:
            raise not_found("scenario", name, known, "is not known")
        text = library.text(name)
        result(json_text({"name": name, "yaml": text}) if as_json else text)
        return
    items: list[dict[str, JsonValue]] = [
        {
            "name": details.name,
            "description": details.description,
            "tags": list(details.tags),
            "variables": dict(details.variables),
            "built_in": details.built_in,
        }
        for details in map(library.get, known)
    ]
    if as_json:
        result(listing(items))
    else:
        lines = [
            (name, text)
            for item in items
            for name, text in zip_longest(
                [str(item["name"])], [str(item["description"]), *_wrapped(item["variables"])], fillvalue=""
            )
        ]
        result(rows(("name", "description, and its variables"), lines))


@click.command()
@click.argument("kind", metavar="[TYPE]", required=False, shell_complete=fault_types)
@prints_json
def faults(*, kind: str | None, as_json: bool) -> None:
    """List the fault types, or describe one: parameters, undo, class, needs."""
    _tell("fault type", fault_kinds(), kind, as_json=as_json)


@click.command()
@click.argument("kind", metavar="[TYPE]", required=False, shell_complete=probe_types)
@prints_json
def probes(*, kind: str | None, as_json: bool) -> None:
    """List the probe types, or describe one."""
    _tell("probe type", probe_kinds(), kind, as_json=as_json)


def fault_kinds() -> tuple[Kind, ...]:
    """Every fault type this version has."""
    from coordinator.faults.catalogue import Fault, describe
    from coordinator.faults.model import FaultSpec

    models = (model for model in get_args(Fault) if isinstance(model, type) and issubclass(model, FaultSpec))
    return tuple(
        Kind(
            type=name,
            summary=model.summary,
            parameters=_parameters(model),
            alias_of="" if name == (doc := describe(name)).name else doc.name,
            aliases=doc.aliases if name == doc.name else (),
            fault_class=model.fault_class.value,
            undo=model.undo_text,
            mechanism=model.mechanism,
            needs=model.needs,
            capabilities=model.capabilities,
            proof=doc.proof,
            example=doc.example,
            elsewhere=doc.elsewhere,
        )
        for model in models
        for name in _type_names(model)
    )


def probe_kinds() -> tuple[Kind, ...]:
    """Every probe type this version has."""
    from coordinator.scenarios.probes import Probe

    return tuple(
        Kind(type=name, summary=" ".join((model.__doc__ or "").split()), parameters=_parameters(model))
        for model in get_args(Probe)
        for name in _type_names(model)
    )


def _type_names(model: type[BaseModel]) -> tuple[str, ...]:
    """The names under `type`: more than one where there is an alias."""
    return tuple(str(name) for name in get_args(model.model_fields["type"].annotation))


def _parameters(model: type[BaseModel]) -> tuple[Parameter, ...]:
    """The fields from the model's own JSON Schema: the same that editors and `validate` go by."""
    schema = model.model_json_schema(by_alias=True)
    return tuple(_fields(schema, schema.get("$defs", {})))


def _fields(schema: dict[str, Any], definitions: dict[str, dict[str, Any]], within: str = "") -> Iterator[Parameter]:
    """The fields of an object, each followed by its own, as `inject.method`."""
    for name, field in schema["properties"].items():
        if not within and name in _WRITTEN_BY_TYPE:
            continue
        allowed, meaning = _allowed(field, definitions), str(field.get("description", ""))
        default = None if name in schema.get("required", ()) else _default(field.get("default"), allowed)
        meaning = "" if meaning == allowed else meaning
        yield Parameter(name=f"{within}{name}", allowed=allowed, default=default, meaning=meaning)
        forms = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
        inner = definitions.get(str(forms[0].get("$ref", "")).rpartition("/")[2], {})
        if len(forms) == 1 and "properties" in inner:
            yield from _fields(inner, definitions, f"{within}{name}.")


def _default(value: JsonValue, allowed: str) -> str:
    """A default as a scenario file would write it."""
    from coordinator.quantities import DURATION_ALLOWED, PERCENT_ALLOWED, show_duration

    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if part is not None}
    if value is None or value in ({}, [], ""):
        return "none"
    if isinstance(value, float) and allowed == DURATION_ALLOWED:
        return show_duration(value)
    if isinstance(value, float) and allowed == PERCENT_ALLOWED:
        return f"{value:g}%"
    return value if isinstance(value, str) else json.dumps(value)


def _allowed(field: dict[str, JsonValue], definitions: dict[str, dict[str, JsonValue]]) -> str:
    """What may stand there, in a few words."""
    from coordinator.quantities import DURATION_ALLOWED, DURATION_PATTERN, PERCENT_ALLOWED, PERCENT_PATTERN

    quantities = {DURATION_PATTERN: DURATION_ALLOWED, PERCENT_PATTERN: PERCENT_ALLOWED}
    match field:
        case {"pattern": str(pattern)} if pattern in quantities:
            return quantities[pattern]
        case {"$ref": str(reference)}:
            return _allowed(definitions[reference.rsplit("/", 1)[-1]], definitions)
        case {"anyOf": list(options)}:
            texts = [_allowed(o, definitions) for o in options if isinstance(o, dict) and o.get("type") != "null"]
            return " or ".join(dict.fromkeys(texts))
        case {"enum": list(values)}:
            return ", ".join(str(value) for value in values)
        case {"const": value}:
            return str(value)
        case {"type": "object", "properties": dict(inner)}:
            return "{" + ", ".join(inner) + "}"
        case {"type": "string", "pattern": _, "description": str(text)} | {"type": list(), "description": str(text)}:
            return text
        case {"type": "array", "items": dict(item)}:
            return f"a list of: {_allowed(item, definitions)}"
        case {"type": str(name)}:
            words = {"string": "text", "integer": "a whole number", "boolean": "true or false", "object": "a mapping"}
            return words.get(name, f"a {name}")
        case _:
            return "any JSON"


def _tell(what: str, kinds: tuple[Kind, ...], name: str | None, *, as_json: bool) -> None:
    if name is not None:
        kind = next((kind for kind in kinds if kind.type == name), None)
        if kind is None:
            raise not_found(what, name, [known.type for known in kinds], "is not known")
        result(json_text(_object(kind)) if as_json else _described(kind))
    elif as_json:
        result(listing([_object(kind) for kind in kinds]))
    elif any(kind.fault_class for kind in kinds):
        lines = [(kind.type, kind.fault_class, _does(kind), kind.undo) for kind in kinds]
        result(rows(("type", "class", "does", "undo"), lines))
    else:
        result(rows(("type", "does"), [(kind.type, kind.summary) for kind in kinds]))


def _does(kind: Kind) -> str:
    return f"the same as {kind.alias_of}" if kind.alias_of else kind.summary


def _described(kind: Kind) -> str:
    head = [("type", kind.type)]
    if kind.alias_of:
        head.append(("alias of", kind.alias_of))
    if kind.aliases:
        head.append(("aliases", ", ".join(kind.aliases)))
    head.append(("does", kind.summary))
    if kind.fault_class:
        head += [("class", kind.fault_class), ("undo", kind.undo), ("by", kind.mechanism), ("needs", kind.needs)]
        head.append(("capabilities", f"of its helper: {', '.join(kind.capabilities)}" if kind.capabilities else "none"))
        head += [("proof", kind.proof), ("example", kind.example), ("elsewhere", kind.elsewhere)]
    lines = [
        (one.name, "required" if one.default is None else one.default, one.allowed, one.meaning)
        for one in kind.parameters
    ]
    return pairs(head) + "\n" + rows(("parameter", "default", "allowed", "meaning"), lines)


def _object(kind: Kind) -> JsonValue:
    """Without the fields that only faults have, where it is no fault; `class` as everywhere else."""
    body = kind.model_dump(mode="json", exclude_defaults=not kind.fault_class)
    if "fault_class" in body:
        body["class"] = body.pop("fault_class")
    return body


def _wrapped(variables: JsonValue) -> list[str]:
    """`name=value` pairs, as many to a line as fit beside the names; a pair is never broken, and quoted for a shell."""
    found = [shlex.quote(f"{name}={value}") for name, value in variables.items()] if isinstance(variables, dict) else []
    lines: list[str] = []
    for pair in found:
        if lines and len(lines[-1]) + 1 + len(pair) <= WIDTH:
            lines[-1] += f" {pair}"
        else:
            lines.append(pair)
    return lines
