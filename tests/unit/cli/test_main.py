import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from coordinator import __version__
from coordinator.cli.main import COMMANDS
from coordinator.cli.tools import Tools
from coordinator.errors import EngineUnreachable
from coordinator.settings import Settings
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_of_the_table_is_there_with_help(call: Call, name: str) -> None:
    """Every command of the table can be imported and tells its usage."""
    said = call(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: test-coordinator {name}")


def test_help_names_every_command(call: Call) -> None:
    """The help of the program lists all commands, in the order of the table."""
    said = call("--help")
    listed = [line.split()[0] for line in said.out.split("Commands:\n")[1].splitlines() if line[2] != " "]
    assert listed == list(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    """`--help` loads no model, no client, no server and no driver."""
    heavy = ["pydantic", "httpx", "quart", "grpc", "docker", "eliot", "rich", "coordinator.assembly"]
    program = (
        "import sys; from coordinator.cli import main; main(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version(call: Call) -> None:
    """`--version` prints the package's version."""
    assert call("--version").out == f"test-coordinator, version {__version__}\n"


def test_python_dash_m_is_the_same_program() -> None:
    """`python -m coordinator` runs the command line and returns its exit code."""
    argv = [sys.executable, "-m", "coordinator", "run"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "argv", [["nonsuch"], ["run"], ["run", "kill.yaml", "--nonsuch"], ["stop"], ["run", "kill.yaml", "--var", "x"]]
)
def test_bad_usage_is_one_line_and_exit_code_2(call: Call, argv: Sequence[str]) -> None:
    """A usage error is one line on standard error, names the help, and ends with 2."""
    said = call(*argv)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert "--help" in said.err


def test_a_mistyped_command_is_guessed(call: Call) -> None:
    """A command that is not known comes with the nearest one; one that resembles none, without."""
    assert "no such command 'exections'; did you mean 'executions'? (see" in call("exections").err
    assert "no such command 'zzz' (see" in call("zzz").err


def test_an_invalid_setting_is_one_line_and_exit_code_2(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is not allowed ends a command with 2 and its variable, value and what is allowed."""
    monkeypatch.setenv("HTTP_PORT", "eighty")
    said = call("executions")
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert "HTTP_PORT" in said.err
    assert "eighty" in said.err


def test_an_unreachable_engine_is_one_line_and_exit_code_4(call: Call) -> None:
    """No engine: what to do in one line, exit code 4, no traceback."""
    said = call("containers", control=ScriptedControl(candidates=None))
    assert (said.code, said.out) == (4, "")
    assert said.err == "test-coordinator: Docker engine at unix:///sock: no such socket: start Docker\n"


def test_an_error_on_the_way_to_the_coordinator_is_told(call: Call) -> None:
    """What keeps a command from its coordinator is told like any other error."""
    connect = ScriptedConnect(ScriptedControl(), EngineUnreachable("nobody home"))
    said = call("status", tools=Tools(connect=connect))
    assert (said.code, said.err) == (4, "test-coordinator: nobody home\n")


def test_an_unexpected_error_is_one_line_and_keeps_its_traceback(call: Call, workplace: Path) -> None:
    """A bug shows no traceback, ends with 70, and says in which file the traceback is."""

    def broken() -> Settings:
        if (workplace / "data").exists():
            return Settings()
        (workplace / "data").mkdir()
        raise ZeroDivisionError("a bug")

    said = call("status", tools=Tools(load=broken))
    log = workplace / "data" / "logs" / "command-line.log"
    assert (said.code, said.out) == (70, "")
    assert said.err.splitlines() == [
        "test-coordinator: unexpected ZeroDivisionError: a bug",
        f"test-coordinator: this is a fault of the program itself; its traceback is in {log}",
    ]
    assert "def broken" not in said.err
    assert "raise ZeroDivisionError" in log.read_text()


def test_ctrl_c_where_nothing_is_to_be_undone(call: Call) -> None:
    """An interrupted look ends with 130 and no traceback."""

    def interrupted() -> Settings:
        raise KeyboardInterrupt

    said = call("status", tools=Tools(load=interrupted))
    assert (said.code, said.out, said.err.strip()) == (130, "", "")


@pytest.mark.parametrize("redirection", ["| true", ">&-", "> /dev/full"])
def test_a_reader_that_has_gone_changes_nothing(redirection: str) -> None:
    """Where standard output takes nothing, there is neither a traceback nor another exit code."""
    script = f"{sys.executable} -m coordinator schema {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
