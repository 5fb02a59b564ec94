"""Has tried what faults need: by helpers that live for a moment, and in a network namespace of this host's own.

Leaves nothing behind and builds nothing; what it means is judged in `coordinator.faults.abilities`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import anyio

from actors.docker.helper_image import PROGRAMS, HelperImage
from actors.docker.host_namespaces import HostNamespaces
from coordinator.faults.abilities import DEADLINE_S, NETWORK, NOT_BUILT, Abilities, Way, attempts, tried
from coordinator.faults.commands import DockerCommand, Outcome
from coordinator.ports import CommandRunner

HELPERS: Final = ("helper", "processes", "cgroups", "mounts")
"""The ways of `Abilities` that are tried by `attempts`, in their order."""


class Runner(CommandRunner, Protocol):
    """Runs commands of docker, and programs of this host."""

    async def run_here(self, argv: Sequence[str], deadline_s: float) -> Outcome:
        """See `DockerCommandRunner.run_here`."""
        ...


async def try_abilities(runner: Runner, image: HelperImage, host: HostNamespaces) -> Abilities:
    """All ways at once. Raises EngineUnreachable."""
    ways: dict[str, Way] = {}

    async def by_helper(name: str, command: DockerCommand) -> None:
        ways[name] = tried(await runner.run(command))

    async def on_host() -> None:
        ways["host"] = await from_host(runner, host)

    async with anyio.create_task_group() as group:
        group.start_soon(on_host)
        without = await no_image(runner, image)
        if without is None:
            for name, command in zip(HELPERS, attempts(), strict=True):
                group.start_soon(by_helper, name, command)
        else:
            ways |= dict.fromkeys(HELPERS, without)
    return Abilities.model_validate(ways)


async def try_network(runner: Runner, image: HelperImage, host: HostNamespaces) -> Abilities:
    """The one way by which network faults go here, and no other. Raises EngineUnreachable."""
    way = await from_host(runner, host)
    if way.state == "tried":
        return Abilities(host=way)
    without = await no_image(runner, image)
    return Abilities(host=way, helper=tried(await runner.run(attempts()[0])) if without is None else without)


async def no_image(runner: CommandRunner, image: HelperImage) -> Way | None:
    """What is said of helpers where there is no image; nothing where it is there. Raises EngineUnreachable."""
    if await image.found(runner):
        return None
    trouble = await image.trouble(runner)
    return Way(state="not here", why=trouble) if trouble else Way(state="untested", why=NOT_BUILT)


async def from_host(runner: Runner, host: HostNamespaces, which: Callable[[str], str | None] = shutil.which) -> Way:
    """From the host, where its namespaces may be entered. Raises EngineUnreachable."""
    why_not = host.why_not()
    if why_not:
        return Way(state="not here", why=why_not)
    if which("unshare") is None:
        return Way(state="untested", why="unshare not installed")
    argv = ("unshare", "--net", "--", sys.executable, "-I", "-S", str(PROGRAMS / "abilities.py"), *NETWORK)
    return tried(await runner.run_here(argv, DEADLINE_S))
