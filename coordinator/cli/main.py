"""The table of commands, and the one place where an error becomes a line and an exit code.

A command's module is imported when the command is called: `--help` and `validate` load no server and no driver.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import click

from coordinator import __version__
from coordinator.cli import exit_codes
from coordinator.cli.output import note, result
from coordinator.cli.tools import Tools
from coordinator.errors import CoordinatorError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM: Final = "test-coordinator"

COMMANDS: Final = {
    "serve": ("serve", "The long-running supervised process."),
    "warden": ("warden", "serve, with a parent that puts back what its end by force leaves broken."),
    "run": ("run", "One execution in the foreground; Ctrl-C stops and undoes it."),
    "plan": ("run", "What a run would do, touching nothing (= run --dry-run)."),
    "rehearse": ("rehearse", "Play a scenario in virtual time on a simulated fleet."),
    "validate": ("files", "Every error of scenario files; needs no engine."),
    "init": ("files", "A commented starter scenario."),
    "scenarios": ("catalogue", "Built-in scenarios, or the text of one."),
    "faults": ("catalogue", "Fault types: parameters, undo, class, needs."),
    "probes": ("catalogue", "Probe types and their parameters."),
    "containers": ("status", "What could be a target, and why not where not."),
    "executions": ("status", "Executions, newest first."),
    "status": ("status", "Health, actors, active executions, outstanding faults; or one execution."),
    "stop": ("stop", "Stop an execution, or all, and undo."),
    "report": ("reporting", "The report of an execution."),
    "logs": ("reporting", "What happened in an execution, as a tree."),
    "recover": ("recover", "Undo everything outstanding in the ledger."),
    "schema": ("files", "JSON Schema of scenario files, for editors."),
    "doctor": ("doctor", "What is ready here, what is not, and what to do."),
    "completion": ("completion", "Completion for bash, zsh or fish."),
}
"""Command to the module of this package that holds it, and its line in the help."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called; its help comes from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click names its arguments
        """In the order of the table, which is the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        """The command, imported; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"coordinator.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of a command line. Raises UsageError with the nearest name for one that is not known."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no such command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The table's names and lines, then the options; imports no command."""
        from click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        """Write the table without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, name=PROGRAM, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Break real containers on purpose, watch what happens, heal them, and tell the story."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main(argv: Sequence[str] | None = None, tools: Tools | None = None) -> int:
    """Run a command line; the exit code. `tools` is what commands reach the world with; by default the real one."""
    with Boundary(tools or Tools()) as boundary:
        code = cli.main(args=argv, prog_name=PROGRAM, standalone_mode=False, obj=boundary.tools)
        boundary.code = code if isinstance(code, int) else exit_codes.OK
        result("")
    return boundary.code


class Boundary:
    """Where the program ends: whatever is raised inside becomes a line a piece on standard error and an exit code.

    A context manager and not a handler, since it must also see what no handler may name.
    """

    def __init__(self, tools: Tools) -> None:
        """Begin with success."""
        self.tools = tools
        self.code = exit_codes.OK

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Tell the error; never lets one through but the interpreter's own exit."""
        if error is None:
            return False
        if isinstance(error, SystemExit):
            self.code = error.code if isinstance(error.code, int) else exit_codes.UNEXPECTED
            return True
        told = exit_codes.told(error)
        for line in told.lines:
            note(line)
        if told.code == exit_codes.UNEXPECTED:
            note(f"{PROGRAM}: {self._kept(error)}")
        self.code = told.code
        return True

    def _kept(self, error: BaseException) -> str:
        """Where the traceback of an unexpected error was put."""
        try:
            path = self.tools.keep_traceback(error)
        except (OSError, CoordinatorError) as without:
            return f"its traceback could not be kept: {exit_codes.one_line(without)}"
        return f"this is a fault of the program itself; its traceback is in {path}"
