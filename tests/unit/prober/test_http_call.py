"""Requests of a chaos API over real sockets: what is sent, what counts as done, and what is never told."""

import json
from collections.abc import Callable

import pytest

from actors.prober.http_call import HttpCaller
from coordinator.errors import MissingSecret
from coordinator.faults.commands import ADDRESS, EnvEntry, HttpCommand
from tests.unit.prober.scene import DictionaryEngine, answer, container, secrets, serving, unused_port

pytestmark = pytest.mark.anyio

KEY = EnvEntry(name="X-Key", secret="TOKEN")


def caller(engine: DictionaryEngine | None = None) -> HttpCaller:
    """One with the secrets of the scene."""
    return HttpCaller(secrets, engine or DictionaryEngine())


def command(url: str, **fields: object) -> HttpCommand:
    """A request with time enough for a busy machine."""
    return HttpCommand.model_validate({"method": "POST", "url": url, "deadline_s": 20.0, **fields})


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "202 Accepted"])
async def test_any_answer_of_2xx_is_done(status: str) -> None:
    """What is sent is what the scenario says, the secret in its place, and no more than a client needs."""
    async with serving(lambda _: answer(status)) as server:
        body = json.dumps({"errors": 30})
        outcome = await caller().run(command(f"{server.url}chaos?on=1", headers=(KEY,), body=body))
    assert outcome.ok
    (head,) = server.requests
    assert head.startswith("POST /chaos?on=1 HTTP/1.1\r\n")
    assert "X-Key: s3cr3t\r\n" in head
    assert f"Content-Length: {len(body)}\r\n" in head


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable", "302 Found"])
async def test_any_other_answer_is_a_failure_that_tells_no_secret(status: str) -> None:
    """The status and the first line of the body, with the secret masked where the service repeats it."""
    reply = answer(status, b"no key s3cr3t here\nmore", "Location: http://169.254.169.254/")
    async with serving(lambda _: reply) as server:
        outcome = await caller().run(command(server.url, headers=(KEY,)))
    assert outcome.exit_code == 1
    assert outcome.stderr == f"POST {server.url}: answered {status[:3]}: no key *** here"


def always(reply: bytes) -> Callable[[str], bytes]:
    """A server's only answer."""
    return lambda _: reply


@pytest.mark.parametrize(
    ("status", "nothing_done"),
    [
        ("404 Not Found", True), ("405 Method Not Allowed", True), ("501 Not Implemented", True),
        ("403 Forbidden", True), ("415 Unsupported Media Type", True), ("429 Too Many Requests", True),
        ("303 See Other", False), ("400 Bad Request", False), ("409 Conflict", False), ("422 No", False),
        ("500 Oops", False), ("503 Service Unavailable", False), ("504 Gateway Timeout", False),
    ],
)  # fmt: skip
async def test_a_refusal_of_the_request_itself_did_nothing(status: str, *, nothing_done: bool) -> None:
    """Where there is nothing at the path, or who asks may not, nothing was begun; what met an error may have begun."""
    async with serving(lambda _: answer(status)) as server:
        outcome = await caller().run(command(server.url))
    assert (outcome.exit_code, outcome.nothing_done) == (1, nothing_done)


async def test_a_secret_is_hidden_before_an_answer_is_cut_off() -> None:
    """No part of it is told either, wherever the text ends."""
    for before in range(180, 186):
        reply = answer("500 Oops", b"x" * before + b"s3cr3t")
        async with serving(always(reply)) as server:
            outcome = await caller().run(command(server.url, headers=(KEY,)))
        assert "s3" not in outcome.stderr


async def test_what_is_no_http_is_a_failure() -> None:
    """A connection that is closed in silence, an answer that does not read, a secret that no header may hold."""
    for reply, why in ((b"", "closed the connection without an answer"), (b"220 smtp ready\r\n\r\n", "broken")):
        async with serving(always(reply)) as server:
            outcome = await caller().run(command(server.url))
        assert (outcome.exit_code, outcome.nothing_done, why in outcome.stderr) == (1, False, True)
    outcome = await HttpCaller(lambda _: "s3c\nr3t", DictionaryEngine()).run(
        command("http://127.0.0.1:1/", headers=(KEY,))
    )
    assert (outcome.exit_code, "cannot be sent" in outcome.stderr, "s3c" in outcome.stderr) == (1, True, False)


async def test_it_goes_to_wherever_its_container_is() -> None:
    """The address is looked up when it is sent; without one, it says so."""
    engine = DictionaryEngine()
    engine.put(container("web-1", address="127.0.0.1"), container("web-2"))
    async with serving(lambda _: answer()) as server:
        url = f"http://{ADDRESS}:{server.port}/x"
        assert (await caller(engine).run(command(url, container_id="id-web-1"))).ok
    async with serving(lambda _: answer("500 No")) as failing:
        asked = command(f"http://{ADDRESS}:{failing.port}/x", container_id="id-web-1")
        told = (await caller(engine).run(asked)).stderr
        assert f" http://127.0.0.1:{failing.port}/x: answered 500" in told
    for name in ("id-web-2", "id-gone"):
        outcome = await caller(engine).run(command(url, container_id=name))
        assert outcome.exit_code == 1
        assert "the container has no address" in outcome.stderr
        assert f" http://{name}:{server.port}/x: " in outcome.stderr


async def test_what_does_not_answer_is_a_failure() -> None:
    """Nobody there; no answer within its time; an address that no request goes to."""
    refused = await caller().run(command(f"http://127.0.0.1:{await unused_port()}/"))
    assert (refused.exit_code, refused.nothing_done, "refused" in refused.stderr) == (1, True, True)
    local = await caller().run(command("http://[::ffff:169.254.169.254]/"))
    assert (local.exit_code, local.nothing_done, "link-local" in local.stderr) == (1, True, True)
    async with serving(lambda _: None) as server:
        silent = await caller().run(command(server.url, deadline_s=0.1))
    assert (silent.exit_code, silent.timed_out, silent.stderr) == (None, True, "no answer within 0.1 s")


async def test_a_secret_that_is_not_there_is_an_error() -> None:
    """Before anything is sent."""
    async with serving(lambda _: answer()) as server:
        with pytest.raises(MissingSecret):
            await caller().run(command(server.url, headers=(EnvEntry(name="X-Key", secret="OTHER"),)))
    assert server.requests == []
