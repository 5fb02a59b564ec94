"""A coordinator inside a command, without ports; and what `doctor` asks without any coordinator."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from coordinator import __version__
from coordinator.faults.abilities import Abilities
from coordinator.faults.facts import ContainerFacts, EngineInfo
from coordinator.ports import Control, EngineFacts
from coordinator.secrets import SecretSource

if TYPE_CHECKING:
    from coordinator.settings import Settings


@asynccontextmanager
async def embedded(
    settings: Settings, *, recovery: bool = True, say: Callable[[str], object] = lambda _: None
) -> AsyncIterator[Control]:
    """A coordinator that lives as long as the block: leaving it stops and undoes what still runs.

    `recovery` False leaves what is outstanding alone, for commands that only look. `say` is told what is waited for,
    and that the ledger was damaged. Raises DataDirInUse.
    """
    from coordinator.assembly.parts import Parts, logs
    from coordinator.assembly.warding import held

    with logs(settings, to_stdout=False):
        parts = Parts(settings, role="run", recovery=recovery)
        parts.ledger.say = say
        async with held(parts.ledger, parts.warden if recovery else None, say, parts.unsure):
            supervisor = parts.plant(*parts.children())
            async with anyio.create_task_group() as group:
                await group.start(supervisor.run)
                try:
                    yield parts.control
                finally:
                    # Leaving is undoing, also when the block is left by cancellation; who only looks has begun nothing.
                    with anyio.CancelScope(shield=True), anyio.move_on_after(settings.undo_deadline_seconds):
                        if recovery:
                            await parts.control.drain("the command has ended")
                    supervisor.request_stop("the command has ended")


def _facts(settings: Settings) -> EngineFacts:
    """Looks at the engine of these settings."""
    from actors.docker.engine_facts import DockerFacts

    return DockerFacts(settings.docker_host, slowness=settings.docker_timeout_factor)


async def engine_info(settings: Settings) -> EngineInfo:
    """Which engine answers. Raises EngineUnreachable."""
    return await _facts(settings).engine()


async def engine_containers(settings: Settings) -> tuple[ContainerFacts, ...]:
    """The containers of the engine, looked at and not touched. Raises EngineUnreachable."""
    return await _facts(settings).containers()


async def docker_cli_version(settings: Settings) -> str:
    """The version of the docker command line on PATH. Raises EngineUnreachable when it is not there."""
    from actors.docker.command_runner import DockerCommandRunner
    from actors.docker.versions import cli_version

    secrets = SecretSource(settings.data_dir, os.environ)
    return await cli_version(DockerCommandRunner(settings.docker_host, secrets.resolve))


async def helper_image_error(settings: Settings) -> tuple[str, str]:
    """Why helpers have no image and none can be built, and what it lacks; empty when all is well. Builds nothing."""
    from actors.docker.command_runner import DockerCommandRunner
    from actors.docker.helper_image import HelperImage

    secrets = SecretSource(settings.data_dir, os.environ)
    runner = DockerCommandRunner(settings.docker_host, secrets.resolve)
    image = HelperImage(settings.helper_image, __version__)
    trouble = await image.trouble(runner)
    return trouble, "" if trouble else await image.lacks(runner)


async def try_abilities(settings: Settings) -> Abilities:
    """What faults need, tried on the engine and on this host. Raises EngineUnreachable. Builds nothing."""
    from actors.docker import abilities
    from actors.docker.command_runner import DockerCommandRunner
    from actors.docker.helper_image import HelperImage
    from actors.docker.host_namespaces import HostNamespaces

    image = HelperImage(settings.helper_image, __version__)
    runner = DockerCommandRunner(
        settings.docker_host,
        SecretSource(settings.data_dir, os.environ).resolve,
        helper_image=image,
        instance=settings.service_instance_name,
        slowness=settings.docker_timeout_factor,
    )
    host = HostNamespaces(settings.docker_host, _facts(settings))
    return await abilities.try_abilities(runner, image, host)
