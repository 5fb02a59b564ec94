"""The timeline entries of all executions as one capped stream, in the ledger's order, each once. Knows no registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from redis.typing import EncodableT, FieldT

from actors.data_adapter.redis_store import Overtaken, RedisStore
from actors.data_adapter.store import Place
from coordinator.outbox import EntryTold, Outbox
from coordinator.record import stamp

KEPT: Final = 10_000
"""Entries, about: Redis cuts whole blocks."""
BATCH: Final = 500


class EventStream:
    """Feeds `{namespace}:events`; `{namespace}:feed` remembers by ledger how far.

    Where Redis remembers nothing, as one that keeps nothing on disk after its restart, it goes on from where this
    process was; a process that finds nothing begins with what comes next.
    """

    def __init__(self, redis: RedisStore, namespace: str, outbox: Outbox, place: Place) -> None:
        """Write nothing yet. The place is to outlive this object."""
        self._redis = redis
        self._outbox = outbox
        self._place = place
        self._events = f"{namespace}:events"
        self._feed = f"{namespace}:feed"
        self._read = 0
        """From here on is what Redis lacks; between the place and here is nothing for it."""

    async def open(self) -> None:
        """Find the place. Raises LedgerUnavailable, and as RedisStore.asked."""
        place, ledger = self._place, await self._outbox.ledger()
        if ledger != place.ledger:
            place.ledger, place.position = ledger, None
        async with self._redis.asked() as client:
            stored = await client.hget(self._feed, ledger)
        latest = (await self._outbox.changes(0, 0)).latest
        if stored is not None:
            place.position = int(stored)
        if place.position is None or place.position > latest:
            place.position = latest
        self._read = place.position

    async def send(self) -> bool:
        """Send one batch; whether there is more. Raises LedgerUnavailable, and as RedisStore.asked."""
        batch = await self._outbox.changes(self._read, BATCH, timeline_only=True)
        if batch.ledger != self._place.ledger:
            await self.open()
            return True
        entries = [change for change in batch.changes if isinstance(change, EntryTold)]
        if entries:
            try:
                await self._append(entries, batch.position)
            except Overtaken:
                # A session that was cut off has still done its work.
                await self.open()
                return True
            self._place.position = batch.position
        self._read = batch.position
        return batch.position != batch.latest

    async def news(self) -> None:
        """Wait for changes."""
        await self._outbox.news(self._read)

    async def _append(self, entries: Sequence[EntryTold], position: int) -> None:
        async with self._redis.asked() as client, client.pipeline(transaction=True) as together:
            await together.watch(self._feed)
            stored = await together.hget(self._feed, self._place.ledger)
            if stored is not None and int(stored) != self._place.position:
                raise Overtaken
            together.multi()  # type: ignore[no-untyped-call]  # the library types all but this
            for told in entries:
                together.xadd(self._events, _fields(told), maxlen=KEPT, approximate=True)
            together.hset(self._feed, self._place.ledger, str(position))
            await together.execute()


def _fields(told: EntryTold) -> dict[FieldT, EncodableT]:
    """An entry as the API shows it, without what it lacks."""
    entry = told.entry
    shown = {"phase": entry.phase, "fault": entry.fault, "target": entry.target, "text": entry.text}
    return {
        "uid": told.uid,
        "execution": told.execution_id,
        "at": stamp(entry.at),
        "offset_s": entry.offset_s,
        "event": entry.event,
        **{name: value for name, value in shown.items() if value},
    }
