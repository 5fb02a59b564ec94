"""The program that tries, on a bare interpreter. What works on a real kernel is in the integration tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.docker.helper_image import PROGRAMS
from actors.docker.programs import abilities
from coordinator.faults.catalogue import KINDS

HEADER = "Iface\tDestination\tGateway\n"


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a helper runs it."""
    argv = [sys.executable, "-I", "-S", str(PROGRAMS / "abilities.py"), *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [(), ("all",), ("network", "processes")])
def test_it_is_told_what_to_try(arguments: tuple[str, ...]) -> None:
    """Anything else is refused before anything is tried."""
    done = program(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


def test_it_answers_in_one_line() -> None:
    """Each ability with why it is not here: here the parent of this very process is seen."""
    done = program("processes")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found.keys() == {"processes", "kill", "clock"}
    assert found["processes"] == ""


@pytest.mark.parametrize(
    ("routes", "used"),
    [
        (HEADER, False),
        (HEADER + "eth0\t00000000\t010011AC\n", True),
        ("0" * 32 + " 00 ffffffff 00000001 00000000 00200200       lo\n", False),
        ("fe80" + "0" * 28 + " 40 00000001 00000000 00000001     eth0\n", True),
    ],
)
def test_a_namespace_that_leads_somewhere_is_left_alone(
    routes: str, used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is tried where a route leads out, as on a host."""
    (tmp_path / "routes").write_text(routes)
    monkeypatch.setattr(abilities, "ROUTES", (str(tmp_path / "routes"), str(tmp_path / "missing")))
    monkeypatch.setattr(sys, "argv", ["abilities.py", "network"])
    monkeypatch.setitem(abilities.KINDS, "network", {"tried": lambda: None})
    assert abilities.used() is used
    assert abilities.main() == (1 if used else 0)
    said = capsys.readouterr()
    assert said.out == ("" if used else '{"tried": ""}\n')
    assert ("in use: nothing was tried" in said.err) is used


def test_what_is_missing_is_named() -> None:
    """A tool that is not installed, one that fails, and one that says nothing."""
    with pytest.raises(abilities.Missing, match="tc-no-such-tool is not installed"):
        abilities.run(["tc-no-such-tool"])
    with pytest.raises(abilities.Missing, match=r"^sh: no such hook$"):
        abilities.run(["sh", "-c", "echo '/dev/stdin:1:2-3: Error: no such hook' >&2; exit 1"])
    with pytest.raises(abilities.Missing, match="sh: status 3"):
        abilities.run(["sh", "-c", "exit 3"])


def test_every_ability_a_fault_needs_is_tried() -> None:
    """By its name, so that none is called missing because of a slip."""
    tried = set().union(*abilities.KINDS.values())
    needed = {name for kind in KINDS.values() for group in kind.abilities for name in group}
    assert needed <= tried
