from collections.abc import Iterator
from contextlib import closing

import pytest

from coordinator.listeners import Listeners


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two free ports on loopback."""
    opened = Listeners.open("127.0.0.1", 0, 0)
    with closing(opened):
        yield opened
