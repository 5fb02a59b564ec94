"""The HTTP API: carries requests to `ports.Control` and answers to clients. Decides nothing. asyncio-only."""

from actors.http_api.actor import HttpApiActor

__all__ = ["HttpApiActor"]
