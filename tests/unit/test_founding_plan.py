import ast
import re

import pytest

from tests.conftest import ROOT

PLAN = (ROOT / "docs" / "reference" / "founding-plan.md").read_text(encoding="utf-8")
PAPER = "docs/prs/feature-TSE-0001.12.0-named-components-foundation.md"
NAMED = sorted({name for name in re.findall(r"`([\w./-]+(?:::\w+)?)`", PLAN) if "/" in name or name == "Dockerfile"})
OF_THE_PAST = ("src/", "localhost:")


@pytest.mark.parametrize("named", [name for name in NAMED if not name.startswith(OF_THE_PAST)])
def test_what_the_page_names_exists(named: str) -> None:
    """Every file that the page names is there, and every test stands in its file."""
    path, _, test = named.partition("::")
    assert (ROOT / path).exists()
    if test:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert test in {
            node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_the_page_names_every_row() -> None:
    """The seven changes of the plan, its phases and its acceptance each have a row."""
    rows = [line for line in PLAN.splitlines() if line.startswith("| ")][2:]
    assert {row[2] for row in rows if row[2].isdigit()} == set("1234567")
    assert any(row.startswith("| Acceptance") for row in rows)


@pytest.mark.parametrize("paper", [PAPER, "TODO.md", "project-plan/TODO-MASTER.md"])
def test_the_papers_tell_of_the_milestone(paper: str) -> None:
    """The paper of the change, the list and the master list name the milestone TSE-0001.12.0."""
    assert "TSE-0001.12.0" in (ROOT / paper).read_text(encoding="utf-8")
