"""The way to Postgres and Redis: connects, watches, reconnects, and says how things stand. asyncio-only."""

from actors.data_adapter.actor import DataAdapterActor
from actors.data_adapter.config import AdapterConfig

__all__ = ["AdapterConfig", "DataAdapterActor"]
