import json
import sys
import threading
import time
from pathlib import Path

import pytest

from actors.ledger.writes import Scanned
from coordinator.data_dir_lock import DataDirLock
from coordinator.record import ExecutionState, FaultState
from coordinator.warden import aftermath as module
from coordinator.warden import passes
from coordinator.warden.aftermath import DONE, IN_USE, LEFT, Aftermath
from coordinator.warden.engine import Seen
from coordinator.warden.passes import Alarm
from coordinator.warden.ward import LOG_FILE
from tests.unit.warden.owing import LATER_RUN, RUN, FakeEngine, execution, lose, row, undo, ward, write


class Played:
    """An aftermath with a fake engine, whose recoveries are a script: `statuses` in turn, the last one for ever."""

    def __init__(self, folder: Path, engine: FakeEngine, statuses: list[int], patience_s: float | None = None) -> None:
        script = (
            "import json, pathlib, sys\n"
            "file, statuses = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])\n"
            "done = int(file.read_text()) if file.exists() else 0\n"
            "file.write_text(str(done + 1))\n"
            "sys.exit(statuses[min(done, len(statuses) - 1)])\n"
        )
        self._count = folder / "recoveries"
        self.alarm = Alarm()
        self.folder = folder
        launcher = (sys.executable, "-I", "-S", "-c", script, str(self._count), json.dumps(statuses))
        self.aftermath = Aftermath(ward(folder), launcher, self.alarm, patience_s)
        self.aftermath._engine = engine

    @property
    def recoveries(self) -> int:
        return int(self._count.read_text()) if self._count.exists() else 0

    def told(self, message_type: str) -> list[dict[str, object]]:
        file = self.folder / LOG_FILE
        lines = file.read_text().splitlines() if file.exists() else []
        return [message for message in map(json.loads, lines) if message.get("message_type") == message_type]


def frozen() -> FakeEngine:
    """One container that was left paused."""
    return FakeEngine({"a": Seen("paused", RUN)})


def test_what_is_quick_is_done_before_the_recovery(tmp_path: Path) -> None:
    """Unpaused at once, then recovered once, and it is over; the lock is free again."""
    write(tmp_path, execution(), row(1, undo("unpause", "a")))
    engine = frozen()
    played = Played(tmp_path, engine, [DONE])
    assert played.aftermath.work()
    assert engine.ran == [("unpause", "a")]
    assert played.recoveries == 1
    (told,) = played.told("warden:coordinator_ended")
    assert told["outstanding"] == ["fault-1"]
    DataDirLock(tmp_path, "x").acquire()


def test_where_nothing_is_left_nothing_is_started(tmp_path: Path) -> None:
    """No ledger, or one that owes nothing: no recovery, no word in the log, and no folder is made."""
    missing = Played(tmp_path / "missing", frozen(), [LEFT])
    assert missing.aftermath.work()
    assert not (tmp_path / "missing").exists()
    write(tmp_path, row(1, undo("unpause", "a"), state=FaultState.UNDONE))
    settled = Played(tmp_path, frozen(), [LEFT])
    assert settled.aftermath.work()
    assert (settled.recoveries, settled.told("warden:coordinator_ended")) == (0, [])


def test_what_the_ledger_does_not_tell_is_looked_for(tmp_path: Path) -> None:
    """Without the word that nothing is left, the locks of what was played may still be there, whatever the ledger owes:
    recoveries follow until one has seen to it, and none while the engine is away.
    """
    seen: list[int] = []
    write(tmp_path, execution(ExecutionState.FINISHED))
    engine = frozen()
    engine.away = True
    played = Played(tmp_path, engine, [LEFT, DONE])

    def come_back() -> None:
        until = time.monotonic() + 10
        while engine.asked < 3 and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(played.recoveries)
        engine.away = False

    thread = threading.Thread(target=come_back)
    thread.start()
    assert played.aftermath.work()
    thread.join()
    assert (seen, played.recoveries, engine.ran) == ([1], 2, [])


def test_an_engine_that_stays_away_does_not_keep_a_parent(tmp_path: Path) -> None:
    """Whose time is over leaves what may be on the engine to the next start."""
    write(tmp_path, execution(ExecutionState.FINISHED))
    engine = frozen()
    engine.away = True
    played = Played(tmp_path, engine, [LEFT], patience_s=3.0)
    begun = time.monotonic()
    assert not played.aftermath.work()
    assert time.monotonic() - begun < 20
    assert played.recoveries == 1


def test_who_only_reads_is_no_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that holds the folder for a moment has not looked at the engine."""
    monkeypatch.setattr(module, "BUSY_PAUSE_S", 0.01)
    write(tmp_path, execution(ExecutionState.FINISHED))
    reader = DataDirLock(tmp_path, "test-coordinator-Chaos1")
    reader.acquire()
    played = Played(tmp_path, frozen(), [DONE])
    threading.Timer(0.2, reader.release).start()
    assert played.aftermath.work()
    assert played.recoveries == 1


def test_a_recovery_has_the_time_that_its_undos_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not killed while it waits for what was fired to come about."""
    monkeypatch.setattr(module, "RECOVERY_S", 0.0)
    slow = row(1, undo("exec", "a").model_copy(update={"settle_s": 65.0}))
    unseen = slow.fault.targets[0].model_copy(update={"effective_at": None})
    write(tmp_path, slow.model_copy(update={"fault": slow.fault.model_copy(update={"targets": (unseen,)})}))
    played = Played(tmp_path, frozen(), [DONE], patience_s=10.0)
    assert played.aftermath.work()
    assert played.recoveries == 1
    assert not played.told("warden:recovery_failed")


def test_it_goes_on_until_nothing_is_left(tmp_path: Path) -> None:
    """Recoveries that leave something, or fail, are followed by others."""
    write(tmp_path, row(1, undo("exec", "a")))
    played = Played(tmp_path, frozen(), [LEFT, 1, DONE])
    assert played.aftermath.work()
    assert played.recoveries == 3
    assert len(played.told("warden:recovery_failed")) == 1


def test_an_engine_that_is_away_is_waited_for_without_recoveries(tmp_path: Path) -> None:
    """One recovery gives verdicts; the next follows the engine's return. That it is away is said once."""
    seen: list[tuple[int, int]] = []
    write(tmp_path, row(1, undo("unpause", "a")))
    engine = frozen()
    engine.away = True
    played = Played(tmp_path, engine, [LEFT, DONE])

    def come_back() -> None:
        while engine.asked < 4:
            time.sleep(0.01)
        seen.append((played.recoveries, len(played.told("warden:engine_away"))))
        engine.away = False

    thread = threading.Thread(target=come_back)
    thread.start()
    assert played.aftermath.work()
    thread.join()
    assert seen == [(1, 1)]
    assert (engine.ran, played.recoveries) == ([("unpause", "a")], 2)


def test_it_never_acts_while_another_holds_the_folder(tmp_path: Path) -> None:
    """A new coordinator has the lock: nothing is run, and once it has put all back the warden's duty is done."""
    write(tmp_path, row(1, undo("unpause", "a")))
    new = DataDirLock(tmp_path, "test-coordinator-Chaos1")
    new.acquire()
    engine = frozen()
    played = Played(tmp_path, engine, [DONE])

    def recover() -> None:
        while played.aftermath._duty is None:
            time.sleep(0.01)
        write(tmp_path, row(1, undo("unpause", "a"), state=FaultState.UNDONE), row(2, undo("unpause", "a")))

    thread = threading.Thread(target=recover)
    thread.start()
    assert played.aftermath.work()
    thread.join()
    assert (engine.ran, played.recoveries) == ([], 0)
    new.release()


def test_a_verdict_is_owed_too(tmp_path: Path) -> None:
    """The dying coordinator holds the lock a moment longer than its line: an execution of which nothing was fired yet
    is no less of a duty, and gets its recovery.
    """
    write(tmp_path, execution())
    dying = DataDirLock(tmp_path, "test-coordinator-Chaos1")
    dying.acquire()
    played = Played(tmp_path, frozen(), [DONE])

    def end() -> None:
        while played.aftermath._duty is None:
            time.sleep(0.01)
        dying.release()

    thread = threading.Thread(target=end)
    thread.start()
    assert played.aftermath.work()
    thread.join()
    assert played.recoveries == 1


def test_a_coordinator_that_goes_on_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds the folder for a minute has recovered what it can: the rest is its own warden's."""
    monkeypatch.setattr(module, "HANDED_OVER_S", 0.1)
    write(tmp_path, row(1, undo("exec", "a")))
    new = DataDirLock(tmp_path, "test-coordinator-Chaos1")
    new.acquire()
    played = Played(tmp_path, frozen(), [DONE])
    assert played.aftermath.work()
    new.release()
    (told,) = played.told("warden:handed_over")
    assert (told["outstanding"], played.recoveries) == (["fault-1"], 0)


def test_a_recovery_that_finds_another_coordinator_is_no_end(tmp_path: Path) -> None:
    """It looks again, and goes once its own duty is done, whoever did it."""
    write(tmp_path, row(1, undo("exec", "a")))
    played = Played(tmp_path, frozen(), [IN_USE, DONE])
    assert played.aftermath.work()
    assert played.recoveries == 2


def test_another_engines_faults_are_left_to_it(tmp_path: Path) -> None:
    """This endpoint leads to another engine: said, and not tried for ever."""
    write(tmp_path, row(1, undo("unpause", "a"), engine_id="ANOTHER"))
    played = Played(tmp_path, frozen(), [LEFT])
    assert not played.aftermath.work()
    (told,) = played.told("warden:left_to_another_engine")
    assert told["outstanding"] == ["fault-1"]


def test_it_ends_when_asked_or_when_its_time_is_over(tmp_path: Path) -> None:
    """What is still left is said, and stays in the ledger for the next start."""
    write(tmp_path, row(1, undo("exec", "a")))
    asked = Played(tmp_path, frozen(), [LEFT])
    asked.alarm.ring()
    assert not asked.aftermath.work()
    late = Played(tmp_path, frozen(), [LEFT], patience_s=0.0)
    assert not late.aftermath.work()
    assert len(late.told("warden:gave_up")) == 2


SAYS_AND_HANGS = "import sys, time; sys.stderr.write('begun'); sys.stderr.flush(); time.sleep(600)"


def test_a_recovery_ends_with_the_time_for_it(tmp_path: Path) -> None:
    """One that hangs on what is stuck is killed when the warden's own time is over, and none is begun after that."""
    write(tmp_path, row(1, undo("exec", "a")))
    launcher = (sys.executable, "-I", "-S", "-c", SAYS_AND_HANGS)
    played = Played(tmp_path, frozen(), [LEFT])
    short = Aftermath(ward(tmp_path), launcher, Alarm(), 2.0)
    short._engine = frozen()
    assert not short.work()
    assert len(played.told("warden:recovery_failed")) == 1
    assert len(played.told("warden:gave_up")) == 1


def test_a_recovery_is_cut_short_when_it_is_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that comes while a recovery is at work leaves that a moment, however long it might have taken."""
    monkeypatch.setattr(passes, "HURRIED_S", 0.1)
    write(tmp_path, row(1, undo("exec", "a")))
    marker = tmp_path / "begun"
    script = f"import pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep(600)"
    alarm = Alarm()
    slow = Aftermath(ward(tmp_path), (sys.executable, "-I", "-S", "-c", script), alarm)
    slow._engine = frozen()

    def ask() -> None:
        while not marker.exists():
            time.sleep(0.01)
        alarm.ring()

    thread = threading.Thread(target=ask)
    thread.start()
    assert not slow.work()
    thread.join()


def test_a_ledger_it_cannot_read_is_left_to_the_recovery(tmp_path: Path) -> None:
    """Damaged: no quick pass, but a recovery, which knows what to do."""
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    played = Played(tmp_path, frozen(), [DONE])
    assert played.aftermath.work()
    assert played.recoveries == 1
    assert played.told("warden:no_ledger")


def test_what_a_damaged_ledger_knew_is_owed_until_the_engine_is_back(tmp_path: Path) -> None:
    """Set aside by a recovery that could not scan: it is no end, one that follows the engine's return makes it."""
    lose(tmp_path)
    engine = frozen()
    engine.away = True
    played = Played(tmp_path, engine, [LEFT])

    def come_back() -> None:
        while engine.asked < 4:
            time.sleep(0.01)
        # As a recovery does that has scanned.
        write(tmp_path, Scanned())
        engine.away = False

    thread = threading.Thread(target=come_back)
    thread.start()
    assert played.aftermath.work()
    thread.join()
    assert played.recoveries == 1
    assert len(played.told("warden:engine_away")) == 1


def test_what_a_recovery_says_is_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a container the warden's standard error is what a person reads."""
    write(tmp_path, row(1, undo("exec", "a")))
    launcher = (sys.executable, "-c", "import sys; sys.stderr.write('damaged\\n')")
    assert Aftermath(ward(tmp_path), launcher, Alarm()).work()
    assert capsys.readouterr().err == "damaged\n"


def test_a_recovery_that_cannot_start_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No interpreter, or one that hangs: said, and not the end."""
    write(tmp_path, execution(), row(1, undo("unpause", "a")))
    engine = FakeEngine({"a": Seen("paused", LATER_RUN)})
    alarm = Alarm()
    alarm.ring()
    missing = Aftermath(ward(tmp_path), ("/nowhere/python",), alarm)
    missing._engine = engine
    assert not missing.work()
    monkeypatch.setattr(module, "RECOVERY_S", 0.2)
    hanging = Aftermath(ward(tmp_path), (sys.executable, "-c", "input() or __import__('time').sleep(60)"), alarm)
    hanging._engine = engine
    assert not hanging.work()
    played = Played(tmp_path, engine, [DONE])
    assert len(played.told("warden:recovery_failed")) == 2
