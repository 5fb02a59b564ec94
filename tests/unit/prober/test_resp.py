from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext

import anyio
import pytest
from anyio.abc import SocketStream

from actors.prober import resp
from actors.prober.connections import Lost
from tests.unit.prober.scene import port_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(*replies: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers what it receives with these, one by one, then closes; its port and what it received."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    received: list[bytes] = []

    async def handle(stream: SocketStream) -> None:
        async with stream:
            for reply in replies:
                received.append(await stream.receive())
                await stream.send(reply)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield port_of(listener), received
        group.cancel_scope.cancel()


async def reply(sent: bytes) -> resp.Reply | Exception:
    """What one answer is read as, or the error that it is."""
    async with answering(sent) as (port, _):
        connection = await resp.connect(resp.parse_address(f"redis://127.0.0.1:{port}", None), _no_tls)
        try:
            return await connection.run("PING")
        except (resp.ServerError, resp.NotRedis, Lost) as error:
            return error
        finally:
            await connection.aclose()


def _no_tls() -> SSLContext:
    raise AssertionError("no certificate is needed")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"+PONG\r\n", "PONG"),
        (b":-7\r\n", -7),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"$0\r\n\r\n", ""),
        ("$6\r\né\r\nxy\r\n".encode(), "é\r\nxy"),
        (b"$1\r\n\xff\r\n", "�"),
        (b"*3\r\n:1\r\n*1\r\n+a\r\n$-1\r\n", [1, ["a"], None]),
    ],
)
async def test_answers_are_read(sent: bytes, read: resp.Reply) -> None:
    """Every kind of RESP2 has its value."""
    assert await reply(sent) == read


@pytest.mark.parametrize(
    ("sent", "error", "says"),
    [
        (b"-ERR no\r\n", resp.ServerError, "ERR no"),
        (b"HTTP/1.1 400 Bad Request\r\n", resp.NotRedis, "not an answer"),
        (b":many\r\n", resp.NotRedis, "not an answer"),
        (b"x" * 70_000, resp.NotRedis, "without an end"),
        (b"$9999999\r\n", resp.NotRedis, "9999999 bytes"),
        (b"*9999999\r\n" + b":1\r\n" * 100_001, resp.NotRedis, "more than"),
        (b"*1\r\n" * 20, resp.NotRedis, "more than"),
        (b"$5\r\nab", Lost, "closed"),
        (b"", Lost, "closed"),
    ],
    ids=range(9),
)
async def test_what_is_no_answer_is_told(sent: bytes, error: type[Exception], says: str) -> None:
    """Errors of the server, other protocols, endless replies and an early end are told apart."""
    read = await reply(sent)
    assert isinstance(read, error)
    assert says in str(read)


async def test_it_logs_in_first() -> None:
    """User, password and database go before the first command, as RESP."""
    async with answering(b"+OK\r\n", b"+OK\r\n", b"+PONG\r\n") as (port, received):
        address = resp.parse_address(f"redis://me@127.0.0.1:{port}/3", "p w")
        connection = await resp.connect(address, _no_tls)
        assert await connection.run("PING") == "PONG"
        await connection.aclose()
    assert received == [
        b"*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$3\r\np w\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ]
    assert "p w" not in repr(address)


@pytest.mark.parametrize("wrong", ["redis://", "redis://h/x", "redis://h?db=1"])
def test_a_wrong_address_is_refused(wrong: str) -> None:
    """An address that would be read as another says so."""
    with pytest.raises(ValueError, match="not the URL of a Redis server"):
        resp.parse_address(wrong, None)


def test_a_password_stands_in_for_that_of_the_url() -> None:
    """Quoted characters are unquoted; a password of its own wins."""
    assert resp.parse_address("rediss://u:a%40b@Cache:1", None) == resp.RedisAddress("cache", 1, 0, True, "u", "a@b")
    assert resp.parse_address("redis://u:a@h", "s").password == "s"
