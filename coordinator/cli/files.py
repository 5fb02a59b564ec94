"""Commands about scenario files alone: they need no engine and no coordinator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from coordinator.cli import exit_codes
from coordinator.cli.output import as_json, note, result
from coordinator.cli.sources import read

_NAME_LINE: Final = re.compile(r"^(\s*(?:metadata:\s*\{)?\s*name:\s*)([^\s,}]+)", re.MULTILINE)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate(files: tuple[Path, ...]) -> int:
    """Every error of scenario files, with file, line and field; exit code 2 when there is one."""
    from coordinator.errors import InvalidScenario
    from coordinator.scenarios.parse import parse

    code = exit_codes.OK
    for file in files:
        try:
            warnings = parse(read(file), file=str(file)).warnings
        except (InvalidScenario, click.UsageError) as wrong:
            code = exit_codes.USAGE
            for line in exit_codes.told(wrong).lines:
                note(line)
        else:
            for warning in warnings:
                note(f"{file}: warning: {warning}")
            result(f"{file}: ok\n")
    return code


@click.command()
@click.argument("name", default="my-scenario")
def init(name: str) -> int:
    """Write a commented starter scenario to NAME.yaml; never over a file that is there."""
    from coordinator.scenarios.model import NAME_PATTERN
    from coordinator.scenarios.parse import starter_text

    name = name.removesuffix(".yaml")
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise click.UsageError(f"{name!r}: a scenario's name is {NAME_PATTERN}")
    path = Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_NAME_LINE.sub(lambda found: found[1] + name, starter_text(), count=1))
    except FileExistsError:
        raise click.UsageError(f"{path}: is there already, and is left as it is") from None
    except OSError as failed:
        raise click.UsageError(f"{path}: cannot be written: {failed.strerror}") from failed
    result(f"{path}\n")
    note("next: set `container` and `url` in it (`test-coordinator containers` lists what there is), then")
    note(f"      test-coordinator plan {path}")
    return exit_codes.OK


@click.command()
def schema() -> int:
    """JSON Schema of scenario files, for editors."""
    from coordinator.scenarios.parse import schema as scenario_schema

    result(as_json(scenario_schema()))
    return exit_codes.OK
