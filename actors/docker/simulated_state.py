"""What a simulated engine knows and how its containers change: states, runs, networks, volumes and the event log.

Each method is one instant, with the rules and the error texts of a real engine. Knows no waiting and no command line.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio

from actors.docker.programs.hosts import Seen, missing
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent, NetworkAttachment, PublishedPort
from coordinator.faults.leftovers import Sight
from coordinator.faults.lifecycle import SIGNALS
from coordinator.faults.strays import StraySight
from coordinator.ports import Clock

UP: Final = (ContainerState.RUNNING, ContainerState.PAUSED)
KILLED: Final = 137
RULE_LEASE_S: Final = 10.0
"""How long rules in a network namespace live after their last renewal, as netns.py puts them."""

LOG_LENGTH: Final = 256
"""How many events an engine remembers."""


class EngineError(Exception):
    """The engine's refusal, as it stands in the answer's message."""


class ConnectionCut(Exception):
    """The engine went down before it answered."""


@dataclass(slots=True)
class Rules:
    """A fault in a network namespace, or stressors, as put. It lasts until its lease ends, on the monotonic clock."""

    mark: str
    text: str
    until: float


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """What a container said, on `stdout` or `stderr`, in nanoseconds since the epoch."""

    at_ns: int
    stream: str
    text: str


@dataclass(slots=True)
class SimulatedContainer:
    """A container. `ends_on` are the signals its main process ends on, with status 0; it ignores the others."""

    id: str
    name: str
    image: str
    labels: Mapping[str, str]
    restart_policy: str
    networks: dict[str, str]
    """Network name to address."""
    ends_on: frozenset[str]
    ports: tuple[PublishedPort, ...] = ()
    checked: bool = False
    """Whether it has a health check."""
    state: ContainerState = ContainerState.CREATED
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    health: str = ""
    restart_count: int = 0
    runs: int = 0
    up_since: float = 0.0
    stopped_by_hand: bool = False
    """The restart policy is off until the next start: somebody stopped or signalled it through the engine."""
    limits: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By kind, the fault that set a limit in its cgroup, and what to; they end with the run."""
    left: dict[str, str] = field(default_factory=dict)
    """The networks it was taken out of, with the address it had there."""
    network_mode: str = ""
    ended: anyio.Event = field(default_factory=anyio.Event)
    """Set when the present run ends."""
    files: dict[str, str] = field(default_factory=dict)
    """Those that take room, by the fault's id, with how much."""
    rules: dict[str, Rules] = field(default_factory=dict)
    """What was put into its network namespace or cgroup, by the fault's id; it ends with the run."""
    packets: int | None = None
    """How many a fault of its network meets; None where nobody is asked for that."""
    logged: list[LoggedLine] = field(default_factory=list)
    """Its log."""

    doomed: bool = False
    """Killed behind the engine's back while it was frozen: that comes about when it goes on."""
    lines: list[bytes] = field(default_factory=list)
    """Of its /etc/hosts, which the engine makes anew for each run: those with its own name."""

    def hosts(self) -> Seen:
        """Its /etc/hosts, and the addresses it has."""
        own = frozenset(address.encode() for address in self.networks.values())
        return Seen(b"".join(line + b"\n" for line in self.lines), own)

    def line(self, network: str) -> bytes:
        """What the engine writes there for its place in a network."""
        return f"{self.networks[network]}\t{self.id[:12]}".encode()

    def mend(self, then: Seen) -> None:
        """As hosts.py does."""
        self.lines += missing(then, self.hosts(), self.id[:12].encode())
        if sorted(self.lines) == sorted(then.text.splitlines()):
            self.lines = then.text.splitlines()

    @property
    def up(self) -> bool:
        """Whether its main process lives."""
        return self.state in UP

    def facts(self) -> ContainerFacts:
        """As inspect shows it: addresses only while it is up."""
        return ContainerFacts(
            id=self.id,
            name=self.name,
            image=self.image,
            labels=dict(self.labels),
            state=self.state,
            started_at=self.started_at,
            finished_at=self.finished_at,
            exit_code=self.exit_code,
            health=self.health,
            restart_count=self.restart_count,
            restart_policy=self.restart_policy,
            pid=1000 + self.runs if self.up else 0,
            hostname=self.id[:12],
            network_mode=self.network_mode,
            networks=tuple(
                NetworkAttachment(name=name, ip=address if self.up else "", aliases=(self.name,))
                for name, address in sorted(self.networks.items())
            ),
            ports=self.ports if self.up else (),
        )

    def wants_restart(self, exit_code: int) -> bool:
        """Whether the restart policy starts it again after this end."""
        policy, _, most = self.restart_policy.partition(":")
        if self.stopped_by_hand:
            return False
        if policy == "on-failure":
            return exit_code != 0 and (not most or self.restart_count < int(most))
        return policy in {"always", "unless-stopped"}


class EngineState:
    """The containers and volumes of one engine, and its log."""

    def __init__(self, clock: Clock, listener: Callable[[EngineEvent], None]) -> None:
        self._clock = clock
        self._listener = listener
        self.containers: dict[str, SimulatedContainer] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.sight = Sight()
        self.strays = StraySight()
        """What lies in the network namespaces of its machine."""
        self.log: deque[EngineEvent] = deque(maxlen=LOG_LENGTH)

    def create(
        self,
        name: str,
        *,
        image: str,
        labels: Mapping[str, str],
        restart_policy: str,
        networks: Mapping[str, str] | None,
        ends_on: frozenset[str],
        ports: tuple[PublishedPort, ...],
        checked: bool,
        identity: str = "",
    ) -> SimulatedContainer:
        """A new container; its id follows from its name unless given, its address from its place."""
        if any(container.name == name for container in self.containers.values()):
            raise EngineError(f'Conflict. The container name "/{name}" is already in use')
        address = f"172.17.{(len(self.containers) + 2) // 250}.{(len(self.containers) + 2) % 250}"
        container = SimulatedContainer(
            id=identity or hashlib.sha256(name.encode()).hexdigest(),
            name=name,
            image=image,
            labels=labels,
            restart_policy=restart_policy,
            networks={"bridge": address} if networks is None else dict(networks),
            ends_on=ends_on,
            ports=ports,
            checked=checked,
            network_mode="bridge" if networks is None else next(iter(networks), "none"),
        )
        self.containers[container.id] = container
        return container

    def say(self, container: SimulatedContainer, text: str, stream: str) -> None:
        """A line for its log."""
        at_ns = round(self._clock.now().timestamp() * 1e6) * 1000
        container.logged.append(LoggedLine(at_ns, stream, text))

    def find(self, reference: str) -> SimulatedContainer:
        """The container with this id or name."""
        for container in self.containers.values():
            if reference in {container.id, container.name}:
                return container
        raise EngineError(f"No such container: {reference}")

    def disconnect(self, network: str, reference: str) -> None:
        """Take a container out of a network."""
        container = self.find(reference)
        if network not in container.networks:
            raise EngineError(f"container {container.id} is not connected to network {network}")
        container.left[network] = container.networks.pop(network)
        # As engine 20.10 does: those of its other networks go with them.
        container.lines.clear()
        self._emit_network(container, network, "disconnect")

    def connect(self, network: str, reference: str) -> None:
        """Back into a network it was in, with the address it had."""
        container = self.find(reference)
        if network in container.networks:
            raise EngineError(f"endpoint with name {container.name} already exists in network {network}")
        if network not in container.left:
            raise EngineError(f"network {network} not found")
        container.networks[network] = container.left.pop(network)
        if container.up:
            container.lines.append(container.line(network))
        self._emit_network(container, network, "connect")

    def remove_network(self, network: str) -> None:
        """Somebody removes a network that nothing is in any more."""
        for container in self.containers.values():
            container.left.pop(network, None)

    def put(self, container: SimulatedContainer, mark: str, text: str) -> None:
        """Rules in its network namespace, or stressors, in place of those of the same fault."""
        fault = mark.split(maxsplit=1)[0].removeprefix("fault=")
        container.rules[fault] = Rules(mark, text, self._clock.monotonic() + RULE_LEASE_S)

    def rules(self, reference: str) -> dict[str, str]:
        """The rules in force in its network namespace, and stressors, by the fault's id."""
        now = self._clock.monotonic()
        return {fault: each.text for fault, each in self.find(reference).rules.items() if each.until > now}

    def renew(self, execution_id: str) -> None:
        """Let the leases of an execution's rules run anew, but for those that have ended."""
        now = self._clock.monotonic()
        for container in self.containers.values():
            for each in container.rules.values():
                if f"execution={execution_id} " in each.mark and each.until > now:
                    each.until = now + RULE_LEASE_S

    def pause(self, reference: str) -> None:
        """Freeze a running container."""
        container = self.find(reference)
        if container.state is ContainerState.PAUSED:
            raise EngineError(f"Container {container.id} is already paused")
        self._require_up(container)
        container.state = ContainerState.PAUSED
        self._emit(container, "pause")

    def unpause(self, reference: str) -> None:
        """Thaw a paused container."""
        container = self.find(reference)
        if container.state is not ContainerState.PAUSED:
            raise EngineError(f"Container {container.id} is not paused")
        self._thaw(container)

    def signal(self, reference: str, name: str) -> bool:
        """Deliver a signal by hand and say whether the run ends of it. A paused container thaws."""
        container = self.find(reference)
        self._require_up(container)
        container.stopped_by_hand = True
        self._emit(container, "kill", signal=str(SIGNALS[name]))
        if name != "SIGKILL":
            self._thaw(container)
        return name == "SIGKILL" or name in container.ends_on

    def end(self, container: SimulatedContainer, exit_code: int) -> None:
        """The main process is gone."""
        container.state = ContainerState.EXITED
        container.exit_code = exit_code
        container.finished_at = self._timestamp(container)
        container.health = "unhealthy" if container.checked else ""
        container.ended.set()
        container.rules.clear()
        container.limits.clear()
        container.doomed = False
        self._emit(container, "die", exit_code=exit_code)
        self._emit_networks(container, "disconnect")

    def start(self, container: SimulatedContainer) -> None:
        """A new run of a container that is down; nothing happens to one that is up."""
        if container.state is ContainerState.PAUSED:
            raise EngineError("cannot start a paused container, try unpause instead")
        if container.up:
            return
        container.state = ContainerState.RUNNING
        container.runs += 1
        container.started_at = self._timestamp(container)
        container.up_since = self._clock.monotonic()
        container.exit_code = None
        container.health = "starting" if container.checked else ""
        container.stopped_by_hand = False
        container.ended = anyio.Event()
        container.lines = [container.line(network) for network in sorted(container.networks)]
        self._emit_networks(container, "connect")
        self._emit(container, "start")

    def runnable(self, reference: str) -> SimulatedContainer:
        """The container, when a command can be run in it."""
        container = self.find(reference)
        if container.state is ContainerState.PAUSED:
            raise EngineError(f"Container {reference} is paused, unpause the container before exec")
        self._require_up(container)
        return container

    def tell(self, container: SimulatedContainer, action: str) -> None:
        """Log what happened to the container as a whole (stop, restart)."""
        self._emit(container, action)

    def judge_health(self, container: SimulatedContainer, status: str) -> None:
        """The outcome of a health check; a paused container's shows without an event."""
        if container.health == status:
            return
        container.health = status
        if container.state is ContainerState.RUNNING:
            self._emit(container, f"health_status: {status}")

    def remove(self, reference: str) -> None:
        """`rm -f`."""
        container = self.find(reference)
        if container.up:
            container.stopped_by_hand = True
            self._emit(container, "kill", signal="9")
            self.end(container, KILLED)
        del self.containers[container.id]
        self._emit(container, "destroy")

    def _require_up(self, container: SimulatedContainer) -> None:
        if not container.up:
            raise EngineError(f"Container {container.id} is not running")

    def _thaw(self, container: SimulatedContainer) -> None:
        if container.state is ContainerState.PAUSED:
            container.state = ContainerState.RUNNING
            self._emit(container, "unpause")

    def _timestamp(self, container: SimulatedContainer) -> str:
        """RFC 3339 with nanoseconds; the last three digits count runs, so that no two runs begin at the same time."""
        return f"{self._clock.now().strftime('%Y-%m-%dT%H:%M:%S.%f')}{container.runs % 1000:03d}Z"

    def _emit(
        self, container: SimulatedContainer, action: str, *, signal: str = "", exit_code: int | None = None
    ) -> None:
        self._publish(
            EngineEvent(
                at=self._clock.now().timestamp(),
                type="container",
                action=action,
                container_id=container.id,
                name=container.name,
                signal=signal,
                exit_code=exit_code,
            )
        )

    def _emit_networks(self, container: SimulatedContainer, action: str) -> None:
        for network in sorted(container.networks):
            self._emit_network(container, network, action)

    def _emit_network(self, container: SimulatedContainer, network: str, action: str) -> None:
        self._publish(
            EngineEvent(
                at=self._clock.now().timestamp(),
                type="network",
                action=action,
                container_id=container.id,
                name=network,
            )
        )

    def _publish(self, event: EngineEvent) -> None:
        self.log.append(event)
        self._listener(event)
