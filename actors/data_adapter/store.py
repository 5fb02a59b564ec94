"""What a store is to the adapter: something that is opened, has its turns, and is let go; and the ways it may fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from coordinator.errors import CoordinatorError


class Unreachable(CoordinatorError):
    """A store does not serve us now and may by itself do so later; the message is the reason, without any secret."""


class Denied(CoordinatorError):
    """A store answers and will not serve us until a person acts; tried again, slowly. The message says what to do."""


class OfAnother(Denied):
    """The schema belongs to another instance: two of one schema must not both go on."""


class Unusable(CoordinatorError):
    """A store's URL can never work; trying again is of no use until the setting is changed."""


class BadRecord(CoordinatorError):
    """A store takes our writes, but not this one: sending it again would fail for ever."""


@dataclass(slots=True)
class Place:
    """How far the stream of events was fed, by this process."""

    ledger: str = ""
    position: int | None = None


class Keeper(Protocol):
    """One store kept connected and up to date. `open` and `turn` raise Unreachable, Denied, Unusable or
    LedgerUnavailable; then, or when cancelled, it is closed and opened anew.
    """

    @property
    def name(self) -> str:
        """`postgres` or `redis`."""
        ...

    async def open(self) -> None:
        """Connect and prepare, giving up after a few seconds."""
        ...

    async def turn(self) -> bool:
        """Do what is due; whether more is to be done at once."""
        ...

    async def news(self) -> None:
        """Wait until something new is to be told to the store."""
        ...

    @property
    def impaired(self) -> str | None:
        """What does not work although the store serves us."""
        ...

    async def farewell(self) -> None:
        """Put in order what must not outlast us; called after a turn, before the last `close`."""
        ...

    async def close(self) -> None:
        """Let the connection go, whatever state it is in. Never raises for what it finds; nothing to do is fine."""
        ...


def first_line(error: BaseException) -> str:
    """An error in one line for a person, or its kind where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def without(text: str, *secrets: str) -> str:
    """The text with every secret masked, whatever a library put into its message."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text
