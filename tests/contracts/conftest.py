"""Contracts are proven on the real things too, with the fixtures of the integration tests."""

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
