"""The docker command line of the simulated engine: from argv to requests, from refusals to exit codes and texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from actors.docker.simulated_helpers import Console, helper_program
from actors.docker.simulated_line import WrongUsage, known_signal, parse
from actors.docker.simulated_state import ConnectionCut, EngineError
from coordinator.faults.commands import HELPER_IMAGE, Command, HttpCommand, Outcome
from coordinator.logging import action

if TYPE_CHECKING:
    from actors.docker.simulated import SimulatedEngine

DEFAULT_GRACE_S: Final = 10.0
PROCESSES: Final = 4
WAITING: Final = 32
"""As many as the real runner lets run at once, of those that do not wait for a container and of those that do."""

GRACE: Final = frozenset({"-t", "--time", "--timeout"})
SIGNAL: Final = frozenset({"-s", "--signal"})
LABEL: Final = frozenset({"--label"})
CONNECT: Final = frozenset({"--ip", "--ip6", "--alias"})
RUN: Final = frozenset({
    "--cgroupns", "--label", "--log-driver", "--network", "--pid", "--pull", "--userns", "--user", "--cap-drop",
    "--cap-add", "--security-opt", "--entrypoint", "--volume",
})  # fmt: skip
EXEC: Final = frozenset({"-e", "--env", "-u", "--user", "-w", "--workdir"})


class SimulatedRunner:
    """The CommandRunner of a simulated engine."""

    def __init__(self, engine: SimulatedEngine, secrets: Callable[[str], str]) -> None:
        self._engine = engine
        self._secrets = secrets
        self._limiter = anyio.CapacityLimiter(PROCESSES)
        self._waiting = anyio.CapacityLimiter(WAITING)
        self._verbs: Mapping[str, Callable[[list[str], Console], Awaitable[None]]] = {
            "pause": self._pause,
            "unpause": self._unpause,
            "kill": self._kill,
            "stop": self._stop,
            "start": self._start,
            "restart": self._restart,
            "exec": self._exec,
            "network": self._network,
            "volume": self._volume,
            "run": self._helper,
            "rm": self._remove,
        }

    async def run(self, command: Command) -> Outcome:
        """As the real runner: to the end or the deadline. Raises MissingSecret."""
        for name in command.secrets:
            self._secrets(name)
        if isinstance(command, HttpCommand):
            return await self._call(command)
        console = Console()
        async with self._waiting if command.waits else self._limiter:
            with action("docker:command", argv=command.shown()) as log:
                started = anyio.current_time()
                with anyio.move_on_after(command.deadline_s) as deadline:
                    await self._interpret(command.argv, console)
                duration = anyio.current_time() - started
                timed_out = deadline.cancelled_caught
                exit_code = None if timed_out else console.exit_code
                log.add_success_fields(exit_code=exit_code, duration=round(duration, 4), timed_out=timed_out)
        return Outcome(
            exit_code=exit_code,
            stdout="".join(f"{line}\n" for line in console.stdout),
            stderr="".join(f"{line}\n" for line in console.stderr),
            duration_s=duration,
            timed_out=timed_out,
        )

    async def _call(self, command: HttpCommand) -> Outcome:
        """Every request is answered with 200 but one to the address of a container that is down."""
        await anyio.sleep(self._engine.duration("cli", command.url))
        container = self._engine.state.containers.get(command.container_id)
        if command.container_id and (container is None or not container.up):
            why = "the container has no address: it is not running, or on no network"
            return Outcome(exit_code=1, stderr=f"{command.method} {command.url}: {why}", nothing_done=True)
        return Outcome(exit_code=0, stdout="200")

    async def _interpret(self, argv: tuple[str, ...], console: Console) -> None:
        await anyio.sleep(self._engine.duration("cli", " ".join(argv)))
        if argv == ("--version",):
            console.stdout.append("Docker version 28.2.2, build simulated")
            return
        verb = self._verbs.get(argv[0])
        if verb is None:
            console.fail(f"docker: unknown command: docker {argv[0]}\n\nRun 'docker --help' for more information")
            return
        try:
            await verb(list(argv[1:]), console)
        except WrongUsage as error:
            console.fail(str(error))

    # -- verbs -----------------------------------------------------------------------------------------------------

    async def _pause(self, argv: list[str], console: Console) -> None:
        await self._side_by_side(parse(argv, frozenset()).rest, "pause", self._engine.pause, console)

    async def _unpause(self, argv: list[str], console: Console) -> None:
        await self._side_by_side(parse(argv, frozenset()).rest, "unpause", self._engine.unpause, console)

    async def _side_by_side(
        self, references: list[str], verb: str, change: Callable[[str], None], console: Console
    ) -> None:
        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.act(verb, reference, delay_s, lambda: change(reference))

        await self._each(references, self._engine.pace.of(verb), work, console)

    async def _kill(self, argv: list[str], console: Console) -> None:
        line = parse(argv, SIGNAL)
        signal = known_signal(line.value(SIGNAL, "SIGKILL"))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.kill(reference, signal, delay_s)

        # The engine works kills off nearly one after another.
        await self._each(line.rest, self._engine.pace.kill * 0.8, work, console, prefix="Cannot kill container: {}: ")

    async def _stop(self, argv: list[str], console: Console) -> None:
        line = parse(argv, GRACE)
        grace = float(line.value(GRACE, str(DEFAULT_GRACE_S)))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.stop(reference, grace, delay_s)

        await self._each(line.rest, self._engine.pace.stop * 0.8, work, console)

    async def _restart(self, argv: list[str], console: Console) -> None:
        line = parse(argv, GRACE)
        grace = float(line.value(GRACE, str(DEFAULT_GRACE_S)))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.restart(reference, grace, delay_s)

        await self._each(line.rest, self._engine.pace.stop * 0.8, work, console)

    async def _start(self, argv: list[str], console: Console) -> None:
        """One after another: a command that is killed has not asked for the rest."""
        failed = []
        for reference in parse(argv, frozenset()).rest:

            async def work(reference: str = reference) -> None:
                await self._engine.start(reference)

            if not await self._ask(reference, work, console):
                failed.append(reference)
        if failed:
            console.fail(f"Error: failed to start containers: {', '.join(failed)}")

    async def _exec(self, argv: list[str], console: Console) -> None:
        reference, *inner = parse(argv, EXEC).rest
        ended: list[tuple[int, str, str]] = []

        async def work() -> None:
            await anyio.sleep(self._engine.duration("exec", reference))
            container = self._engine.state.runnable(reference)
            result = self._engine.result_of(container, tuple(inner))
            with anyio.move_on_after(result.takes_s):
                await container.ended.wait()
                ended.append((137, "", ""))
                return
            if result.then is not None:
                result.then()
            ended.append((result.exit_code, result.stdout, result.stderr))

        if not await self._ask(reference, work, console, echo=False):
            return
        console.exit_code, stdout, stderr = ended[0]
        console.stdout += stdout.splitlines()
        console.stderr += stderr.splitlines()

    async def _helper(self, argv: list[str], console: Console) -> None:
        """`docker run` of a helper's program; the engine has no other image."""
        line = parse(argv, RUN)
        image, *inner = line.rest
        namespace = line.value(frozenset({"--network"}), "").removeprefix("container:")
        asked = helper_program(self._engine, namespace, inner, console) if image == HELPER_IMAGE else None
        if asked is None:
            console.fail(f"Unable to find image '{image}' locally", 125)
        else:
            await self._ask(*asked, console, echo=False)

    async def _remove(self, argv: list[str], console: Console) -> None:
        """`docker rm --force`: with what runs in it."""
        for reference in parse(argv, frozenset()).rest:
            # Looked for only when it is its turn, as the engine does.
            change = partial(self._engine.state.remove, reference)
            await self._ask(reference, partial(self._engine.act, "kill", reference, 0.0, change), console)

    async def _network(self, argv: list[str], console: Console) -> None:
        """`docker network disconnect` and `connect`."""
        line = parse(argv[1:], CONNECT)
        verbs = {"disconnect": self._engine.state.disconnect, "connect": self._engine.state.connect}
        if argv[0] not in verbs:
            raise WrongUsage(f"docker: unknown command: docker network {argv[0]}")
        network, reference = line.rest
        change = partial(verbs[argv[0]], network, reference)
        await self._ask(reference, lambda: self._engine.act("network", reference, 0.0, change), console, echo=False)

    async def _volume(self, argv: list[str], console: Console) -> None:
        line = parse(argv[1:], LABEL)
        volumes = self._engine.state.volumes
        name = line.rest[0]

        def change() -> None:
            if argv[0] == "create":
                # A second creation answers as the first did and changes nothing: this is what makes it a lock.
                volumes.setdefault(
                    name, {key: value for _, label in line.values for key, _, value in [label.partition("=")]}
                )
            elif volumes.pop(name, None) is None:
                raise EngineError(f"get {name}: no such volume")

        if argv[0] not in {"create", "rm"}:
            raise WrongUsage(f"docker: unknown command: docker volume {argv[0]}")
        await self._ask(name, lambda: self._engine.act("volume", name, 0.0, change), console)

    # -- requests --------------------------------------------------------------------------------------------------

    async def _each(
        self,
        references: list[str],
        step_s: float,
        work: Callable[[str, float], Callable[[], Awaitable[None]]],
        console: Console,
        prefix: str = "",
    ) -> None:
        """Ask for all at once; each takes `step_s` longer than the one before."""
        async with anyio.create_task_group() as requests:
            for index, reference in enumerate(references):
                before = prefix.format(reference)
                requests.start_soon(self._ask, reference, work(reference, index * step_s), console, before)

    async def _ask(
        self,
        reference: str,
        work: Callable[[], Awaitable[None]],
        console: Console,
        before: str = "",
        echo: bool = True,  # noqa: FBT001, FBT002  # start_soon takes no keyword arguments
    ) -> bool:
        """One request, and what the command line prints of it."""
        try:
            await self._engine.ask(work)
        except EngineError as error:
            console.fail(f"Error response from daemon: {before}{error}")
            return False
        except ConnectionCut:
            endpoint = self._engine.info.endpoint
            console.fail(f"Cannot connect to the Docker daemon at {endpoint}. Is the docker daemon running?")
            return False
        if echo:
            console.stdout.append(reference)
        return True
