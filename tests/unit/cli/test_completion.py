import subprocess
import sys

import pytest

from tests.unit.cli.conftest import Call


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o nosort -F _test_coordinator_completion test-coordinator"),
        ("zsh", "compdef _test_coordinator_completion test-coordinator"),
        ("fish", "complete --no-files --command test-coordinator"),
    ],
)
def test_a_script_registers_the_program(call: Call, shell: str, registers: str) -> None:
    """Each shell's script registers the completion for `test-coordinator`, and asks by the variable click knows."""
    said = call("completion", shell)
    assert (said.code, said.err) == (0, "")
    assert registers in said.out
    assert f"_TEST_COORDINATOR_COMPLETE={shell}_complete" in said.out


def test_another_shell_is_bad_usage(call: Call) -> None:
    """A shell that has no script is bad usage, and those that have one are named."""
    said = call("completion", "tcsh")
    assert (said.code, said.out) == (2, "")
    assert all(shell in said.err for shell in ("bash", "zsh", "fish"))


def test_commands_are_offered_without_importing_them() -> None:
    """A key pressed for a command's name loads no model, no client and no server."""
    program = (
        "import os, sys; os.environ |= {'_TEST_COORDINATOR_COMPLETE': 'bash_complete',"
        "'COMP_WORDS': 'test-coordinator re', 'COMP_CWORD': '1'}; from coordinator.cli import main; main([]);"
        "print([name for name in ('pydantic', 'httpx', 'docker', 'eliot') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout.split() == ["plain,rehearse", "plain,report", "plain,recover"]
