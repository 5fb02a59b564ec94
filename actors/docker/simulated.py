"""A Docker engine in memory: the same commands, facts, events and failures as a real one, on the caller's own clock.

What a command began goes on in the engine after the command was killed, as in a real engine. Durations follow from the
given source of randomness and the container alone, so that a seed gives the same run on a virtual clock.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from actors.docker.simulated_cli import SimulatedRunner
from actors.docker.simulated_facts import SimulatedFacts
from actors.docker.simulated_state import KILLED, ConnectionCut, EngineError, EngineState, SimulatedContainer
from coordinator.errors import MissingSecret
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent, EngineInfo, PublishedPort
from coordinator.ports import Clock, CommandRunner, EngineFacts, Random

POLICY_DELAY_S: Final = 0.1
"""What a restart policy waits before the first restart; doubled after each run shorter than POLICY_FORGIVES_S."""
POLICY_FORGIVES_S: Final = 10.0
POLICY_LONGEST_S: Final = 60.0
FIRST_CHECK_S: Final = 1.0
"""A health check's first verdict after a start or an unpause."""
PAUSED_CHECK_S: Final = 3.0
"""When a health check gives a paused container up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that things take at least, as measured on a small machine; `spread` is the share that chance may add."""

    cli: float = 0.015
    look: float = 0.001
    pause: float = 0.006
    unpause: float = 0.006
    kill: float = 0.075
    stop: float = 0.065
    start: float = 0.180
    exec: float = 0.045
    volume: float = 0.003
    network: float = 0.045
    helper: float = 0.170
    spread: float = 0.5

    def of(self, verb: str) -> float:
        """The least time of a verb."""
        return float(getattr(self, verb))


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a scripted command in a container ends, after `takes_s`; `then` is what it does there."""

    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""
    takes_s: float = 0.0
    then: Callable[[], None] | None = None


@dataclass(slots=True)
class _Request:
    """Something asked of the engine; it goes on when nobody waits any more."""

    done: anyio.Event = field(default_factory=anyio.Event)
    error: EngineError | None = None
    cut: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


def _no_secret(name: str) -> str:
    raise MissingSecret(f"secret {name!r}: the simulated engine was given none")


class SimulatedEngine:
    """An engine that lives while its context is entered. `runner` and `facts` are the two ports onto its one state."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        *,
        pace: Pace = Pace(),  # frozen
        secrets: Callable[[str], str] = _no_secret,
        engine_id: str = "SIMULATED",
        endpoint: str = "unix:///simulated.sock",
    ) -> None:
        self.clock = clock
        self.pace = pace
        self.info = EngineInfo(
            id=engine_id, endpoint=endpoint, version="simulated", api_version="1.41", operating_system="simulated"
        )
        self.state = EngineState(clock, self._stream)
        self.runner: CommandRunner = SimulatedRunner(self, secrets)
        self.facts: EngineFacts = SimulatedFacts(self)
        self.reachable = True
        self.answering = anyio.Event()
        self.answering.set()
        self.streams: list[MemoryObjectSendStream[EngineEvent]] = []
        """The event streams that are open; they end when the engine goes down."""
        self._salt = random.random()
        self._drawn: Counter[tuple[str, str]] = Counter()
        self._scripts: list[tuple[str | None, tuple[str, ...], ExecResult]] = []
        self._requests: list[_Request] = []
        self._owed: list[SimulatedContainer] = []
        self._tasks: TaskGroup | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Begin to work."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all work. The body's own error is not handed to the group, which would wrap it."""
        tasks, self._tasks = self._working, None
        tasks.cancel_scope.cancel()
        await tasks.__aexit__(None, None, None)

    # -- what a test sets up ---------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        *,
        image: str = "simulated:latest",
        labels: Mapping[str, str] | None = None,
        restart_policy: str = "no",
        networks: Mapping[str, str] | None = None,
        ends_on: Collection[str] = ("SIGTERM", "SIGINT"),
        ports: tuple[PublishedPort, ...] = (),
        health_check: bool = False,
        started: bool = True,
        identity: str = "",
    ) -> ContainerFacts:
        """A container, up at once unless `started` is false. `ends_on` empty: it ignores TERM and waits for KILL.
        `identity` is its id; without one it follows from the name.
        """
        container = self.state.create(
            name,
            image=image,
            labels=labels or {},
            restart_policy=restart_policy,
            networks=networks,
            ends_on=frozenset(ends_on),
            ports=ports,
            checked=health_check,
            identity=identity,
        )
        if started:
            self.state.start(container)
            container.health = "healthy" if health_check else ""
        return container.facts()

    def remove(self, reference: str) -> None:
        """Somebody removes a container by force."""
        self.state.remove(reference)

    def die(self, reference: str, exit_code: int = KILLED) -> None:
        """The main process ends by itself, or is killed from outside the engine: the restart policy applies.

        A frozen one ends when it goes on.
        """
        container = self.state.find(reference)
        if container.state is ContainerState.PAUSED:
            container.doomed = True
            return
        self.state.end(container, exit_code)
        if container.wants_restart(exit_code):
            container.state = ContainerState.RESTARTING
            self._working.start_soon(self._restart_by_policy, container, container.ended)

    def say(self, reference: str, text: str, stream: str = "stdout") -> None:
        """The container logs a line."""
        self.state.say(self.state.find(reference), text, stream)

    def script(self, argv: Sequence[str], result: ExecResult, container: str | None = None) -> None:
        """How a command that begins with `argv` ends in this container, or in any. Unscripted ones succeed silently."""
        self._scripts.insert(0, (container, tuple(argv), result))

    def set_health(self, reference: str, status: str) -> None:
        """The container's health check says so from now on, until it is started or paused."""
        self.state.judge_health(self.state.find(reference), status)

    def down(self) -> None:
        """The engine dies: requests are cut and lost, streams end; containers live on (live-restore)."""
        self.reachable = False
        for request in self._requests:
            request.cut = True
            request.scope.cancel()
        for stream in self.streams:
            stream.close()
        self.streams.clear()
        self.answering.set()

    def hang(self) -> None:
        """The engine accepts requests and answers none; it works them off when it is `up` again."""
        self.answering = anyio.Event()

    def up(self) -> None:
        """The engine answers again."""
        self.reachable = True
        self.answering.set()
        owed, self._owed = self._owed, []
        for container in owed:
            self._working.start_soon(self._restart_by_policy, container, container.ended)

    # -- what the ports ask ----------------------------------------------------------------------------------------

    def duration(self, verb: str, reference: str) -> float:
        """Seconds for the next time this is done to this container: chance that no order of tasks can change."""
        self._drawn[verb, reference] += 1
        text = f"{self._salt}|{verb}|{reference}|{self._drawn[verb, reference]}"
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
        return self.pace.of(verb) * (1 + self.pace.spread * draw)

    async def ask(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have the engine do something, and wait for it. Raises EngineError, and ConnectionCut when it goes down."""
        if not self.reachable:
            raise ConnectionCut
        request = _Request()
        self._requests.append(request)
        self._working.start_soon(self._serve, request, work)
        await request.done.wait()
        if request.cut:
            raise ConnectionCut
        if request.error is not None:
            raise request.error

    async def act(self, verb: str, reference: str, delay_s: float, change: Callable[[], None]) -> None:
        """Take the verb's time, then change the state."""
        await anyio.sleep(delay_s + self.duration(verb, reference))
        await self.answering.wait()
        change()

    async def kill(self, reference: str, signal: str, delay_s: float) -> None:
        """`docker kill`: returns at once, but for SIGKILL when the run has ended."""
        await anyio.sleep(delay_s)
        await self.answering.wait()
        ends = self.state.signal(reference, signal)
        container = self.state.find(reference)
        self._go_on(container)
        if signal == "SIGKILL":
            await self._end_run(container, container.ended, KILLED)
        elif ends:
            self._working.start_soon(self._end_run, container, container.ended, 0)

    async def stop(self, reference: str, grace_s: float, delay_s: float) -> None:
        """`docker stop`: TERM, the grace, KILL. One that is down is left as it is."""
        await anyio.sleep(delay_s)
        await self.answering.wait()
        container = self.state.find(reference)
        if not container.up:
            return
        ended = container.ended
        if self.state.signal(container.id, "SIGTERM"):
            await self._end_run(container, ended, 0)
        else:
            with anyio.move_on_after(grace_s):
                await ended.wait()
            await self.answering.wait()
            if not ended.is_set():
                self.state.signal(container.id, "SIGKILL")
                await self._end_run(container, ended, KILLED)
        self.state.tell(container, "stop")

    async def start(self, reference: str) -> None:
        """`docker start`; one that the restart policy is about to start is left to it."""
        container = self.state.find(reference)
        if container.state is ContainerState.RESTARTING:
            return
        if not container.up:
            await anyio.sleep(self.duration("start", container.id))
        await self.answering.wait()
        self._begin_run(container)

    async def restart(self, reference: str, grace_s: float, delay_s: float) -> None:
        """`docker restart`."""
        await self.stop(reference, grace_s, delay_s)
        await self.start(reference)
        self.state.tell(self.state.find(reference), "restart")

    def pause(self, reference: str) -> None:
        """`docker pause`, at its instant."""
        self.state.pause(reference)
        self._check_later(self.state.find(reference), PAUSED_CHECK_S, ContainerState.PAUSED, "unhealthy")

    def unpause(self, reference: str) -> None:
        """`docker unpause`, at its instant."""
        self.state.unpause(reference)
        container = self.state.find(reference)
        self._check_later(container, FIRST_CHECK_S, ContainerState.RUNNING, "healthy")
        self._go_on(container)

    def result_of(self, container: SimulatedContainer, argv: tuple[str, ...]) -> ExecResult:
        """What the last fitting script says."""
        for owner, beginning, result in self._scripts:
            if owner in {None, container.id, container.name} and argv[: len(beginning)] == beginning:
                return result
        return ExecResult()

    # -- work ------------------------------------------------------------------------------------------------------

    @property
    def _working(self) -> TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the simulated engine works only inside `async with`")
        return self._tasks

    def _stream(self, event: EngineEvent) -> None:
        for stream in self.streams:
            stream.send_nowait(event)

    async def _serve(self, request: _Request, work: Callable[[], Awaitable[None]]) -> None:
        try:
            with request.scope:
                await self.answering.wait()
                await work()
        except EngineError as error:
            request.error = error
        finally:
            self._requests.remove(request)
            request.done.set()

    async def _end_run(self, container: SimulatedContainer, run: anyio.Event, exit_code: int) -> None:
        await anyio.sleep(self.duration("kill", container.id))
        if not run.is_set():
            self.state.end(container, exit_code)

    def _go_on(self, container: SimulatedContainer) -> None:
        """What was killed while it was frozen dies a moment after it is not any more."""

        async def later(run: anyio.Event) -> None:
            await anyio.sleep(self.duration("kill", container.id))
            if not run.is_set():
                self.die(container.id)

        if container.doomed and container.state is ContainerState.RUNNING:
            self._working.start_soon(later, container.ended)

    def _begin_run(self, container: SimulatedContainer) -> None:
        self.state.start(container)
        self._check_later(container, FIRST_CHECK_S, ContainerState.RUNNING, "healthy")

    async def _restart_by_policy(self, container: SimulatedContainer, run: anyio.Event) -> None:
        """Start it after the policy's delay, unless somebody else did or removed it meanwhile."""
        short = self.clock.monotonic() - container.up_since < POLICY_FORGIVES_S
        delay = min(POLICY_DELAY_S * 2**container.restart_count, POLICY_LONGEST_S) if short else POLICY_DELAY_S
        await anyio.sleep(delay + self.duration("start", container.id))
        if not self.reachable:
            self._owed.append(container)
            return
        known = container.id in self.state.containers
        if known and container.ended is run and container.state is ContainerState.RESTARTING:
            container.restart_count += 1
            self._begin_run(container)

    def _check_later(self, container: SimulatedContainer, delay_s: float, state: ContainerState, verdict: str) -> None:
        if container.checked:
            self._working.start_soon(self._check, container, container.ended, delay_s, state, verdict)

    async def _check(
        self, container: SimulatedContainer, run: anyio.Event, delay_s: float, state: ContainerState, verdict: str
    ) -> None:
        await anyio.sleep(delay_s)
        if container.ended is run and container.state is state:
            self.state.judge_health(container, verdict)
