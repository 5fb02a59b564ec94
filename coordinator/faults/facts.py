"""What is known of an engine and its containers, as plain values. Knows nothing of how it was learned."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A frozen value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ContainerState(StrEnum):
    """`State.Status` of `docker inspect`."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class EngineInfo(Value):
    """Which engine answers, and what it can do."""

    id: str
    endpoint: str
    version: str
    api_version: str
    operating_system: str = ""
    kernel: str = ""
    cgroup_version: str = ""
    cgroup_driver: str = ""
    cpus: int = 0
    """How many its machine has; 0 where it does not say."""
    memory: int = 0
    """How many bytes, likewise."""
    time: str = ""
    """What its clock read when it answered, in RFC 3339; empty where it does not say."""


class NetworkAttachment(Value):
    """A container's place in one network. `wanted_*` are the addresses it was told to have; the engine chose others."""

    name: str
    network_id: str = ""
    """The network's own id; empty where it is not known."""
    ip: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    wanted_ip: str = ""
    wanted_ipv6: str = ""


class PublishedPort(Value):
    """A container port published on the host; `host_ip` and `host_port` are empty and 0 when only exposed."""

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0


class Mount(Value):
    """A folder of the engine's machine, or a volume, that a container has as its own folder. `source` is on that
    machine; empty where it is not known, and where the folder is in memory.
    """

    path: str
    source: str = ""
    in_memory: bool = False
    """Whether it is made anew for each run, and gone with it."""


class ContainerFacts(Value):
    """One container as the engine shows it. Its identity is `id` with `started_at`: a restart makes a new run."""

    id: str
    name: str
    image: str
    labels: dict[str, str] = {}
    state: ContainerState
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    out_of_memory: bool = False
    """Whether the engine says of its last run that the kernel killed in it for want of memory."""
    lost: bool = False
    """Whether it is down because the engine failed to run it, not because it ended or was ended."""
    health: str = ""
    restart_count: int = 0
    restart_policy: str = ""
    pid: int = 0
    hostname: str = ""
    network_mode: str = ""
    networks: tuple[NetworkAttachment, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    layer: str = ""
    """Where its own files are on the engine's machine; empty where the engine does not say."""
    mounts: tuple[Mount, ...] = ()
    cpus: float = 0.0
    """How many it may use by the engine's own record; 0 where that limits none."""
    memory: int = 0
    """How many bytes, likewise."""

    @property
    def compose_project(self) -> str:
        """The Compose project, or empty."""
        return self.labels.get("com.docker.compose.project", "")

    @property
    def compose_service(self) -> str:
        """The Compose service, or empty."""
        return self.labels.get("com.docker.compose.service", "")

    @property
    def address(self) -> str:
        """The first network address, or empty when there is none (stopped, or network none)."""
        return next((network.ip or network.ipv6 for network in self.networks if network.ip or network.ipv6), "")


class EngineEvent(Value):
    """One event of the engine's own log. `at` is seconds since the epoch, as the engine says."""

    at: float
    type: str
    action: str
    container_id: str = ""
    name: str = ""
    signal: str = ""
    exit_code: int | None = None


class LogPlace(Value):
    """How far a container's log is read: to the time of its last line, in nanoseconds since the epoch by the engine's
    clock, and how many lines of exactly that time.
    """

    at_ns: int
    seen: int = 0


class LogPart(Value):
    """What a look at a log found: how many lines matched, how far it read, and whether there is more."""

    matching: int
    place: LogPlace
    more: bool = False


class LockedUndo(Value):
    """An undo as a lock's labels hold it: what decides whether it is needed, and the command; see `looks.Undo`."""

    name: str
    run: str
    argv: tuple[str, ...]
    needed_in: tuple[ContainerState, ...]
    restores: ContainerState | None = None
    settle_s: float = Field(default=0.0, ge=0.0, le=3600.0)
    lingers_s: float = Field(default=0.0, ge=0.0, le=3600.0)


class TargetLock(Value):
    """The lock on a target, read back from the engine: a volume `tc-<container id>` with labels.

    `undo` are the commands as a person would paste them; `undos` the same as data, None where they cannot be read.
    `torn`: the volume has no labels, as the engine died while it made it. Nobody has that lock, nor can anybody get it.
    """

    container_id: str
    instance: str
    execution: str
    torn: bool = False
    fault: str = ""
    expires: float = 0.0
    undo: tuple[str, ...] = ()
    undos: tuple[LockedUndo, ...] | None = None
