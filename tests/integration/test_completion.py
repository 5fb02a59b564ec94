"""Completion as a person at a keyboard has it: in real shells, a key pressed, and what the completed line then does."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PATIENCE_S = 45.0
TAB = "\t"
INTERACTIVE = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
# What a person has in the start-up file: bash loads it as it is, zsh needs its completion system first.
SETUP = {
    "bash": "source <(test-coordinator completion bash)",
    "zsh": "autoload -Uz compinit; compinit -u -D; source <(test-coordinator completion zsh)",
}


class Terminal:
    """An interactive shell behind a terminal."""

    def __init__(self, argv: tuple[str, ...], environment: Mapping[str, str], folder: Path) -> None:
        """Start it."""
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder, start_new_session=True
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def until(self, text: str) -> str:
        """What was shown until this text came."""
        shown, deadline = "", time.monotonic() + PATIENCE_S
        while text not in shown:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._ours], [], [], left)[0]:
                raise AssertionError(f"{text!r} was not shown within {PATIENCE_S:g} s:\n{shown}")
            shown += os.read(self._ours, 65536).decode(errors="replace")
        return shown

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A plain terminal whose PATH begins with the installed program."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "DATA_DIR": str(tmp_path / "data"),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
    }


@pytest.fixture(params=list(INTERACTIVE))
def terminal(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    """An interactive shell that has loaded the completion."""
    present(request.param)
    (tmp_path / "outage.yaml").write_text("no scenario\n")
    shell = Terminal(INTERACTIVE[request.param], environment, tmp_path)
    try:
        # Written apart, so that the echo of the line is not taken for its output.
        shell.type(f'{SETUP[request.param]}; echo load""ed\n')
        shell.until("loaded")
        yield shell
    finally:
        shell.close()


def present(shell: str) -> None:
    """Fail with the command that brings a shell that is not there."""
    if shutil.which(shell) is None:
        pytest.fail(f"{shell} is missing: tools/provision.sh shells")


def test_a_command_is_completed(terminal: Terminal) -> None:
    """`rehe` and the key make `rehearse`, which then runs."""
    terminal.type(f"test-coordinator rehe{TAB} --help\n")
    terminal.until("Usage: test-coordinator rehearse")


def test_a_fault_type_is_completed(terminal: Terminal) -> None:
    """`container_pau` and the key make `container_pause`, which is then described."""
    terminal.type(f"test-coordinator faults container_pau{TAB}\n")
    terminal.until("docker pause")


def test_a_file_of_the_folder_is_completed(terminal: Terminal) -> None:
    """`out` and the key make the scenario file of this folder, which is then read."""
    terminal.type(f"test-coordinator plan out{TAB}\n")
    terminal.until("outage.yaml:1")


def fish(environment: dict[str, str], folder: Path, line: str) -> list[str]:
    """What fish offers for a line, without the descriptions."""
    present("fish")
    script = f"test-coordinator completion fish | source; complete --do-complete '{line}'"
    done = subprocess.run(
        ["fish", "--no-config", "--command", script],
        check=True, capture_output=True, text=True, env=environment, cwd=folder, timeout=PATIENCE_S,
    )  # fmt: skip
    return [offer.split("\t")[0] for offer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("test-coordinator rehe", ["rehearse"]),
        ("test-coordinator run kill-one", ["kill-one-replica"]),
        ("test-coordinator plan out", ["outage.yaml"]),
        ("test-coordinator report x --format j", ["json", "junit"]),
        ("test-coordinator run x --dry", ["--dry-run"]),
    ],
)
def test_fish_offers(environment: dict[str, str], tmp_path: Path, line: str, offered: list[str]) -> None:
    """Fish offers commands, scenarios, files, choices and options, and nothing else."""
    (tmp_path / "outage.yaml").write_text("no scenario\n")
    assert fish(environment, tmp_path, line) == offered
