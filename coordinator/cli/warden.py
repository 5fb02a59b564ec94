"""`warden`: another command with a watcher as its parent. Usually reached without this module, which loads more."""

from __future__ import annotations

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def warden(command: tuple[str, ...]) -> int:
    """Run COMMAND (`serve`, or `run` with its arguments) as a child, forward signals to it, exit with its status.

    Should it be killed, what it left broken is put back first. For containers, where the end of the first process ends
    all others; elsewhere `serve` and `run` start a watcher of their own.
    """
    from coordinator.warden.parent import main

    return main(command)
