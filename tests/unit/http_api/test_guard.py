import pytest
from pydantic import SecretStr
from werkzeug.datastructures import Headers

from actors.http_api.guard import MAX_BODY_BYTES, Guard, Head
from actors.http_api.problems import RequestRejected
from tests.unit.http_api.conftest import TOKEN, Client
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = pytest.mark.anyio

OPEN = ["/", "/metrics", "/api/v1/health", "/api/v1/ready"]
CLOSED = ["/api/v1/actors", "/api/v1/executions", "/api/v1/nowhere", "/nowhere", "/api/v1/health/"]


@pytest.mark.parametrize("path", OPEN)
async def test_open_paths_need_no_token(client: Client, path: str) -> None:
    """Health, ready, metrics and the page are answered to anybody on this host."""
    assert (await client.ask("GET", path, headers={"Authorization": None})).status == 200


@pytest.mark.parametrize("path", CLOSED)
async def test_all_else_needs_the_token(client: Client, path: str) -> None:
    """Without the token even an unknown path is 401, with the challenge RFC 6750 asks for."""
    answer = await client.ask("GET", path, headers={"Authorization": None})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.json["status"] == 401


@pytest.mark.parametrize(
    "given", ["Bearer wrong", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"]
)
async def test_a_wrong_token_is_no_token(client: Client, given: str) -> None:
    """Anything but the very token is 401, and the answer does not say what was sent."""
    answer = await client.ask("GET", "/api/v1/actors", headers={"Authorization": given})
    assert answer.status == 401
    assert "wrong" not in answer.text
    assert TOKEN not in answer.text


async def test_the_scheme_is_case_insensitive(client: Client) -> None:
    """`bearer` is as good as `Bearer`."""
    assert (await client.ask("GET", "/api/v1/actors", headers={"Authorization": f"bearer {TOKEN}"})).status == 200


def test_an_empty_token_is_refused() -> None:
    """A guard with an empty token would let everybody in."""
    with pytest.raises(ValueError, match="API token is empty"):
        Guard(SecretStr(""))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8080", "Box.lan:80"]
)
async def test_own_hosts_are_served(control: MemoryControl, host: str) -> None:
    """IP literals, localhost and allowed names, with or without a port."""
    client = Client(control, allowed_hosts=("box.lan",))
    assert (await client.ask("GET", "/api/v1/health", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "user@127.0.0.1", "", "localhost:x", "[::1"],
)
def test_other_hosts_are_421(host: str) -> None:
    """A name that is not ours is refused, open paths and a right token included: DNS may point it here."""
    guard = Guard(SecretStr(TOKEN))
    for path in ("/api/v1/health", "/api/v1/actors"):
        with pytest.raises(RequestRejected) as rejected:
            guard.check(Head(path, Headers({"Host": host, "Authorization": f"Bearer {TOKEN}"})))
        assert rejected.value.status == 421


def test_of_two_hosts_both_are_judged() -> None:
    """A second Host header does not smuggle a foreign name past the first."""
    with pytest.raises(RequestRejected):
        Guard(SecretStr(TOKEN)).check(Head("/", Headers([("Host", "localhost"), ("Host", "evil.example")])))


async def test_a_foreign_host_is_421_before_all_else(client: Client) -> None:
    """The answer is a problem document, and the token is not even looked at."""
    answer = await client.ask("GET", "/api/v1/actors", headers={"Host": "evil.example", "Authorization": None})
    assert (answer.status, answer.json["status"]) == (421, 421)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8080", ""]
)
async def test_foreign_origins_are_403(client: Client, origin: str) -> None:
    """A page of another origin may not ask, not even with the token."""
    assert (await client.ask("GET", "/api/v1/actors", headers={"Origin": origin})).status == 403


async def test_the_own_origin_is_served_without_cors(client: Client) -> None:
    """A page served from here may ask; no CORS header invites others."""
    answer = await client.ask("GET", "/api/v1/actors", headers={"Origin": "http://127.0.0.1:8080"})
    assert answer.status == 200
    assert not [name for name, _ in answer.headers.items() if name.lower().startswith("access-control")]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_bodies_are_json(client: Client, kind: str) -> None:
    """A body of another kind is 415, whatever the route."""
    for method, path in [("POST", "/api/v1/executions"), ("GET", "/api/v1/health"), ("DELETE", "/api/v1/faults")]:
        answer = await client.ask(method, path, raw=b"{}", headers={"Content-Type": kind})
        assert answer.status == 415


async def test_a_charset_does_no_harm(client: Client) -> None:
    """`application/json; charset=utf-8` is JSON."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await client.ask("POST", "/api/v1/executions", {}, headers=headers)).status == 422


async def test_a_body_may_have_a_mebibyte(client: Client) -> None:
    """1 MiB is read; one byte more is 413, told from the head or while it comes."""
    padded = b'{"yaml": "' + b"x" * (MAX_BODY_BYTES - 12) + b'"}'
    assert len(padded) == MAX_BODY_BYTES
    assert (await client.ask("POST", "/api/v1/executions", raw=padded)).status == 422
    for headers in ({}, {"Content-Length": None}):
        answer = await client.ask("POST", "/api/v1/executions", raw=padded + b" ", headers=headers)
        assert answer.status == 413
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", [*OPEN, *CLOSED])
async def test_every_answer_is_secured(client: Client, path: str) -> None:
    """Good or bad, an answer bears the policy and the type fence, sets no cookie and names no server."""
    answer = await client.ask("GET", path)
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert "Server" not in answer.headers
