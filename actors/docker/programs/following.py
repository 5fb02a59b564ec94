"""What was put into a network namespace by this process, and is put anew when interfaces come or go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from actors.docker.programs.nft_tables import Table, tables

Links = frozenset[tuple[int, str]]
"""Number and name of each interface."""


class Followed(NamedTuple):
    """A fault as it was put, and the interfaces there were."""

    table: Table
    wanted: dict[str, Any]
    seen: Links


class Follower(ABC):
    """Keeps what was put, and remakes it."""

    kinds: ClassVar[tuple[str, ...]]
    family: ClassVar[str]

    def __init__(self) -> None:
        self._kept: dict[str, Followed] = {}

    @abstractmethod
    def put(self, table: Table, wanted: dict[str, Any]) -> None:
        """One more fault, or the same with others on the other side. Raises Failed, Malformed."""

    @abstractmethod
    def outdated(self) -> list[str]:
        """The faults that do not know of an interface that is here, or know of one that is not."""

    def remake(self, fault: str) -> Table | None:
        """The same on the interfaces that are here now, with what it has counted: the table whose leases are to be
        renewed from now on, None where somebody else took it out. Raises Failed, Malformed.

        To be called while packets pass, as a chain is taken out.
        """
        table, wanted, _ = self._kept[fault]
        counted = tables().get(fault)
        if counted is None:
            self.forget(fault)
            return None
        made = table.anew(counted["packets"], counted["bytes"])
        self.put(made, wanted)
        return made

    def forget(self, fault: str) -> None:
        """It is no more looked after."""
        self._kept.pop(fault, None)
