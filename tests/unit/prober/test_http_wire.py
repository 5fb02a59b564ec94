"""What http probes make of answers as they come over the wire, encrypted or not."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.tls import TLSListener

from actors.prober import Prober
from coordinator.record import Reading
from coordinator.scenarios.probes import Probe
from tests.unit.certificates import Certificate, self_signed
from tests.unit.prober.scene import DictionaryEngine, OneOutcome, answer, port_of, probe, secrets

pytestmark = pytest.mark.anyio

LARGE = 4_000_000


async def sampled(asked: Probe) -> Reading:
    """One reading."""
    return await Prober(facts=DictionaryEngine(), runner=OneOutcome(), secrets=secrets).sample(asked, {})


@asynccontextmanager
async def server(*pieces: bytes, read: int = 1, tls: Certificate | None = None) -> AsyncIterator[int]:
    """A server that reads at least so many bytes, sends these pieces one by one, and closes; its port."""
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)

    async def handle(stream: ByteStream) -> None:
        async with stream:
            got = 0
            try:
                while got < read:
                    got += len(await stream.receive())
                for piece in pieces:
                    await stream.send(piece)
                    await anyio.sleep(0.001)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    async with plain, anyio.create_task_group() as group:
        if tls is None:
            group.start_soon(plain.serve, handle)
        else:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls.certificate, tls.key)
            group.start_soon(TLSListener(plain, context, standard_compatible=False).serve, handle)
        yield port_of(plain)
        group.cancel_scope.cancel()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = (OK + b"Transfer-Encoding: chunked\r\n\r\n", b'3\r\n{"a\r\n', b'4\r\n": 7\r\n1\r\n}\r\n0\r\n\r\n')
HINTED = (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK + b'Content-Length: 8\r\n\r\n{"a": 9}')


@pytest.mark.parametrize(
    ("pieces", "value"),
    [
        (CHUNKED, 7.0),
        ((OK + b"\r\n", b'{"a": ', b"8}"), 8.0),
        (HINTED, 9.0),
        ((b'HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}rest',), 1.0),
    ],
    ids=["chunks", "to the end", "hints first", "old"],
)
async def test_a_body_ends_as_it_says(pieces: tuple[bytes, ...], value: float) -> None:
    """In chunks, with the connection, after interim answers, or by its length."""
    async with server(*pieces) as port:
        reading = await sampled(probe("http", url=f"http://127.0.0.1:{port}/", json_path="a"))
    assert (reading.value, reading.error) == (value, "")


async def test_a_head_has_no_body() -> None:
    """The length that an answer to HEAD tells is not waited for."""
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n") as port:
        assert (await sampled(probe("http", url=f"http://127.0.0.1:{port}/", method="HEAD"))).ok


async def test_an_answer_may_come_before_the_whole_request() -> None:
    """A server that refuses a large body and closes has answered."""
    async with server(answer("413 Too Large")) as port:
        reading = await sampled(
            probe("http", url=f"http://127.0.0.1:{port}/", method="POST", body="x" * LARGE, expect={"status": 413})
        )
    # The kernel may throw the answer away with the connection; then it is broken, and nothing else.
    assert reading.ok or reading.error.startswith("broken: ConnectionResetError")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", "broken: RemoteProtocolError: the server closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "broken: RemoteProtocolError"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "broken: RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", "broken: RemoteProtocolError"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "broken: RemoteProtocolError"),
    ],
    ids=["nothing", "half a head", "another protocol", "an endless head", "an upgrade"],
)
async def test_what_is_no_answer_is_broken(sent: bytes, error: str) -> None:
    """Silence, half a head, other protocols and too much of a head are told, and nothing is waited for."""
    async with server(*filter(None, (sent,))) as port:
        assert (await sampled(probe("http", url=f"http://127.0.0.1:{port}/"))).error.startswith(error)


async def test_certificates_are_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS, http and redis are good with a certificate the machine trusts for that very host, and with no other."""
    trusted, stranger = self_signed(tmp_path, "trusted"), self_signed(tmp_path, "stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.certificate))
    async with (
        server(answer(), tls=trusted) as known,
        server(answer(), tls=stranger) as unknown,
        server(b"+PONG\r\n", tls=trusted) as redis,
        server(b"+PONG\r\n", tls=stranger) as other_redis,
    ):
        good = [
            await sampled(probe("http", url=f"https://127.0.0.1:{known}/")),
            await sampled(probe("redis", url=f"rediss://127.0.0.1:{redis}")),
        ]
        bad = [
            await sampled(probe("http", url=f"https://127.0.0.1:{unknown}/")),
            await sampled(probe("http", url=f"https://localhost:{known}/")),
            await sampled(probe("redis", url=f"rediss://127.0.0.1:{other_redis}")),
        ]
    assert [reading.error for reading in good] == ["", ""]
    assert [reading.error.split(":")[0] for reading in bad] == ["tls"] * 3
