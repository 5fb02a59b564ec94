import asyncio
import gc
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from http import HTTPStatus
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import psutil
import pytest
from pydantic import SecretStr

from actors.http_api import HttpApiActor
from actors.http_api.app import Served
from coordinator.listeners import Listeners
from coordinator.logging import Message
from coordinator.metrics import Metrics
from coordinator.tls import KeyPair
from tests.unit.certificates import self_signed
from tests.unit.http_api.conftest import IDENTITY, TOKEN
from tests.unit.http_api.memory_control import NOW, MemoryControl, tree, view

pytestmark = pytest.mark.anyio

PATIENCE_S = 30
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Life:
    """What an actor is given, and what it said."""

    path = "root/http_api"

    def __init__(self, incarnation: int = 1) -> None:
        self.incarnation = incarnation
        self.stopping = anyio.Event()
        self.up = anyio.Event()

    def ready(self, value: object = None) -> None:
        """It is up."""
        assert value is None
        self.up.set()

    def degraded(self, reason: str | None) -> None:
        """It never is."""
        raise AssertionError(reason)


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two free ports on loopback."""
    opened = Listeners.open("127.0.0.1", 0, 0)
    with closing(opened):
        yield opened


def made(
    listeners: Listeners, control: MemoryControl, grace_s: float = 0.3, tls: KeyPair | None = None
) -> HttpApiActor:
    """An actor around the coordinator in memory."""
    served = Served(control, Metrics(IDENTITY), IDENTITY, SecretStr(TOKEN), lambda: NOW)
    return HttpApiActor(listeners, served, tls=tls, grace_s=grace_s)


@asynccontextmanager
async def living(actor: HttpApiActor) -> AsyncIterator[Life]:
    """A life that is asked to stop at the end, and does."""
    life = Life()
    with anyio.fail_after(2 * PATIENCE_S):
        async with anyio.create_task_group() as tree:
            tree.start_soon(actor.run, life)
            await life.up.wait()
            yield life
            life.stopping.set()


def client(listeners: Listeners) -> httpx.AsyncClient:
    """A client with the token."""
    return httpx.AsyncClient(
        base_url=f"http://{listeners.http}", headers=AUTHORIZED, timeout=PATIENCE_S, trust_env=False
    )


async def raw(listeners: Listeners, request: bytes) -> bytes:
    """What comes back for these very bytes."""
    reader, writer = await asyncio.open_connection(listeners.http.host, listeners.http.port)
    try:
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_with_a_certificate_cleartext_is_not_answered(
    listeners: Listeners, control: MemoryControl, tmp_path: Path
) -> None:
    """With TLS a client that trusts the certificate is served; one that trusts none, or speaks cleartext, is not."""
    own = self_signed(tmp_path, "own")
    trusting = ssl.create_default_context(cafile=own.certificate)
    url = f"https://{listeners.http}/api/v1/health"
    async with living(made(listeners, control, tls=KeyPair(own.certificate, own.key))):
        async with httpx.AsyncClient(verify=trusting, timeout=PATIENCE_S, trust_env=False) as http:
            assert (await http.get(url)).json()["instance"] == IDENTITY.instance
            page = await http.get(url, headers={"Origin": f"https://{listeners.http}"})
            assert page.status_code == 200
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(url)
            with pytest.raises(httpx.HTTPError):
                await http.get(url.replace("https", "http"))


async def test_a_client_is_served(listeners: Listeners, control: MemoryControl) -> None:
    """Ready means answering; no header names the server's make."""
    async with living(made(listeners, control)), client(listeners) as http:
        answer = await http.get("/api/v1/health")
        assert answer.status_code == 200
        assert "server" not in answer.headers


async def test_no_connection_is_refused_between_incarnations(listeners: Listeners, control: MemoryControl) -> None:
    """A request that comes while nobody serves waits for the next incarnation, after a stop and after a crash."""
    actor = made(listeners, control)
    async with client(listeners) as http, anyio.create_task_group() as tree:
        for crashes in (False, True):
            life = Life()
            async with anyio.create_task_group() as first:
                first.start_soon(actor.run, life)
                await life.up.wait()
                assert (await http.get("/api/v1/health")).status_code == 200
                if crashes:
                    first.cancel_scope.cancel()
                else:
                    life.stopping.set()
            codes: list[int] = []

            async def ask(into: list[int]) -> None:
                async with client(listeners) as patient:
                    into.append((await patient.get("/api/v1/health")).status_code)

            tree.start_soon(ask, codes)
            await anyio.wait_all_tasks_blocked()
            assert codes == []
            async with living(actor):
                with anyio.fail_after(PATIENCE_S):
                    while not codes:
                        await anyio.lowlevel.checkpoint()
            assert codes == [200]


async def test_a_stop_does_not_wait_for_a_slow_request(listeners: Listeners, control: MemoryControl) -> None:
    """A request that outlasts the grace is answered 503, the incarnation ends, and what it began is finished."""
    control.entered, control.hold, control.left = anyio.Event(), anyio.Event(), anyio.Event()
    actor = made(listeners, control, grace_s=0.05)
    async with client(listeners) as http, anyio.create_task_group() as clients:
        answers: list[httpx.Response] = []

        async def press() -> None:
            answers.append(await http.delete("/api/v1/faults"))

        async with living(actor) as life:
            clients.start_soon(press)
            await control.entered.wait()
            life.stopping.set()
        assert control.undone == []
        control.hold.set()
        with anyio.fail_after(PATIENCE_S):
            await control.left.wait()
        assert control.undone == ["f1", "f2"]
    assert answers[0].status_code == 503
    assert answers[0].headers["content-type"] == "application/problem+json"


async def test_the_red_button_outlives_its_client(listeners: Listeners, control: MemoryControl) -> None:
    """A client that hangs up does not stop the undoing."""
    control.entered, control.hold, control.left = anyio.Event(), anyio.Event(), anyio.Event()
    async with living(made(listeners, control)):
        _, writer = await asyncio.open_connection(listeners.http.host, listeners.http.port)
        writer.write(
            f"DELETE /api/v1/faults HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        await control.entered.wait()
        writer.close()
        await writer.wait_closed()
        async with client(listeners) as http:  # by then the server has seen the other one go
            await http.get("/api/v1/health")
        control.hold.set()
        with anyio.fail_after(PATIENCE_S):
            await control.left.wait()
    assert control.undone == ["f1", "f2"]


async def test_it_can_be_asked_to_restart_itself(listeners: Listeners, control: MemoryControl) -> None:
    """Its own restart is accepted first and begun then, as its stop waits for requests in flight."""
    control.snapshot = tree(view("http_api"))
    control.entered = anyio.Event()
    async with living(made(listeners, control)), client(listeners) as http:
        answer = await http.post("/api/v1/actors/http_api/restart")
        assert (answer.status_code, answer.json()["id"]) == (202, "http_api")
        with anyio.fail_after(PATIENCE_S):
            await control.entered.wait()
    assert control.restarted == ["http_api"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_huge_body_is_refused_and_not_read(listeners: Listeners, control: MemoryControl, chunked: bool) -> None:
    """10 MB with or without a length: the client sees 413, and the server goes on serving."""
    block = b"x" * 65536

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield block

    content = blocks() if chunked else block * 160
    async with living(made(listeners, control)), client(listeners) as http:
        answer = await http.post("/api/v1/executions", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["title"] == HTTPStatus(413).phrase
        assert (await http.get("/api/v1/health")).status_code == 200


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET //api/v1/health HTTP/1.1", b"200"),
        (b"GET //api/v1/actors HTTP/1.1", b"401"),
        (b"GET /api/v1/../v1/health HTTP/1.1", b"401"),
        (b"GET /api/v1/health%2f HTTP/1.1", b"401"),
        (b"GET http://evil.example/api/v1/actors HTTP/1.1", b"401"),
        (b"BREW / HTTP/1.1", b"405"),
        (b"nonsense", b"400"),
    ],
)
async def test_odd_requests_get_plain_answers(
    listeners: Listeners, control: MemoryControl, request_line: bytes, status: bytes
) -> None:
    """No spelling of a path opens a closed one, nothing redirects, and no answer holds a traceback."""
    async with living(made(listeners, control)):
        answer = await raw(listeners, request_line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"Traceback" not in answer
    assert b"ocation:" not in answer


async def test_a_request_without_a_host_is_turned_away(listeners: Listeners, control: MemoryControl) -> None:
    """Over HTTP/1.0 without a Host header nobody is let in."""
    async with living(made(listeners, control)):
        answer = await raw(listeners, b"GET /api/v1/health HTTP/1.0\r\n\r\n")
    assert b" 421 " in answer.splitlines()[0]
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["status"] == 421


async def test_ten_lives_leave_nothing_behind(
    listeners: Listeners, control: MemoryControl, lines: list[Message]
) -> None:
    """Restarts leak neither descriptors nor tasks, and a clean stop logs no error."""
    actor = made(listeners, control, grace_s=PATIENCE_S)
    async with living(actor), client(listeners) as http:
        await http.get("/api/v1/faults")
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(10):
        async with living(actor), client(listeners) as http:
            await http.get("/api/v1/faults")
    gc.collect()
    assert psutil.Process().num_fds() <= before
    assert len(asyncio.all_tasks()) <= 2
    assert [line for line in lines if line["level"] in {"ERROR", "CRITICAL", "WARNING"}] == []


async def test_a_client_that_never_reads_is_given_up(
    control: MemoryControl, monkeypatch: pytest.MonkeyPatch, lines: list[Message]
) -> None:
    """Its stream ends, its connection is closed, and nothing of it is logged as an error."""
    for module in ("coordinator.listeners", "actors.http_api.app"):
        monkeypatch.setattr(f"{module}.TAKEN_WITHIN_MS", 500)
    control.live = True
    with closing(Listeners.open("127.0.0.1", 0, 0)) as listeners:
        async with living(made(listeners, control)), client(listeners) as http:
            begun = (await http.post("/api/v1/executions", json={"scenario": "kill-one-replica"})).json()["id"]
            control.tell(*("x" * 4000 for _ in range(4000)))
            own = psutil.Process()
            with closing(socket.socket()) as deaf, anyio.fail_after(PATIENCE_S):
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect((listeners.http.host, listeners.http.port))
                without = own.num_fds()
                head = f"GET /api/v1/executions/{begun}/events HTTP/1.1\r\nHost: localhost\r\n"
                deaf.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
                while own.num_fds() <= without:  # accepted
                    await anyio.lowlevel.checkpoint()
                while own.num_fds() > without:  # given up
                    await anyio.lowlevel.checkpoint()
            assert (await http.get("/api/v1/health")).status_code == 200
    assert [line for line in lines if line["level"] in {"ERROR", "CRITICAL"}] == []


async def test_followers_have_an_end(
    listeners: Listeners, control: MemoryControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit a stream is 503 with Retry-After; a follower that leaves makes room."""
    monkeypatch.setattr("actors.http_api.events.MAX_STREAMS", 1)
    control.live = True
    async with living(made(listeners, control)), client(listeners) as http:
        begun = (await http.post("/api/v1/executions", json={"scenario": "kill-one-replica"})).json()["id"]
        url = f"/api/v1/executions/{begun}/events"
        control.tell("one")
        async with http.stream("GET", url) as following:
            assert "one" in await anext(following.aiter_text())
            answer = await http.get(url)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        with anyio.fail_after(PATIENCE_S):
            while True:
                async with http.stream("GET", url) as again:
                    if again.status_code == 200:
                        break
                await anyio.sleep(0.01)
