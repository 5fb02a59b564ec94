"""`completion`: the script that teaches a shell the commands, options and names. The shell then asks the program
itself, so the script needs no update with it.
"""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from coordinator.cli.output import result


class _Bash(BashComplete):
    """Bash's, written without asking which bash is here: the script may be meant for another machine."""

    @staticmethod
    def _check_version() -> None:
        """Any: the reference says which versions do."""


SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: bash (4.4 or newer), zsh or fish."""
    program = ctx.find_root()
    name = program.info_name or ""
    # The variable that click itself looks for when the program starts.
    variable = f"_{name}_COMPLETE".replace("-", "_").upper()
    result(SHELLS[shell](program.command, {}, name, variable).source().strip() + "\n")
