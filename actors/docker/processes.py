"""Processes that are never left behind: started whole or not at all, ended with all their children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

import anyio
from anyio.abc import Process

from coordinator.errors import EngineUnreachable

REAP_S: Final = 5.0
"""How long a killed process may take to be gone before it is left to the operating system."""

CLI_MISSING: Final = (
    "docker CLI not found on PATH: install it (`apt-get install docker-cli`, or docker.io on Debian 12 and Ubuntu)"
)


async def start(argv: Sequence[str], environ: Mapping[str, str], *, fed: bool = False) -> Process:
    """Start a program in a session of its own; `fed`: with a pipe to its input. Raises EngineUnreachable."""
    try:
        # Shielded: cancelled half-way it would leave a process that nobody knows.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                argv,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
    except (FileNotFoundError, PermissionError) as error:
        raise EngineUnreachable(CLI_MISSING) from error
    except (OSError, ValueError) as error:
        # Too many open files, or an argument that no process can be given: too long, or with a NUL in it.
        why = error.strerror if isinstance(error, OSError) else error
        raise EngineUnreachable(f"{argv[0]} could not be started: {why}") from error
    return process


async def dispose(process: Process, *, kill: bool) -> None:
    """Leave neither process nor pipe behind."""
    if kill and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(REAP_S, shield=True):
        await process.aclose()
