"""The two engines of the contract: each a stage with its ports, and hands that do to containers what no port does."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.engine_facts import DockerFacts
from actors.docker.helper_image import HelperImage
from actors.docker.simulated import ExecResult, SimulatedEngine
from coordinator import __version__
from coordinator.assembly.clock import SystemClock
from coordinator.errors import MissingSecret
from coordinator.faults.commands import DockerCommand, Outcome
from coordinator.faults.facts import ContainerFacts
from coordinator.identity import LABEL_ROLE
from coordinator.ports import Clock, CommandRunner, EngineFacts
from tests.clocks import LoopClock
from tests.integration.sandbox import Sandbox, docker

SECRETS = {"PASSWORD": "correct horse"}


def secret(name: str) -> str:
    """The secrets both runners are given."""
    if name not in SECRETS:
        raise MissingSecret(f"secret {name!r} is not there")
    return SECRETS[name]


def _labels(role: str) -> dict[str, str]:
    return {LABEL_ROLE: role} if role else {}


class Stage(ABC):
    """An engine with its two ports, and what a test does to containers from outside."""

    runner: CommandRunner
    facts: EngineFacts
    clock: Clock

    @abstractmethod
    async def add(
        self, name: str = "target", *, stubborn: bool = False, policy: str = "no", role: str = ""
    ) -> ContainerFacts:
        """A container that runs; a stubborn one ignores TERM."""

    @abstractmethod
    async def crash(self, container: ContainerFacts) -> None:
        """Kill its main process from outside the engine."""

    @abstractmethod
    async def say(self, container: ContainerFacts, text: str, stream: str = "stdout") -> None:
        """Have its main process' output hold one more line."""

    @abstractmethod
    def script(self, argv: list[str], result: ExecResult) -> None:
        """Tell an engine that has no shell what a command in a container does."""

    @abstractmethod
    def now(self) -> datetime:
        """The engine's clock."""

    @abstractmethod
    def gone(self) -> tuple[CommandRunner, EngineFacts]:
        """The ports onto an engine that is not there."""

    async def run(self, *argv: str, deadline_s: float = 30.0) -> Outcome:
        """Run a command."""
        return await self.runner.run(DockerCommand(argv=argv, deadline_s=deadline_s))

    async def look(self, container: ContainerFacts) -> ContainerFacts:
        """Fresh facts of a container that exists."""
        (fresh,) = await self.facts.containers([container.id])
        return fresh

    async def until(self, container: ContainerFacts, holds: Callable[[ContainerFacts], bool]) -> ContainerFacts:
        """Look until it holds; what is waited for is a state, which no event tells completely."""
        with anyio.fail_after(30):
            while not holds(fresh := await self.look(container)):  # noqa: ASYNC110  # the engine has no Event
                await anyio.sleep(0.02)
        return fresh


class RealStage(Stage):
    """The engine of this machine."""

    def __init__(self, endpoint: str, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        image = HelperImage("", __version__)
        self.runner = DockerCommandRunner(endpoint, secret, helper_image=image, instance="contract")
        self.facts = self.real_facts = DockerFacts(endpoint)
        self.clock = SystemClock()

    async def add(
        self, name: str = "target", *, stubborn: bool = False, policy: str = "no", role: str = ""
    ) -> ContainerFacts:
        # A first process without a handler ignores TERM.
        command = ["sleep", "3600"] if stubborn else []
        made = self._sandbox.run(name, command=command, options=["--restart", policy], labels=_labels(role))
        (facts,) = await self.facts.containers([made.id])
        return facts

    async def crash(self, container: ContainerFacts) -> None:
        helper = ["--rm", "--pid", "host", "--cap-drop", "ALL", "--cap-add", "KILL", "--network", "none"]
        docker("run", *helper, "--label", self._sandbox.label, self._sandbox.image, "kill", "-9", str(container.pid))

    async def say(self, container: ContainerFacts, text: str, stream: str = "stdout") -> None:
        where = f"/proc/1/fd/{1 if stream == 'stdout' else 2}"
        docker("exec", container.id, "sh", "-c", f'echo "$1" >{where}', "sh", text)

    def script(self, argv: list[str], result: ExecResult) -> None:
        """A real container needs no script."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def gone(self) -> tuple[CommandRunner, EngineFacts]:
        nowhere = "unix:///nonexistent/docker.sock"
        return DockerCommandRunner(nowhere, secret), DockerFacts(nowhere)


class SimulatedStage(Stage):
    """An engine in memory."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine
        self.runner, self.facts, self.clock = engine.runner, engine.facts, LoopClock()

    async def add(
        self, name: str = "target", *, stubborn: bool = False, policy: str = "no", role: str = ""
    ) -> ContainerFacts:
        ends_on = () if stubborn else ("SIGTERM", "SIGINT")
        return self._engine.add(name, ends_on=ends_on, restart_policy=policy, labels=_labels(role))

    async def crash(self, container: ContainerFacts) -> None:
        self._engine.die(container.id)

    async def say(self, container: ContainerFacts, text: str, stream: str = "stdout") -> None:
        self._engine.say(container.id, text, stream)

    def script(self, argv: list[str], result: ExecResult) -> None:
        self._engine.script(argv, result)

    def now(self) -> datetime:
        return LoopClock().now()

    def gone(self) -> tuple[CommandRunner, EngineFacts]:
        self._engine.down()
        return self.runner, self.facts


@asynccontextmanager
async def simulated() -> AsyncIterator[SimulatedStage]:
    """A simulated engine at work."""
    async with SimulatedEngine(LoopClock(), random.Random(1), secrets=secret) as engine:
        yield SimulatedStage(engine)
