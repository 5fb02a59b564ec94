"""Contracts are proven on the real things too, with the fixtures of the integration tests."""

from collections.abc import AsyncIterator

import pytest

from tests.contracts.engine_stage import RealStage, Stage, simulated
from tests.integration.conftest import (
    containers,
    engine,
    image,
    postgres,
    postgres_url,
    redis_server,
    redis_url,
)

__all__ = ["containers", "engine", "image", "postgres", "postgres_url", "redis_server", "redis_url"]


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
async def stage(request: pytest.FixtureRequest, anyio_backend: object) -> AsyncIterator[Stage]:
    """One engine after the other."""
    if request.param == "simulated":
        async with simulated() as made:
            yield made
        return
    endpoint: str = request.getfixturevalue("engine")
    real = RealStage(endpoint, request.getfixturevalue("containers"))
    yield real
    await real.real_facts.aclose()
