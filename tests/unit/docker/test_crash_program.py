"""The program in the helper image, run as the helper runs it. What it does to containers is in the contract tests."""

import subprocess
import sys

import pytest

from actors.docker.helper_image import PROGRAMS

NOBODY = "0123456789abcdef" * 4


def crash(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program on a bare interpreter."""
    argv = [sys.executable, "-I", "-S", str(PROGRAMS / "crash.py"), *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [(), ("--",), ("--", "1"), ("--", NOBODY, "docker"), ("--", "0123456789a/")])
def test_it_takes_ids_alone(arguments: tuple[str, ...]) -> None:
    """Anything that could match more than one container's cgroup is refused before anything is looked at."""
    done = crash(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


def test_a_container_that_is_not_here_is_named() -> None:
    """No process is touched, and the exit code and one line say so."""
    done = crash("--", NOBODY)
    assert done.returncode == 1
    assert done.stderr == (
        f"{NOBODY[:12]}: no process of this container is seen from here: it is down, or runs on another machine\n"
    )
