import ssl

import anyio
import pytest

from actors.prober.http_probe import (
    MAX_BODY,
    Answer,
    HttpRequest,
    json_value,
    judged,
    look,
    redirected,
    request_of,
    status_fits,
)
from actors.prober.url import parse_url
from coordinator.errors import MissingSecret
from coordinator.scenarios.probes import HttpExpect, HttpProbe
from coordinator.secret_text import SecretRef
from tests.unit.prober.scene import answer, secrets, serving

pytestmark = pytest.mark.anyio


def no_tls() -> ssl.SSLContext:
    raise AssertionError("plain HTTP needs no certificates")


def probe(**fields: object) -> HttpProbe:
    return HttpProbe.model_validate({"url": "http://127.0.0.1/", **fields})


@pytest.mark.parametrize(
    ("expected", "status", "fits"),
    [(None, 204, True), (None, 302, False), (503, 503, True), (200, 204, False), ((200, 404), 404, True)],
)
def test_expected_status(expected: int | tuple[int, ...] | None, status: int, *, fits: bool) -> None:
    """Without a status any 2xx is good; a list means any of them."""
    assert status_fits(HttpExpect(status=expected), status) is fits


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.b.0", 1.5), ("n", 3.0), ("t", "true"), ("s", "text"), ("a.b", "[1.5]"), ("z", "null")],
)
def test_json_value(path: str, value: float | str) -> None:
    """A path leads through objects and lists; numbers stay numbers and all else becomes text."""
    assert json_value({"a": {"b": [1.5]}, "n": 3, "t": True, "s": "text", "z": None}, path) == value


@pytest.mark.parametrize("path", ["b", "a.1", "a.x", "a.0.c", ""])
def test_json_value_that_is_not_there(path: str) -> None:
    """A path that leads nowhere is an error."""
    with pytest.raises(LookupError):
        json_value({"a": [1]}, path)


@pytest.mark.parametrize(
    ("fields", "body", "ok", "value", "error"),
    [
        ({}, b"", True, 200.0, ""),
        ({"expect": {"status": 503}}, b"", False, 200.0, "wrong answer: status 200, expected 503"),
        ({"expect": {"status": [201, 202]}}, b"", False, 200.0, "wrong answer: status 200, expected 201 or 202"),
        ({"expect": {"body_contains": "grün"}}, "ist grün".encode(), True, 200.0, ""),
        ({"expect": {"body_contains": "up"}}, b"down", False, 200.0, "wrong answer: 'up' is not in the body"),
        ({"json_path": "n"}, b'{"n": 7}', True, 7.0, ""),
        # Half of a character, as a service that cuts texts sends it.
        ({"json_path": "n"}, rb'{"n": "\ud83d"}', True, "?", ""),
        ({"json_path": "n"}, b"{}", False, None, "wrong answer: nothing at 'n' of the body"),
        ({"json_path": "n"}, b"<html>", False, None, "wrong answer: nothing at 'n' of the body"),
    ],
)
def test_judging(fields: dict[str, object], body: bytes, *, ok: bool, value: float | None, error: str) -> None:
    """An answer is judged by status, text and what stands at the path; a wrong one keeps its latency."""
    reading = judged(probe(**fields), Answer(200, body, complete=True), 0.25)
    assert (reading.ok, reading.latency_s, reading.value) == (ok, 0.25, value)
    assert reading.error.startswith(error)
    assert bool(reading.error) is not ok


def test_json_of_a_cut_body_is_not_read() -> None:
    """JSON is not read from a body that was cut."""
    reading = judged(probe(json_path="n"), Answer(200, b"{}", complete=False), 0.1)
    assert "too long" in reading.error


def test_a_request_says_what_the_scenario_says() -> None:
    """A probe's headers replace the usual ones, its secrets are resolved, and its URL's user becomes Basic."""
    given = probe(headers={"user-agent": "mine", "X-Key": {"secret": "TOKEN"}})
    headers = dict(request_of(given, parse_url("http://u:p@host/"), secrets).headers)
    assert headers["user-agent"] == "mine"
    assert headers["X-Key"] == "s3cr3t"
    assert headers["Authorization"] == "Basic dTpw"
    assert "User-Agent" not in headers


def test_a_request_does_not_show_its_secrets() -> None:
    """The text form of a request holds no header."""
    request = request_of(probe(headers={"X-Key": SecretRef(secret="TOKEN")}), parse_url("http://host/"), secrets)
    assert "s3cr3t" not in f"{request!r} {request}"


def test_a_missing_secret_is_named() -> None:
    """A secret that is not there is an error that names it."""
    with pytest.raises(MissingSecret, match="OTHER"):
        request_of(probe(headers={"X-Key": SecretRef(secret="OTHER")}), parse_url("http://host/"), secrets)


@pytest.mark.parametrize(
    ("location", "kept"),
    [
        ("/next", {"Cookie", "X-Key", "Accept"}),
        ("http://a:80/next", {"Cookie", "X-Key", "Accept"}),
        ("http://b/next", {"Accept"}),
        ("https://a/next", {"Accept"}),
        ("http://a:81/next", {"Accept"}),
    ],
)
def test_credentials_stay_with_their_origin(location: str, kept: set[str]) -> None:
    """A redirect to another scheme, host or port gets neither secret headers nor credentials."""
    headers = (("Cookie", "c"), ("X-Key", "s3cr3t"), ("Accept", "*/*"))
    request = HttpRequest("GET", parse_url("http://a/"), headers, None)
    following = redirected(request, Answer(302, b"", complete=True, location=location), {"X-Key"})
    assert following is not None
    assert {name for name, _ in following.headers} == kept


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [(303, "PUT", "GET", None), (302, "POST", "GET", None), (307, "POST", "POST", b"x"), (302, "PUT", "PUT", b"x")],
)
def test_the_method_after_a_redirect(status: int, method: str, then: str, body: bytes | None) -> None:
    """See Other and a moved POST become GET without a body; 307 repeats the request."""
    request = HttpRequest(method, parse_url("http://a/"), (), b"x")
    following = redirected(request, Answer(status, b"", complete=True, location="/n"), set())
    assert following is not None
    assert (following.method, following.body) == (then, body)


async def test_each_sample_opens_its_own_connection() -> None:
    """Every sample connects anew, so that a dead server cannot hide behind a kept connection."""
    async with serving(lambda _: answer(body=b"hello")) as server:
        for _ in range(3):
            reading = await look(probe(), server.url + "health?x=1", secrets, no_tls)
            assert reading.ok
            assert reading.latency_s is not None
        assert len(server.requests) == 3
        assert server.requests[0].startswith("GET /health?x=1 HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{server.port}\r\n" in server.requests[0]
        assert "Connection: close\r\n" in server.requests[0]


async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    async with serving(lambda _: answer()) as server:
        assert (await look(probe(), server.url, secrets, no_tls)).ok


async def test_a_long_body_is_cut() -> None:
    """A body is read up to the limit; what the probe looks for in it is still found."""
    async with serving(lambda _: answer(body=b"needle" + bytes(MAX_BODY * 2))) as server:
        assert (await look(probe(expect={"body_contains": "needle"}), server.url, secrets, no_tls)).ok


async def test_redirects_are_followed_when_asked_only() -> None:
    """A redirect is an answer like any other, unless the probe follows it."""

    def respond(head: str) -> bytes:
        return answer("302 Found", b"", "Location: /end") if head.startswith("GET / ") else answer(body=b"end")

    async with serving(respond) as server:
        plain = await look(probe(), server.url, secrets, no_tls)
        followed = await look(probe(follow_redirects=True), server.url, secrets, no_tls)
    assert plain.error == "wrong answer: status 302, expected 2xx"
    assert followed.ok


async def test_a_circle_of_redirects_ends() -> None:
    """Redirects without end are a wrong answer after a few."""
    async with serving(lambda _: answer("302 Found", b"", "Location: /")) as server:
        reading = await look(probe(follow_redirects=True), server.url, secrets, no_tls)
        assert reading.error == "wrong answer: status 302, expected 2xx"
        assert len(server.requests) == 6


async def test_a_body_is_sent() -> None:
    """A probe's body arrives with its length."""
    received = anyio.Event()

    def respond(head: str) -> bytes:
        if "Content-Length: 4\r\n" in head and head.startswith("POST "):
            received.set()
        return answer()

    async with serving(respond) as server:
        assert (await look(probe(method="POST", body="grü"), server.url, secrets, no_tls)).ok
    assert received.is_set()
