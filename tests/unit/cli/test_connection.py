import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import click
import pytest
from pydantic import SecretStr

from coordinator.cli.connection import connect, endpoint, running
from coordinator.cli.tools import Where
from coordinator.client import HttpControl, NoAnswer
from coordinator.settings import Settings
from tests.unit.small_server import SmallServer, small_server

pytestmark = pytest.mark.anyio


def health(instance: str) -> dict[str, str]:
    """Who answers."""
    stamp = "2026-01-02T03:04:05.678Z"
    identity = {"service": "test-coordinator", "instance": instance, "version": "1", "environment": "testing"}
    return {"status": "healthy", "timestamp": stamp, **identity}


@pytest.fixture
def server() -> Iterator[SmallServer]:
    """A coordinator called blue, as far as it is asked."""
    with small_server() as serving:
        serving.answer("GET /api/v1/health", (200, {**health("blue")}))
        serving.answer("GET /api/v1/faults", (200, {"items": [], "next": None}))
        yield serving


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of an instance called blue, with a DATA_DIR and a token of the test's own."""
    monkeypatch.delenv("TEST_COORDINATOR_TOKEN", raising=False)
    return Settings(service_instance_name="blue", data_dir=tmp_path, api_token=SecretStr("own"))


def announce(settings: Settings, http: str, instance: str = "blue") -> None:
    """Write endpoints.json as `serve` does."""
    said = {"pid": 1, "instance": instance, "http": http, "grpc": "127.0.0.1:1"}
    (settings.data_dir / "endpoints.json").write_text(json.dumps(said))


async def is_found(settings: Settings) -> bool:
    """Whether a coordinator is taken for the one of this DATA_DIR."""
    async with AsyncExitStack() as stack:
        return await running(stack, settings) is not None


async def test_the_coordinator_of_this_data_dir_is_used(settings: Settings, server: SmallServer) -> None:
    """When the one of endpoints.json answers, commands act through it, with this DATA_DIR's token."""
    announce(settings, server.url)
    async with connect(settings, Where(), recovery=True) as control:
        assert isinstance(control, HttpControl)
        await control.faults()
    assert server.asked[-1].headers["authorization"] == "Bearer own"


async def test_a_stranger_on_its_port_never_sees_the_token(settings: Settings, server: SmallServer) -> None:
    """When another instance has the port now, it is not used and was told no token."""
    server.answer("GET /api/v1/health", (200, {**health("green")}))
    announce(settings, server.url)
    assert not await is_found(settings)
    assert [("authorization" in asked.headers) for asked in server.asked] == [False]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "instance": "blue", "http": "y"}', "\x00"])
async def test_an_unreadable_endpoints_file_is_none(settings: Settings, text: str) -> None:
    """A file cut short or foreign means that no coordinator is known."""
    (settings.data_dir / "endpoints.json").write_text(text)
    assert endpoint(settings) is None
    assert not await is_found(settings)


async def test_a_coordinator_long_gone_is_none(settings: Settings) -> None:
    """Where nobody listens any more no coordinator runs."""
    with small_server() as gone:
        announce(settings, gone.url)
    assert not await is_found(settings)


async def test_an_address_without_a_scheme_is_http(settings: Settings) -> None:
    """endpoints.json may name host and port alone."""
    announce(settings, "127.0.0.1:8080")
    said = endpoint(settings)
    assert said is not None
    assert said.http == "http://127.0.0.1:8080"


async def test_a_server_of_ones_own_needs_no_token(settings: Settings, server: SmallServer) -> None:
    """`--server` with the URL of endpoints.json uses this DATA_DIR's token."""
    announce(settings, server.url)
    async with connect(settings, Where(server=f"{server.url}/"), recovery=True) as control:
        await control.faults()
    assert server.asked[-1].headers["authorization"] == "Bearer own"


async def test_another_server_needs_a_token_of_its_own(settings: Settings, server: SmallServer) -> None:
    """Without --token-file or variable, the own token goes nowhere else: nothing is asked."""
    with pytest.raises(click.UsageError, match="--token-file"):
        async with connect(settings, Where(server=server.url), recovery=True):
            pass
    assert server.asked == []


async def test_the_token_comes_from_file_or_variable(
    settings: Settings, server: SmallServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--token-file wins over TEST_COORDINATOR_TOKEN, which wins over nothing."""
    monkeypatch.setenv("TEST_COORDINATOR_TOKEN", "from-variable")
    file = tmp_path / "token"
    file.write_text("from-file\n")
    for where in (Where(server=server.url), Where(server=server.url, token_file=file)):
        async with connect(settings, where, recovery=True) as control:
            await control.faults()
    used = [asked.headers["authorization"] for asked in server.asked if asked.path == "/api/v1/faults"]
    assert used == ["Bearer from-variable", "Bearer from-file"]


async def test_a_server_that_does_not_answer_is_an_error(settings: Settings, tmp_path: Path) -> None:
    """With --server there is no embedded coordinator in its place."""
    with small_server() as gone:
        url = gone.url
    file = tmp_path / "token"
    file.write_text("t")
    with pytest.raises(NoAnswer, match="no coordinator answers"):
        async with connect(settings, Where(server=url, token_file=file), recovery=True):
            pass


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", ""])
async def test_a_server_is_a_url(settings: Settings, url: str) -> None:
    """What is no http or https URL is bad usage, and an example is shown."""
    with pytest.raises(click.UsageError, match="allowed: a URL like http://127"):
        async with connect(settings, Where(server=url), recovery=True):
            pass


@pytest.mark.parametrize("content", [b"two words", b"line\nline", b"\xff\xfe", b""])
async def test_a_token_that_is_none_is_told_and_not_shown(
    settings: Settings, server: SmallServer, tmp_path: Path, content: bytes
) -> None:
    """A file with more or less than a token is bad usage; nothing of it is in the error, and nobody is asked."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(click.UsageError, match="--token-file") as refused:
        async with connect(settings, Where(server=server.url, token_file=file), recovery=True):
            pass
    assert not [word for word in ("two", "words", "line") if word in refused.value.format_message()]
    assert server.asked == []
