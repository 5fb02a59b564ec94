import pytest

from actors.prober.tcp_probe import look
from tests.unit.prober.scene import serving, unused_port

pytestmark = pytest.mark.anyio


async def test_a_listener_is_good() -> None:
    """A connection that opens is good; its value is the seconds it took."""
    async with serving(lambda _: b"") as server:
        reading = await look("127.0.0.1", server.port)
    assert reading.ok
    assert reading.value == reading.latency_s
    assert reading.latency_s is not None
    assert reading.latency_s >= 0


async def test_nobody_listening_is_an_error() -> None:
    """A port on which nobody listens raises."""
    port = await unused_port()
    with pytest.raises(ConnectionRefusedError):
        await look("127.0.0.1", port)
