import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr
from quart.testing import QuartClient
from werkzeug.datastructures import Headers

from actors.http_api.app import Served, make_app
from actors.http_api.detached import Detached
from coordinator.identity import Identity
from coordinator.logging import Message, configure
from coordinator.metrics import Metrics
from tests.unit.http_api.memory_control import NOW, MemoryControl

TOKEN = "t0ken"
IDENTITY = Identity("test-coordinator", "test-coordinator-Chaos1", "testing", "1.2.3", "schema", "namespace")


@dataclass
class Answer:
    """A response that has been read."""

    status: int
    headers: Headers
    text: str

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.text)


class Client:
    """Asks the application as a local program with the token would; each part can be changed."""

    def __init__(self, control: MemoryControl, *, allowed_hosts: tuple[str, ...] = ()) -> None:
        self.metrics = Metrics(IDENTITY)
        self.metrics.follow(control.tree)
        self.served = Served(control, self.metrics, IDENTITY, SecretStr(TOKEN), lambda: NOW, allowed_hosts)
        self.app = make_app(self.served, Detached())
        self._client = QuartClient(self.app)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """One request; a header given as None is left out."""
        sent: dict[str, str | None] = {"Host": "127.0.0.1:8080", "Authorization": f"Bearer {TOKEN}"}
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if data is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        sent |= headers or {}
        kept = {name: value for name, value in sent.items() if value is not None}
        response = await self._client.open(path, method=method, headers=kept, data=data)
        text = (await response.get_data(as_text=True)) if response.status_code != 204 else ""
        return Answer(response.status_code, response.headers, text)


@pytest.fixture
def anyio_backend() -> str:
    """The HTTP API is asyncio-only."""
    return "asyncio"


@pytest.fixture
def control() -> MemoryControl:
    """A coordinator in memory."""
    return MemoryControl()


@pytest.fixture
def client(control: MemoryControl) -> Client:
    """A client of the application around it."""
    return Client(control)


@pytest.fixture
def lines() -> Iterator[list[Message]]:
    """What is logged from now on."""
    found: list[Message] = []
    with configure(IDENTITY, sinks=[found.append]):
        found.clear()
        yield found
