"""What the prober's tests stand on: a small server on loopback, an engine that is a dictionary, a command that ends."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.lowlevel
from anyio import TypedAttributeProvider
from anyio.abc import SocketAttribute, SocketStream
from pydantic import TypeAdapter

from coordinator.errors import EngineUnreachable, MissingSecret
from coordinator.faults.commands import Command, Outcome
from coordinator.faults.facts import (
    ContainerFacts,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogPart,
    LogPlace,
    NetworkAttachment,
    TargetLock,
)
from coordinator.ports import LogStream
from coordinator.scenarios.probes import AnyProbe, Probe

_PROBE: TypeAdapter[Probe] = TypeAdapter(AnyProbe)


def probe(kind: str, **fields: object) -> Probe:
    """A probe as a scenario writes it, with time enough for a busy machine."""
    return _PROBE.validate_python({"type": kind, "timeout": "20s", **fields})


def container(
    name: str = "web-1",
    *,
    state: ContainerState = ContainerState.RUNNING,
    address: str = "",
    health: str = "",
    restarts: int = 0,
) -> ContainerFacts:
    """A container whose id is made of its name."""
    return ContainerFacts(
        id=f"id-{name}",
        name=name,
        image="busybox",
        state=state,
        health=health,
        restart_count=restarts,
        networks=(NetworkAttachment(name="net", ip=address),) if address else (),
    )


@dataclass
class DictionaryEngine:
    """Satisfies EngineFacts: what stands in `present` exists; counts the looks."""

    present: dict[str, ContainerFacts] = field(default_factory=dict)
    reachable: bool = True
    looks: int = 0

    def put(self, *containers: ContainerFacts) -> None:
        """Let these exist, instead of what had their ids."""
        self.present.update({container.id: container for container in containers})

    async def engine(self) -> EngineInfo:
        return EngineInfo(id="engine", endpoint="unix:///nowhere", version="29", api_version="1.50")

    async def containers(self, ids: Collection[str] | None = None) -> tuple[ContainerFacts, ...]:
        self.looks += 1
        await anyio.lowlevel.checkpoint()
        if not self.reachable:
            raise EngineUnreachable("unix:///nowhere does not answer")
        chosen = self.present if ids is None else ids
        return tuple(
            sorted((self.present[i] for i in chosen if i in self.present), key=lambda container: container.name)
        )

    async def states(self, ids: Collection[str]) -> Mapping[str, ContainerState]:
        return {container.id: container.state for container in await self.containers(ids)}

    async def locks(self) -> tuple[TargetLock, ...]:
        return ()

    async def helpers(self) -> tuple[ContainerFacts, ...]:
        return ()

    async def log(
        self, container_id: str, place: LogPlace, stream: LogStream, matches: Callable[[str], bool]
    ) -> LogPart | None:
        await anyio.lowlevel.checkpoint()
        return None

    async def events_since(self, since: datetime, ids: Collection[str]) -> tuple[EngineEvent, ...]:
        return ()

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        raise NotImplementedError


@dataclass
class OneOutcome:
    """Satisfies CommandRunner: every command ends like this; remembers what was run."""

    outcome: Outcome = field(default_factory=lambda: Outcome(exit_code=0))
    ran: list[Command] = field(default_factory=list)

    async def run(self, command: Command) -> Outcome:
        self.ran.append(command)
        await anyio.lowlevel.checkpoint()
        return self.outcome


def secrets(name: str) -> str:
    """The one secret there is."""
    if name != "TOKEN":
        raise MissingSecret(f"no secret {name}")
    return "s3cr3t"


def answer(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    """An HTTP answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Server:
    """A server on loopback: its port and the heads of the requests it got, one per connection."""

    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"


def port_of(listener: TypedAttributeProvider) -> int:
    """The port a listener got."""
    port: int = listener.extra(SocketAttribute.local_port)  # noqa: S610  # not Django's
    return port


@asynccontextmanager
async def serving(respond: Callable[[str], bytes | None]) -> AsyncIterator[Server]:
    """Answer the first request of each connection with `respond(head)`, then close; None never answers."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    server = Server(port_of(listener))

    async def handle(stream: SocketStream) -> None:
        async with stream:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                server.requests.append(head.decode())
                reply = respond(head.decode())
                if reply is None:
                    await anyio.sleep_forever()
                else:
                    await stream.send(reply)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield server
        group.cancel_scope.cancel()


async def unused_port() -> int:
    """A port of loopback on which nobody listens."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        return port_of(listener)
