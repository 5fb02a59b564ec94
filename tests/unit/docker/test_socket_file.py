import socket
from pathlib import Path

import pytest

from actors.docker.socket_file import refuses

pytestmark = pytest.mark.anyio


async def test_a_file_with_nobody_behind_it_refuses(tmp_path: Path) -> None:
    """A socket file whose listener is gone refuses; with a listener behind it, it does not."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert not await refuses(f"unix://{path}")
    assert await refuses(f"unix://{path}")


async def test_no_file_and_an_engine_elsewhere_do_not_refuse(tmp_path: Path) -> None:
    """Nothing mounted at all, or an engine over TCP, is no deaf socket: a restart would not help."""
    assert not await refuses(f"unix://{tmp_path / 'missing.sock'}")
    assert not await refuses("tcp://127.0.0.1:1")
