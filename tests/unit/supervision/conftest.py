"""What needs an event loop here is tested on both, on virtual clocks."""

from __future__ import annotations

import pytest

from tests.conformance.stage import Stage
from tests.conformance.virtual_time import Backend, virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop on a fresh virtual clock."""
    return virtual_backend(request.param)


@pytest.fixture
async def stage(anyio_backend: Backend) -> Stage:
    """An empty stage, made on the event loop that will run it."""
    return Stage()
