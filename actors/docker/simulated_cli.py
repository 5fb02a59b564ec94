"""The docker command line of the simulated engine: from argv to requests, from refusals to exit codes and texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from actors.docker.simulated_line import WrongUsage, known_signal, parse
from actors.docker.simulated_state import ConnectionCut, EngineError
from coordinator.faults.commands import HELPER_IMAGE, HELPER_PROGRAMS, MANY, NETNS_PROGRAM, DockerCommand, Outcome
from coordinator.faults.leftovers import SCAN_PROGRAM, Placed, parse_placed
from coordinator.faults.limits import LIMITS_PROGRAM
from coordinator.faults.processes import SIGNALS_PROGRAM
from coordinator.faults.stress import STRESS_PROGRAM
from coordinator.logging import action

if TYPE_CHECKING:
    from actors.docker.simulated import SimulatedEngine

DEFAULT_GRACE_S: Final = 10.0
CRASH_PROGRAM: Final = f"{HELPER_PROGRAMS}/crash.py"
PROCESSES: Final = 4
"""As many as the real runner lets run at once."""

GRACE: Final = frozenset({"-t", "--time", "--timeout"})
SIGNAL: Final = frozenset({"-s", "--signal"})
LABEL: Final = frozenset({"--label"})
CONNECT: Final = frozenset({"--ip", "--ip6", "--alias"})
RUN: Final = frozenset({
    "--cgroupns", "--label", "--log-driver", "--network", "--pid", "--pull", "--userns", "--user", "--cap-drop",
    "--cap-add", "--security-opt", "--entrypoint", "--volume",
})  # fmt: skip
EXEC: Final = frozenset({"-e", "--env", "-u", "--user", "-w", "--workdir"})


@dataclass(slots=True)
class _Console:
    """What the process prints, and how it ends."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    exit_code: int = 0

    def fail(self, text: str, exit_code: int = 1) -> None:
        """One line of standard error."""
        self.stderr.append(text)
        self.exit_code = exit_code


class SimulatedRunner:
    """The CommandRunner of a simulated engine."""

    def __init__(self, engine: SimulatedEngine, secrets: Callable[[str], str]) -> None:
        self._engine = engine
        self._secrets = secrets
        self._limiter = anyio.CapacityLimiter(PROCESSES)
        self._verbs: Mapping[str, Callable[[list[str], _Console], Awaitable[None]]] = {
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

    async def run(self, command: DockerCommand) -> Outcome:
        """As the real runner: to the end or the deadline. Raises MissingSecret."""
        for entry in command.env:
            if entry.secret:
                self._secrets(entry.secret)
        console = _Console()
        async with self._limiter:
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

    async def _interpret(self, argv: tuple[str, ...], console: _Console) -> None:
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

    async def _pause(self, argv: list[str], console: _Console) -> None:
        await self._side_by_side(parse(argv, frozenset()).rest, "pause", self._engine.pause, console)

    async def _unpause(self, argv: list[str], console: _Console) -> None:
        await self._side_by_side(parse(argv, frozenset()).rest, "unpause", self._engine.unpause, console)

    async def _side_by_side(
        self, references: list[str], verb: str, change: Callable[[str], None], console: _Console
    ) -> None:
        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.act(verb, reference, delay_s, lambda: change(reference))

        await self._each(references, self._engine.pace.of(verb), work, console)

    async def _kill(self, argv: list[str], console: _Console) -> None:
        line = parse(argv, SIGNAL)
        signal = known_signal(line.value(SIGNAL, "SIGKILL"))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.kill(reference, signal, delay_s)

        # The engine works kills off nearly one after another.
        await self._each(line.rest, self._engine.pace.kill * 0.8, work, console, prefix="Cannot kill container: {}: ")

    async def _stop(self, argv: list[str], console: _Console) -> None:
        line = parse(argv, GRACE)
        grace = float(line.value(GRACE, str(DEFAULT_GRACE_S)))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.stop(reference, grace, delay_s)

        await self._each(line.rest, self._engine.pace.stop * 0.8, work, console)

    async def _restart(self, argv: list[str], console: _Console) -> None:
        line = parse(argv, GRACE)
        grace = float(line.value(GRACE, str(DEFAULT_GRACE_S)))

        def work(reference: str, delay_s: float) -> Callable[[], Awaitable[None]]:
            return lambda: self._engine.restart(reference, grace, delay_s)

        await self._each(line.rest, self._engine.pace.stop * 0.8, work, console)

    async def _start(self, argv: list[str], console: _Console) -> None:
        """One after another: a command that is killed has not asked for the rest."""
        failed = []
        for reference in parse(argv, frozenset()).rest:

            async def work(reference: str = reference) -> None:
                await self._engine.start(reference)

            if not await self._ask(reference, work, console):
                failed.append(reference)
        if failed:
            console.fail(f"Error: failed to start containers: {', '.join(failed)}")

    async def _exec(self, argv: list[str], console: _Console) -> None:
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

    async def _helper(self, argv: list[str], console: _Console) -> None:
        """`docker run` of a helper's program; the engine has no other image."""
        line = parse(argv, RUN)
        image, *inner = line.rest
        if image == HELPER_IMAGE and NETNS_PROGRAM in inner:
            container_id = line.value(frozenset({"--network"}), "").removeprefix("container:")
            await self._in_namespace(container_id, inner[inner.index(NETNS_PROGRAM) + 1 :], console)
            return
        if image == HELPER_IMAGE and SCAN_PROGRAM in inner:
            await self._scan(inner[inner.index(SCAN_PROGRAM) + 1 :], console)
            return
        if image == HELPER_IMAGE and not {LIMITS_PROGRAM, STRESS_PROGRAM, SIGNALS_PROGRAM}.isdisjoint(inner):
            await self._limits(inner[inner.index("-S") + 2 :], console)
            return
        if image != HELPER_IMAGE or CRASH_PROGRAM not in inner:
            console.fail(f"Unable to find image '{image}' locally", 125)
            return
        ids = inner[inner.index(CRASH_PROGRAM) + 1 :]

        async def work() -> None:
            await anyio.sleep(self._engine.duration("helper", " ".join(ids)))
            await self._engine.answering.wait()
            for reference in (each for each in ids if each != MANY):
                container = self._engine.state.containers.get(reference)
                if container is None or not container.up:
                    console.fail(f"{reference[:12]}: no process of this container is seen from here")
                else:
                    self._engine.die(reference)

        await self._ask("helper", work, console, echo=False)

    async def _limits(self, asked: list[str], console: _Console) -> None:
        """What limits.py, stress.py and signals.py do to a container, whose run holds it; loads add up."""
        what, fault, *limit, reference = asked
        kind = limit[0] if len(limit) == len(("kind", "value")) else fault

        async def work() -> None:
            await anyio.sleep(self._engine.duration("helper", reference))
            await self._engine.answering.wait()
            container = self._engine.state.containers.get(reference)
            if what == "remove":
                if container is not None:
                    container.limits = {name: each for name, each in container.limits.items() if each[0] != fault}
            elif container is None or not container.up:
                console.fail(f"{reference[:12]}: no process of this container is seen from here")
            elif what == "kill":
                return
            elif kind in container.limits:
                console.fail(f"{reference[:12]}: another fault limits its {kind} already")
            else:
                container.limits[kind] = (fault, limit[1])

        await self._ask("helper", work, console, echo=False)

    async def _scan(self, inner: list[str], console: _Console) -> None:
        """The program that looks into network namespaces: it tells, and takes out, what the state holds."""
        state = self._engine.state

        async def work() -> None:
            await anyio.sleep(self._engine.duration("helper", inner[0]))
            await self._engine.answering.wait()
            if inner[0] == "look":
                console.stdout.append(state.sight.model_dump_json())
                return
            asked = parse_placed(inner[1])
            kept = [
                each.model_copy(update={"traces": tuple(
                    trace for trace in each.traces if Placed(inode=each.inode, trace=trace) not in asked
                )})
                for each in state.sight.namespaces
            ]  # fmt: skip
            state.sight = state.sight.model_copy(update={"namespaces": tuple(each for each in kept if each.traces)})
            console.stdout.append(f"[{','.join(each.model_dump_json() for each in asked)}]")

        await self._ask("helper", work, console, echo=False)

    async def _remove(self, argv: list[str], console: _Console) -> None:
        """`docker rm --force`: with what runs in it."""
        for reference in parse(argv, frozenset()).rest:
            # Looked for only when it is its turn, as the engine does.
            change = partial(self._engine.state.remove, reference)
            await self._ask(reference, partial(self._engine.act, "kill", reference, 0.0, change), console)

    async def _in_namespace(self, container_id: str, asked: list[str], console: _Console) -> None:
        """What netns.py does in a container's network namespace: the container's run holds it."""

        async def work() -> None:
            await anyio.sleep(self._engine.duration("helper", container_id))
            await self._engine.answering.wait()
            container = self._engine.state.containers.get(container_id)
            if container is None or not container.up:
                raise EngineError("cannot join network of a non running container")
            match asked:
                case ["put", mark, rules]:
                    self._engine.state.put(container, mark, rules)
                case ["remove", fault]:
                    container.rules.pop(fault, None)
                case _:
                    raise EngineError(f"netns.py: {asked}")

        await self._ask(container_id, work, console, echo=False)

    async def _network(self, argv: list[str], console: _Console) -> None:
        """`docker network disconnect` and `connect`."""
        line = parse(argv[1:], CONNECT)
        verbs = {"disconnect": self._engine.state.disconnect, "connect": self._engine.state.connect}
        if argv[0] not in verbs:
            raise WrongUsage(f"docker: unknown command: docker network {argv[0]}")
        network, reference = line.rest
        change = partial(verbs[argv[0]], network, reference)
        await self._ask(reference, lambda: self._engine.act("network", reference, 0.0, change), console, echo=False)

    async def _volume(self, argv: list[str], console: _Console) -> None:
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
        console: _Console,
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
        console: _Console,
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
