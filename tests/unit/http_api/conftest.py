import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from quart import Quart
from quart.testing import QuartClient
from werkzeug.datastructures import Headers

from actors.http_api.app import Served, make_app
from actors.http_api.description import describe
from coordinator.detached import Detached
from coordinator.identity import Identity
from coordinator.library import Library
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


class Contract:
    """Holds every answer against the API's own description."""

    def __init__(self, app: Quart) -> None:
        self.document = describe(app, IDENTITY)
        self.seen: set[tuple[str, str, int]] = set()
        paths = self.document["paths"]
        self._routes = [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), path) for path in paths]
        # Literal paths first, as the router does.
        self._routes.sort(key=lambda route: "{" in route[1])

    def check(self, method: str, path: str, answer: Answer) -> None:
        """The status, the kind of body and the body are as described; 500 never is."""
        verb = method.lower()
        found = [route for pattern, route in self._routes if pattern.fullmatch(path)]
        if (
            not found
            or verb not in self.document["paths"][found[0]]
            or answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return
        operation = self.document["paths"][found[0]][verb]
        assert str(answer.status) in operation["responses"], f"{method} {path}: {answer.status} is not described"
        self.seen.add((method, found[0], answer.status))
        said = operation["responses"][str(answer.status)]
        assert all(name in answer.headers for name in said.get("headers", ()))
        content = said.get("content")
        if content is None:
            assert not answer.text
            return
        media_type = answer.headers["Content-Type"].partition(";")[0]
        assert media_type in content, f"{method} {path}: {media_type} is not described"
        if media_type.endswith("json") and method != "HEAD":
            schema = content[media_type]["schema"] | {"components": self.document["components"]}
            wrong = [error.message[:200] for error in Draft202012Validator(schema).iter_errors(answer.json)]
            assert wrong == [], f"{method} {path}"


class Client:
    """Asks the application as a local program with the token would; each part can be changed."""

    def __init__(self, control: MemoryControl, *, allowed_hosts: tuple[str, ...] = ()) -> None:
        self.metrics = Metrics(IDENTITY)
        self.metrics.follow(control.tree)
        self.served = Served(control, self.metrics, IDENTITY, SecretStr(TOKEN), lambda: NOW, allowed_hosts)
        self.app = make_app(self.served, Detached())
        self.contract = Contract(self.app)
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
        answer = Answer(response.status_code, response.headers, text)
        self.contract.check(method, path.partition("?")[0], answer)
        return answer


@pytest.fixture
def anyio_backend() -> str:
    """The HTTP API is asyncio-only."""
    return "asyncio"


@pytest.fixture
def control(tmp_path: Path) -> MemoryControl:
    """A coordinator in memory."""
    return MemoryControl(library=Library(tmp_path))


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
