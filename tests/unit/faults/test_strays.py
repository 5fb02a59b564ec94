"""What may be left in containers: read, told and asked for exactly as it was seen."""

from __future__ import annotations

import json

import pytest

from coordinator.faults.disk import FILL_PROGRAM, filled_folder, filled_way
from coordinator.faults.leftovers import Mark
from coordinator.faults.strays import Stray, look_for_strays, mark_of, parse_removed, parse_strays, remove_strays

FILE = Stray(
    kind="file", container="c", mark="fault=f execution=e instance=i expires=7", folder="/", name="x", number=1
)
STRESSOR = Stray(kind="stressor", container="c", mark="?", name="12", number=5)


def test_it_says_whose_it_is() -> None:
    """Or nothing, where that does not read."""
    assert mark_of(FILE) == Mark(fault="f", execution="e", instance="i", expires=7)
    assert mark_of(STRESSOR) == Mark()


def test_a_person_can_remove_it() -> None:
    """A file from inside its container."""
    assert FILE.by_hand(9) == "nsenter -t 9 -m rm /x"
    assert Stray(**{**FILE.model_dump(), "folder": "/my data"}).by_hand(9) == "nsenter -t 9 -m rm '/my data/x'"
    assert STRESSOR.by_hand(9) == "kill -KILL 12"


def test_what_is_asked_reads_back() -> None:
    """Folders and strays go to the helper as JSON, and come back as they were."""
    assert json.loads(look_for_strays({"b": {"/y", "/x"}}).argv[-1]) == {"b": ["/x", "/y"]}
    asked = json.loads(remove_strays([FILE, STRESSOR]).argv[-1])
    assert parse_removed(json.dumps(asked)) == (FILE, STRESSOR)
    assert parse_strays(json.dumps({"strays": asked})).strays == (FILE, STRESSOR)
    with pytest.raises(ValueError, match="validation error"):
        parse_strays("{")


def test_the_helper_that_looks_is_not_privileged_and_is_no_helper_to_be_found() -> None:
    """It may enter mount namespaces, and has no network."""
    argv = look_for_strays({}).argv
    assert "--privileged" not in argv
    assert argv[argv.index("--network") + 1] == "none"
    assert "test-coordinator.role=scan" in argv


@pytest.mark.parametrize(
    ("argv", "folder"),
    [
        (("run", FILL_PROGRAM, "remove", "f", "/x/./data", "/data/./y", "c"), "/data/y"),
        (("run", FILL_PROGRAM, "put", "f", "/data", "c"), ""),
        (("start", "c"), ""),
        ((), ""),
    ],
)
def test_the_folder_that_was_filled_is_in_the_undo(argv: tuple[str, ...], folder: str) -> None:
    """And the way there from outside; in no other command."""
    assert filled_folder(argv) == folder
    assert filled_way(argv) == ("/x/./data" if folder else "")
