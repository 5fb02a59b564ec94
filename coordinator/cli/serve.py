"""`serve`: the long-running process. Reads its settings and hands over."""

from __future__ import annotations

import click


@click.command()
def serve() -> int:
    """The long-running supervised process; SIGTERM, SIGINT and SIGHUP undo every fault and end it.

    Settings come from environment variables, then `.env` of the working folder.
    """
    from coordinator.settings import get_settings

    settings = get_settings()
    from coordinator.assembly import run_serve

    return run_serve(settings)
