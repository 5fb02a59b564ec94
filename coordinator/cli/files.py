"""Commands about scenario files: none needs an engine or a coordinator. `init` asks one that is there."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.output import as_json, note, result
from coordinator.cli.sources import read
from coordinator.cli.tools import Tools, Where
from coordinator.errors import CoordinatorError

if TYPE_CHECKING:
    from coordinator.faults.facts import ContainerFacts
    from coordinator.ports import Candidate

_THERE: Final = "{}: is there already, and is left as it is"


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
@click.option("--container", metavar="NAME", help="The container it is about; default: one of this folder's project.")
@click.pass_obj
def init(tools: Tools, name: str, container: str | None) -> int:
    """Write a commented starter scenario to NAME.yaml; never over a file that is there.

    It is about a container of the Compose project of this folder, or of the only project that runs, where an engine
    answers; else about a service `web` whose names are to be set.
    """
    from coordinator.scenarios.model import NAME_PATTERN
    from coordinator.scenarios.parse import starter_text
    from coordinator.scenarios.starter import starter

    name = name.removesuffix(".yaml")
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise click.UsageError(f"{name!r}: a scenario's name is {NAME_PATTERN}")
    path = Path(f"{name}.yaml")
    if path.exists():
        raise click.UsageError(_THERE.format(path))
    about = anyio.run(_about, tools, container)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(starter_text(), name, about))
    except FileExistsError:
        raise click.UsageError(_THERE.format(path)) from None
    except OSError as failed:
        raise click.UsageError(f"{path}: cannot be written: {failed.strerror}") from failed
    result(f"{path}\n")
    if about is None:
        note("next: set `project`, `service` and `url` in it (`test-coordinator containers` lists what there is), then")
    else:
        note(f"about {about.name}, as it runs here; look at `url` in it, then")
    note(f"      test-coordinator plan {path}")
    return exit_codes.OK


async def _about(tools: Tools, name: str | None) -> ContainerFacts | None:
    """The container that is named, else one that suits; None where no engine answers or there is none."""
    from coordinator.scenarios.starter import suited

    found: tuple[Candidate, ...] = ()
    try:
        async with tools.connect(tools.load(), Where(), recovery=False) as control:
            # Caught in here as well: what leaves an embedded coordinator comes as a group.
            try:
                found = await control.candidates()
            except CoordinatorError as failed:
                _not_asked(failed, name)
    except CoordinatorError as failed:
        _not_asked(failed, name)
    if name is None:
        return suited((one.container for one in found if one.why_not is None), str(Path.cwd()))
    for one in found:
        if one.container.name == name:
            return one.container
    near = difflib.get_close_matches(name, [one.container.name for one in found], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise click.UsageError(f"--container {name}: there is none of that name{hint}")


def _not_asked(failed: CoordinatorError, name: str | None) -> None:
    """A starter needs no engine; whoever has one wants to know why it was not asked. Raises where one is needed."""
    if name is not None:
        raise failed
    for line in exit_codes.told(failed).lines:
        note(line)


@click.command()
def schema() -> int:
    """JSON Schema of scenario files, for editors."""
    from coordinator.scenarios.parse import schema as scenario_schema

    result(as_json(scenario_schema()))
    return exit_codes.OK
