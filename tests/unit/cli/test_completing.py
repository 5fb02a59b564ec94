from pathlib import Path

import click
import pytest

from coordinator.cli import completing
from coordinator.cli.tools import Tools
from coordinator.library import Library

PARAMETER = click.Argument(["scenario"])


def offered(source: str, incomplete: str) -> list[tuple[str, str]]:
    """What is offered, with its type."""
    context = click.Context(click.Command("run"), obj=Tools())
    return [(item.value, item.type) for item in getattr(completing, source)(context, PARAMETER, incomplete)]


def test_scenarios_are_those_of_the_library_and_of_the_folder(workplace: Path) -> None:
    """Built-in scenarios, kept ones and the folder's files that begin so."""
    kept = (workplace / "kill.yaml").read_text().replace("kill-one-replica", "kill-mine")
    Library(workplace / "data").put("kill-mine", kept)
    (workplace / "killed.txt").write_text("no scenario")
    assert offered("scenarios", "kill") == [
        ("kill-mine", "plain"), ("kill-one-replica", "plain"), ("kill.yaml", "plain"),
    ]  # fmt: skip


def test_any_path_is_left_to_the_shell(workplace: Path) -> None:
    """What begins like no scenario may be a path: the shell completes it."""
    assert offered("scenarios", "../x") == [("../x", "file")]
    assert offered("scenario_names", "../x") == []


def test_wrong_settings_offer_files_alone(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With settings that cannot be read a key still offers files, and says nothing."""
    monkeypatch.setenv("HTTP_PORT", "high")
    assert offered("scenarios", "kill") == [("kill.yaml", "plain")]


def test_types_are_those_of_the_catalogue() -> None:
    """Fault and probe types, aliases included."""
    assert offered("fault_types", "service_") == [("service_kill", "plain"), ("service_restart", "plain")]
    assert offered("probe_types", "ht") == [("http", "plain")]
