from pathlib import Path

import pytest

from coordinator.errors import Conflict, InvalidScenario, LibraryUnavailable, NotFound
from coordinator.library import MAX_KEPT, Library
from coordinator.scenarios.parse import builtin_names, builtin_text

BUILT_IN = builtin_names()[0]


def named(name: str) -> str:
    """A valid scenario of this name."""
    return builtin_text(BUILT_IN).replace(f"name: {BUILT_IN}", f"name: {name}", 1)


def test_a_kept_scenario_is_found_by_the_next_process(tmp_path: Path) -> None:
    """What one library keeps another on the same folder finds; the file is the owner's alone; no draft stays."""
    assert Library(tmp_path).put("mine", named("mine"))
    assert not Library(tmp_path).put("mine", named("mine") + "\n")
    found = Library(tmp_path).get("mine")
    assert (found.source, found.built_in, found.valid) == (named("mine") + "\n", False, True)
    [file] = (tmp_path / "scenarios").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == ("mine.yaml", 0o600)


def test_built_in_ones_come_first(tmp_path: Path) -> None:
    """A file of a built-in name, put there by hand, changes nothing, and the name can neither be put nor removed."""
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / f"{BUILT_IN}.yaml").write_text("nonsense")
    library = Library(tmp_path)
    assert library.get(BUILT_IN).source == library.text(BUILT_IN) == builtin_text(BUILT_IN)
    assert library.names() == builtin_names()
    with pytest.raises(Conflict, match="cannot be replaced"):
        library.put(BUILT_IN, builtin_text(BUILT_IN))
    with pytest.raises(Conflict, match="cannot be deleted"):
        library.remove(BUILT_IN)


def test_what_was_damaged_by_hand_is_shown_as_such(tmp_path: Path) -> None:
    """It is listed as not valid with its first problem, can be looked at and removed; other files are not looked at."""
    library = Library(tmp_path)
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "broken.yaml").write_bytes(b"kind: \xff\n")
    (folder / "Not-A-Name.yaml").write_text("x")
    (folder / "notes.txt").write_text("x")
    (folder / "huge.yaml").write_bytes(b"#" * 3_000_000)
    [broken, huge] = [one for one in library.all() if not one.built_in]
    assert (broken.name, broken.valid, huge.name, huge.valid) == ("broken", False, "huge", False)
    assert broken.description.startswith("broken.yaml")
    assert "MiB" in huge.description
    library.remove("broken")
    with pytest.raises(NotFound):
        library.get("broken")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "A", ".hidden", "a" * 64, "a\n", "a\0", "\ud800"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """What is no scenario's name is unknown to `get`, `text` and `remove`, and refused by `put`."""
    library = Library(tmp_path)
    for ask in (library.get, library.text, library.remove):
        with pytest.raises(NotFound):
            ask(name)
    with pytest.raises(InvalidScenario):
        library.put(name, named("mine"))
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_run_is_not_kept(tmp_path: Path) -> None:
    """A scenario with problems, one of another name and one that is no text leave the kept one as it was."""
    library = Library(tmp_path)
    library.put("mine", named("mine"))
    for text in ("", named("other"), named("mine") + "# \ud800", "#" * 2**21):
        with pytest.raises(InvalidScenario):
            library.put("mine", text)
    assert library.text("mine") == named("mine")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """The error names the folder; built-in scenarios are there all the same."""
    (tmp_path / "scenarios").write_text("a file")
    library = Library(tmp_path)
    assert library.names() == builtin_names()
    with pytest.raises(LibraryUnavailable, match="scenarios: cannot be changed"):
        library.put("mine", named("mine"))


def test_a_library_has_an_end(tmp_path: Path) -> None:
    """Beyond the limit a new scenario is refused, a known one may still be replaced."""
    library = Library(tmp_path)
    library.put("mine", named("mine"))
    for number in range(MAX_KEPT - 1):
        (tmp_path / "scenarios" / f"n{number}.yaml").touch()
    assert not library.put("mine", named("mine"))
    with pytest.raises(Conflict, match="delete one first"):
        library.put("other", named("other"))
