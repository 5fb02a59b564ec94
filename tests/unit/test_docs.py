"""The pages of docs/: their examples are valid, their command lines exist, and the site builds without a warning."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from pydantic import TypeAdapter

from coordinator.cli.main import cli
from coordinator.faults.catalogue import AnyFault
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.parse import parse
from tests.conftest import ROOT

PARTS: dict[str, TypeAdapter[Any]] = {
    key: TypeAdapter(field.rebuild_annotation())
    for key, field in Scenario.model_fields.items()
    if key in {"probes", "targets", "phases", "steady_state"}
} | {"faults": TypeAdapter(list[AnyFault])}
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# At the start of a command, behind variables or `docker exec … test-coordinator`; up to a comment, a pipe or its end.
PROGRAM = re.compile(
    r"^ *(?:- |\$ )?(?:\w+=\S* )*(?:docker .*\btest-coordinator\s+(?:\\\n\s*)?)?(?:\S*/)?test-coordinator "
    r"((?:[^\n\\#|&;)<>]|\\\n)*)",
    re.MULTILINE,
)


def blocks(page: Path, *languages: str) -> list[str]:
    """The blocks of a page in these languages, without the indent of the list that they stand in."""
    text = page.read_text(encoding="utf-8")
    return [
        re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        for indent, language, block in FENCE.findall(text)
        if language in languages
    ]


SCENARIOS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
    if "kind: Scenario" in block
]
COMMANDS = sorted({
    (str(page.relative_to(ROOT)), found.replace("\\\n", " ").strip())
    for page in PAGES
    for block in blocks(page, "sh", "text", "console")
    for found in PROGRAM.findall(block)
    if found.strip() and "…" not in found
})  # fmt: skip


@pytest.mark.parametrize("block", SCENARIOS)
def test_a_scenario_on_a_page_is_valid(block: str) -> None:
    """Whoever copies it gets no error."""
    parse(block, file="page")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_on_a_page_is_yaml(page: Path) -> None:
    """Every block that says it is YAML can be read as such."""
    for block in blocks(page, "yaml"):
        yaml.safe_load(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_part_of_a_scenario_on_a_page_is_valid(page: Path) -> None:
    """Blocks of probes, targets, phases or faults alone take the form that they have in a scenario."""
    for block in blocks(page, "yaml"):
        document = yaml.load(block, Loader=yaml.BaseLoader)  # noqa: S506  # builds only text, lists and mappings
        for key, form in PARTS.items():
            if isinstance(document, dict) and "kind" not in document and key in document:
                form.validate_python(document[key])


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_on_a_page_is_one(page: str, line: str) -> None:
    """The command exists and takes these options and arguments."""
    words = shlex.split(line, comments=True)
    name, command, rest = cli.resolve_command(click.Context(cli), words)
    assert command is not None, page
    # Not its values, which name files of the reader's.
    command.make_parser(click.Context(command, info_name=name)).parse_args(list(rest))


@pytest.mark.timeout(180)  # on a machine that may be busy
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every page is in the table of contents, and every link between pages, headings and files leads somewhere."""
    build = [
        sys.executable,
        "-m",
        "sphinx",
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "docs",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(
        [*build, "--doctree-dir", str(tmp_path / "trees")], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "tutorial" / "first-scenario.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|<link[^>]* href)="https?:[^"]*"', page) == []  # it is read where there is no network
