"""What a ledger says is still to be put back, read with the standard library alone; and the one thing that is written:
that an undo was tried. Whoever uses it holds the lock on DATA_DIR.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from coordinator.faults.needs import Need, hit_until, judge
from coordinator.warden.engine import Seen
from coordinator.warden.ward import LEDGER_FILE

KNOWN_VERSION: Final = 2
"""The version of the ledger's tables that this module reads; any other is left to the whole program."""

UNPAUSE: Final = "unpause"
START: Final = "start"
QUICK: Final = (UNPAUSE, START)
"""Undos that the engine does at once and that a look at it shows: `docker VERB CONTAINER`."""

_BUSY_S: Final = 2.0
_OWES_SCAN: Final = 1
"""The application id of a ledger that began in place of a damaged one, until the engine is scanned."""
_OUTSTANDING: Final = """
    SELECT id, engine_id, task, document FROM faults WHERE state NOT IN ('undone', 'not_injected') ORDER BY seq
"""
_UNFINISHED: Final = "SELECT id FROM executions WHERE state != 'finished'"
_PLAYED: Final = "SELECT EXISTS (SELECT 1 FROM executions)"
_REMEMBER: Final = """
    UPDATE faults SET state = 'undoing', document = ?, change = (SELECT latest + 1 FROM outbox) WHERE id = ?
"""


@dataclass(frozen=True, slots=True)
class Owed:
    """What one container of a fault is owed, as `needs.judge` asks for it. `quick` is the verb, None for any other, and
    where nobody saw the effect: whether that was ours at all takes a closer look.
    """

    container_id: str
    name: str
    planned_run: str
    needed_in: tuple[str, ...]
    restores: str | None
    quick: str | None
    attempted: bool
    hit_until: str | None
    settles_s: float = 0.0
    """How long the engine has to be quiet before what nobody saw come about is known not to."""

    def need(self, seen: Seen, *, tried: bool = False) -> Need:
        """Whether it still has to be put back, the container being as it was seen."""
        return judge(
            state=seen.state, run=seen.run, planned_run=self.planned_run, needed_in=self.needed_in,
            restores=self.restores, attempted=self.attempted or tried, hit_until=self.hit_until, lost=seen.lost,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Debt:
    """A fault that was fired and not yet put back."""

    fault_id: str
    fault_type: str
    engine_id: str
    task: str
    fired_at: datetime
    owed: tuple[Owed, ...]

    @property
    def containers(self) -> frozenset[str]:
        """What it may have changed."""
        return frozenset(owed.container_id for owed in self.owed)

    @property
    def settles_s(self) -> float:
        """How long a recovery waits for it before it can say that nothing comes about any more."""
        return max((owed.settles_s for owed in self.owed), default=0.0)


@dataclass(frozen=True, slots=True)
class Debts:
    """All that was outstanding at one look. `fired` are the newest first; `ids` also of those that were only armed."""

    ids: frozenset[str]
    fired: tuple[Debt, ...]
    unfinished: frozenset[str]
    """The executions that still wait for their verdict."""
    owes_scan: bool = False
    """Whether a damaged ledger was set aside, and nobody has scanned the engine for what it knew."""
    played: bool = False
    """Whether it knows any execution: locks and helpers of one that has ended may still be on the engine."""

    @property
    def settles_s(self) -> float:
        """How long one recovery may have to wait for all of them: one after another, if they share a container."""
        return sum(debt.settles_s for debt in self.fired)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do, as far as a ledger can tell."""
        return not self.duty and not self.owes_scan

    @property
    def duty(self) -> frozenset[str]:
        """All that something is still to be done for: faults and executions."""
        return self.ids | self.unfinished


class Ledger:
    """The file, opened for each question."""

    def __init__(self, data_dir: str) -> None:
        """Touch nothing yet."""
        self.path = Path(data_dir) / LEDGER_FILE

    def exists(self) -> bool:
        """Whether there is one, or a damaged one that was set aside and has none in its place yet."""
        return self.path.exists() or any(self.path.parent.glob("ledger.corrupt-*"))

    def debts(self) -> Debts:
        """What is outstanding. Raises sqlite3.Error, and ValueError, KeyError, TypeError for rows it cannot read."""
        with closing(self._connected()) as connection:
            rows = connection.execute(_OUTSTANDING).fetchall()
            unfinished = frozenset(execution_id for (execution_id,) in connection.execute(_UNFINISHED))
            (played,) = connection.execute(_PLAYED).fetchone()
            (mark,) = connection.execute("PRAGMA application_id").fetchone()
        read = [_debt(*row) for row in rows]
        fired = sorted((debt for debt in read if debt is not None), key=lambda debt: debt.fired_at, reverse=True)
        ids = frozenset(row[0] for row in rows)
        return Debts(ids, tuple(fired), unfinished, mark == _OWES_SCAN, bool(played))

    def remember(self, fault_id: str, container_ids: Collection[str]) -> None:
        """On disk when it returns: an undo was tried, so that a later run of these is known to be ours."""
        with closing(self._connected()) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            (document,) = connection.execute("SELECT document FROM faults WHERE id = ?", (fault_id,)).fetchone()
            row = json.loads(document)
            row["attempted"] = sorted({*row.get("attempted", ()), *container_ids})
            row["fault"]["state"] = "undoing"
            connection.execute(_REMEMBER, (json.dumps(row, ensure_ascii=False), fault_id))
            connection.execute("UPDATE outbox SET latest = latest + 1")
            connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != KNOWN_VERSION:
                raise sqlite3.NotSupportedError(f"the ledger is of version {version}, the warden reads {KNOWN_VERSION}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _debt(fault_id: str, engine_id: str, task: str, document: str) -> Debt | None:
    row = json.loads(document)
    fault = row["fault"]
    if not fault.get("fired_at"):
        return None
    fired = datetime.fromisoformat(fault["fired_at"])
    effective = {target["container_id"] for target in fault["targets"] if target.get("effective_at")}
    put_back = {target["container_id"] for target in fault["targets"] if target.get("undone_at")}
    attempted, unsettled = set(row.get("attempted", ())), set(row.get("unsettled", ()))
    owed = [
        _owed(
            undo,
            undo["container_id"] in attempted,
            None if undo["container_id"] in effective else hit_until(fired),
            settles=undo["container_id"] not in attempted | (effective - unsettled),
        )
        for undo in reversed(row["undos"])
        if undo["container_id"] not in put_back
    ]
    return Debt(fault_id, str(fault["type"]), engine_id, task, fired, tuple(owed))


def _owed(undo: Mapping[str, Any], attempted: bool, hit_until: str | None, *, settles: bool) -> Owed:  # noqa: FBT001  # one caller
    container_id, restores = str(undo["container_id"]), undo.get("restores")
    known = attempted or hit_until is None
    return Owed(
        container_id=container_id,
        name=str(undo["name"]),
        planned_run=str(undo["started_at"]),
        needed_in=tuple(undo.get("needed_in", ())),
        restores=restores,
        quick=_quick(undo["command"], container_id) if known and restores is not None else None,
        attempted=attempted,
        hit_until=hit_until,
        settles_s=max(float(undo.get("settle_s", 0)), float(undo.get("lingers_s", 0))) if settles else 0.0,
    )


def _quick(command: Mapping[str, Any], container_id: str) -> str | None:
    """The verb of a command that is nothing but one of QUICK on this container."""
    argv, env = list(command.get("argv", ())), command.get("env")
    return next((verb for verb in QUICK if argv == [verb, container_id] and not env), None)
