"""Which docker CLI is installed, and whether it can speak to a current engine. Needs no engine."""

from __future__ import annotations

import re
from typing import Final

from coordinator.errors import EngineUnreachable
from coordinator.faults.commands import DockerCommand
from coordinator.ports import CommandRunner

OLDEST_CLI: Final = 25
"""The first major version that speaks an API which current engines still take."""


async def cli_version(runner: CommandRunner) -> str:
    """The version of the docker CLI, as `28.2.2`. Raises EngineUnreachable when there is none."""
    outcome = await runner.run(DockerCommand(argv=("--version",), deadline_s=10.0))
    version = parse_cli_version(outcome.stdout)
    if version is None:
        raise EngineUnreachable(f"`docker --version` printed no version: {(outcome.stdout + outcome.stderr).strip()!r}")
    return version


def parse_cli_version(text: str) -> str | None:
    """The version in `Docker version 28.2.2, build e6534b4`."""
    match = re.search(r"version v?(\d+(?:\.\d+)*)", text)
    return match[1] if match else None


def is_current(version: str) -> bool:
    """Whether a CLI of this version speaks to a current engine."""
    return int(version.split(".", maxsplit=1)[0]) >= OLDEST_CLI
