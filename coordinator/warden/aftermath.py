"""What happens once a coordinator has ended without saying that nothing is left: take its lock, put back at once what
can be, let a recovery do the rest, and go on until nothing is outstanding.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from coordinator.data_dir_lock import WARDEN, DataDirLock
from coordinator.errors import DataDirInUse, InvalidSettings
from coordinator.warden.debts import Debts, Ledger
from coordinator.warden.engine import Engine, EngineAway
from coordinator.warden.passes import Alarm, run_pass
from coordinator.warden.quick import quick_pass
from coordinator.warden.story import Story
from coordinator.warden.turn import Turn
from coordinator.warden.ward import PROGRAM, Ward

DONE: Final = 0
LEFT: Final = 5
IN_USE: Final = 6
"""How a recovery pass ends: nothing is left, something is, another coordinator has the lock."""

RECOVERY_S: Final = 120.0
"""How long a recovery pass may take before it is killed, beside what its undos wait for; they have deadlines of their
own.
"""

FIRST_PAUSE_S: Final = 0.005
BUSY_PAUSE_S: Final = 0.5
"""Between two tries at the lock, at most."""

HANDED_OVER_S: Final = 60.0
"""A coordinator that has held the lock for so long has recovered, and has a warden of its own: whatever it could not
put back is now theirs.
"""

AWAY_PAUSE_S: Final = 2.0
"""Between two looks for an engine that is away, at most."""

STUCK_PAUSE_S: Final = 60.0
"""Between two recoveries that left something, at most."""

_ERROR_TEXT: Final = 500


class Aftermath:
    """Putting back what one coordinator left. `patience_s` bounds it; None: until all is put back."""

    def __init__(self, ward: Ward, launcher: Sequence[str], alarm: Alarm, patience_s: float | None = None) -> None:
        """`launcher` starts a recovery pass in a process of its own."""
        self._ward = ward
        self._launcher = launcher
        self._alarm = alarm
        self._story = Story(ward)
        self._ledger = Ledger(ward.data_dir)
        self._engine = Engine(ward.endpoint)
        self._until = None if patience_s is None else time.monotonic() + patience_s
        self._turn = None if patience_s is not None else Turn(Path(ward.data_dir))
        """Of one that goes on for as long as it takes; any other is the parent of a coordinator, and soon gone."""
        self._held_since: float | None = None
        self._told_away = ""
        self._duty: frozenset[str] | None = None
        """What was outstanding when it ended: this and nothing that another coordinator did since."""
        self._settles_s = 0.0
        """How long a recovery may have to wait for what is outstanding."""
        self._left = False
        """Whether a recovery has left something, on the engine where it is nothing that the ledger tells."""

    def work(self) -> bool:
        """Whether nothing is left to do; False when it gave up, was asked to end, or a later warden goes on."""
        try:
            return self._worked()
        finally:
            if self._turn is not None:
                self._turn.leave()

    def _worked(self) -> bool:
        pause, recovered = FIRST_PAUSE_S, False
        while self._ledger.exists():
            try:
                away = self._quickly()
            except DataDirInUse as busy:
                if self._duty_is_done() or self._handed_over():
                    return True
                if not self._rest(pause, str(busy)):
                    return False
                pause = min(pause * 2, BUSY_PAUSE_S)
                continue
            if away is None:
                return True
            # Without an engine a recovery only gives verdicts: once is enough.
            if not (away and recovered):
                recovered = True
                pause = max(pause, FIRST_PAUSE_S * 32)
                if (ended := self._recover()) == DONE:
                    return True
                self._left |= ended == LEFT
                if ended == LEFT and not away and self._only_foreign():
                    return False
            if not self._rest(pause, away or "something is left"):
                return False
            pause = min(pause * 2, AWAY_PAUSE_S if away else STUCK_PAUSE_S)
        return True

    def _rest(self, pause_s: float, reason: str) -> bool:
        """Sleep before the next try; False when there is to be none."""
        if self._superseded():
            return False
        late = self._until is not None and time.monotonic() + pause_s > self._until
        if late or self._alarm.asked:
            asked = "asked to end" if self._alarm.asked else "the time for it is over"
            self._story.log("warden:gave_up", "ERROR", reason=f"{asked}: {reason}")
            return False
        self._alarm.sleep(pause_s)
        return True

    def _quickly(self) -> str | None:
        """The quick pass, with the lock held. None when nothing is left; else why it could not look, or empty.

        A ledger that owes nothing is not enough where something was played: the coordinator ended without the word that
        the engine holds nothing of it any more. Raises DataDirInUse.
        """
        lock = DataDirLock(self._ledger.path.parent, self._ward.instance, WARDEN)
        try:
            lock.acquire()
        except InvalidSettings as unusable:
            return str(unusable)
        self._held_since = None
        try:
            debts = self._ledger.debts()
            if debts.settled and not debts.played:
                return None
            self._settles_s = debts.settles_s
            if self._duty is None:
                self._tell(debts)
            if self._left and not debts.fired:
                # A recovery is no way to wait for an engine.
                self._engine.id()
            quick_pass(debts, self._engine, self._ledger, self._story)
        except EngineAway as away:
            if str(away) != self._told_away:
                self._told_away = str(away)
                self._story.log("warden:engine_away", "WARNING", reason=str(away))
            return str(away)
        except (sqlite3.Error, ValueError, KeyError, TypeError) as unreadable:
            # The recovery knows what to do with a ledger that is damaged or of another version.
            self._story.log("warden:no_ledger", "ERROR", reason=f"{type(unreadable).__name__}: {unreadable}")
        finally:
            lock.release()
        return ""

    def _tell(self, debts: Debts) -> None:
        self._duty = debts.duty
        self._story.log(
            "warden:coordinator_ended",
            "WARNING",
            outstanding=sorted(debts.ids),
            unfinished=sorted(debts.unfinished),
            owes_scan=debts.owes_scan,
        )

    def _duty_is_done(self) -> bool:
        """Whether another coordinator, which holds the lock, has put back what this one left."""
        try:
            debts = self._ledger.debts()
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            return False
        if self._duty is None:
            self._duty = debts.duty
        if not self._duty and debts.played:
            # Whoever holds the lock need not have looked at the engine: it may be a command that only reads.
            return False
        return self._duty.isdisjoint(debts.duty)

    def _handed_over(self) -> bool:
        """Whether another coordinator has held the lock for so long that what is left is in its hands."""
        now = time.monotonic()
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since < HANDED_OVER_S:
            return False
        self._story.log("warden:handed_over", "WARNING", outstanding=sorted(self._duty or ()))
        return True

    def _superseded(self) -> bool:
        """Whether the warden of a later coordinator goes on with what is left, so that there is only one at a time."""
        if self._turn is None:
            return False
        self._turn.take()
        if not self._turn.is_over():
            return False
        self._story.log("warden:left_to_another_warden", outstanding=sorted(self._duty or ()))
        return True

    def _only_foreign(self) -> bool:
        """Whether all that is left belongs to an engine that this endpoint does not lead to."""
        try:
            left, engine_id = self._ledger.debts(), self._engine.id()
        except (OSError, sqlite3.Error, ValueError, KeyError, TypeError):
            return False
        foreign = {debt.fault_id for debt in left.fired if debt.engine_id != engine_id}
        if not left.ids or not left.ids <= foreign:
            return False
        self._story.log("warden:left_to_another_engine", "ERROR", outstanding=sorted(foreign), engine=engine_id)
        return True

    def _recover(self) -> int:
        """A whole recovery pass; how it ended."""
        begun = time.monotonic()
        time_left = RECOVERY_S + self._settles_s
        if self._until is not None:
            time_left = min(time_left, self._until - begun)
        if time_left <= 0:
            return LEFT
        try:
            done = run_pass(self._launcher, os.environ | dict(self._ward.environ), self._alarm, begun + time_left)
        except (OSError, subprocess.TimeoutExpired) as failed:
            self._story.log("warden:recovery_failed", "ERROR", reason=str(failed))
            return LEFT
        fields: dict[str, object] = {"status": done.returncode, "duration": round(time.monotonic() - begun, 3)}
        # Where the warden is the first process of a container, a person reads this.
        with suppress(OSError):
            sys.stderr.write(done.stderr.decode(errors="replace"))
            sys.stderr.flush()
        if done.returncode in {DONE, LEFT, IN_USE}:
            self._story.log("warden:recovery", "INFO" if done.returncode == DONE else "WARNING", **fields)
            return done.returncode
        error = done.stderr.decode(errors="replace").strip()[-_ERROR_TEXT:]
        self._story.log("warden:recovery_failed", "ERROR", reason=error, **fields)
        return LEFT


def recovery_launcher() -> tuple[str, ...]:
    """How a recovery pass is started: with all installed packages, and no module of the working folder."""
    return (sys.executable, "-P", PROGRAM, "recover")
