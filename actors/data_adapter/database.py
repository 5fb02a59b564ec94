"""What the history asks of a Postgres driver: the port behind which the driver can be exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with `%s` for each of its values."""

    sql: str
    values: tuple[object, ...] = ()


class Database(Protocol):
    """One connection, used by one task at a time. Raises Unreachable, Denied, Unusable, BadRecord; after an error or a
    cancellation it is closed and connected anew. Names without a schema are looked up in ours alone.
    """

    async def connect(self) -> None:
        """Connect, giving up after a few seconds."""
        ...

    async def fetch(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one query and return its rows."""
        ...

    async def run(self, statements: Sequence[Statement]) -> None:
        """Run all of them in one transaction and one round trip: all or none."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """One transaction around several calls; not committed where the block is left by an error."""
        ...

    async def close(self) -> None:
        """Drop the connection; nothing to do is fine."""
        ...
