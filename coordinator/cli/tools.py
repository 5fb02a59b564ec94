"""What commands reach the world with, so that the same commands run against a coordinator made for a test; and the
options that say which coordinator is meant.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

if TYPE_CHECKING:
    # Only names here: `--help` must not wait for pydantic-settings or the supervision library.
    from coordinator.faults.abilities import Abilities
    from coordinator.faults.facts import EngineInfo
    from coordinator.library import Library
    from coordinator.ports import Control
    from coordinator.settings import Settings


class Whole(click.IntRange):
    """A whole number; what is none is refused in words of a person."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises BadParameter with what is allowed."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as bad:
            bounds = "" if self.min is None else f", {self.min} or more"
            message = f"{value!r}: allowed: a whole number{bounds}"
            raise click.BadParameter(message, ctx=ctx, param=param) from bad


Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Where:
    """Which coordinator is meant. `wait_s`: how many seconds to wait for one that is starting, stopping or busy."""

    server: str | None = None
    token_file: Path | None = None
    wait_s: float = 0.0


class Connect(Protocol):
    """How a command finds its coordinator."""

    def __call__(self, settings: Settings, where: Where, *, recovery: bool) -> AbstractAsyncContextManager[Control]:
        """A running coordinator, else an embedded one; without `recovery` an embedded one only looks."""
        ...


def connect(settings: Settings, where: Where, *, recovery: bool) -> AbstractAsyncContextManager[Control]:
    """The real way."""
    from coordinator.cli import connection

    return connection.connect(settings, where, recovery=recovery)


def load() -> Settings:
    """The settings of all commands but `serve`: the environment only."""
    from coordinator import settings

    return settings.load(env_file=False)


async def engine_info(settings: Settings) -> EngineInfo:
    """The engine that answers. Raises EngineUnreachable."""
    from coordinator import assembly

    return await assembly.engine_info(settings)


async def docker_cli_version(settings: Settings) -> str:
    """The version of the docker command line. Raises EngineUnreachable."""
    from coordinator import assembly

    return await assembly.docker_cli_version(settings)


async def helper_image_error(settings: Settings) -> tuple[str, str]:
    """Why helpers have no image and none can be built, and what it lacks; empty when all is well."""
    from coordinator import assembly

    return await assembly.helper_image_error(settings)


async def try_abilities(settings: Settings) -> Abilities:
    """What faults need, tried for real. Raises EngineUnreachable."""
    from coordinator import assembly

    return await assembly.try_abilities(settings)


@dataclass(frozen=True, slots=True)
class Tools:
    """The context object of every command."""

    connect: Connect = field(default=connect)
    load: Callable[[], Settings] = field(default=load)
    engine_info: Callable[[Settings], Awaitable[EngineInfo]] = field(default=engine_info)
    docker_cli_version: Callable[[Settings], Awaitable[str]] = field(default=docker_cli_version)
    helper_image_error: Callable[[Settings], Awaitable[tuple[str, str]]] = field(default=helper_image_error)
    try_abilities: Callable[[Settings], Awaitable[Abilities]] = field(default=try_abilities)

    def library(self) -> Library:
        """The scenarios that have a name here. Raises InvalidSettings."""
        from coordinator.library import Library

        return Library(self.load().data_dir)

    def keep_traceback(self, error: BaseException) -> Path:
        """Append the traceback to a file in DATA_DIR/logs; its path. Raises OSError, InvalidSettings."""
        path = self.load().data_dir / "logs" / "command-line.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write("".join(traceback.format_exception(error)))
        return path


def acts_on_coordinator(command: Command) -> Command:
    """Add the options that name a coordinator: `server` and `token_file`."""
    token = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file with the bearer token of --server (or TEST_COORDINATOR_TOKEN).",
    )
    server = click.option("--server", metavar="URL", help="Another coordinator than the one of DATA_DIR.")
    return server(token(command))


def prints_json(command: Command) -> Command:
    """Add `--json` as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
