import threading
import time
from pathlib import Path

import pytest

from coordinator.warden import aftermath
from coordinator.warden.aftermath import LEFT
from coordinator.warden.engine import Seen
from coordinator.warden.turn import TURN_FILE, Turn
from tests.unit.warden.owing import RUN, FakeEngine, row, undo, write
from tests.unit.warden.test_aftermath import Played


def test_the_last_one_goes_on(tmp_path: Path) -> None:
    """A later warden ends the turn of the one before, not the other way round, and only while it lives."""
    first, second = Turn(tmp_path), Turn(tmp_path)
    first.take()
    assert not first.is_over()
    second.take()
    assert (first.is_over(), second.is_over()) == (True, False)
    first.leave()
    assert not second.is_over()
    second.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_one_ends_nobodys_turn(tmp_path: Path) -> None:
    """Its lock went with it."""
    turn = Turn(tmp_path)
    turn.take()
    (tmp_path / "dead").touch()
    (tmp_path / "dead").replace(tmp_path / TURN_FILE)
    assert not turn.is_over()
    turn.leave()
    assert (tmp_path / TURN_FILE).exists()


def test_where_nothing_can_be_written_nobody_gives_way(tmp_path: Path) -> None:
    """Two wardens are better than none."""
    turn = Turn(tmp_path / "missing")
    turn.take()
    assert not turn.is_over()
    turn.leave()


def test_of_wardens_that_wait_one_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each coordinator that ends with something outstanding leaves a warden: the one before it goes, the last goes on
    until all is put back.
    """
    monkeypatch.setattr(aftermath, "AWAY_PAUSE_S", 0.02)
    write(tmp_path, row(1, undo("unpause", "a")))
    engine = FakeEngine({"a": Seen("paused", RUN)})
    engine.away = True
    played = [Played(tmp_path, engine, [LEFT]) for _ in range(3)]
    threads = []
    for number, each in enumerate(played):
        threads.append(threading.Thread(target=each.aftermath.work))
        threads[-1].start()
        while each.aftermath._turn is None or each.aftermath._turn._own is None:
            time.sleep(0.01)
        if number:
            threads[number - 1].join()
    assert [thread.is_alive() for thread in threads] == [False, False, True]
    assert len(played[0].told("warden:left_to_another_warden")) == 2
    played[2].alarm.ring()
    threads[2].join()
    assert not (tmp_path / TURN_FILE).exists()
