import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from coordinator.record import FaultState
from coordinator.warden.debts import Ledger
from coordinator.warden.engine import EngineAway, Ran, Seen
from coordinator.warden.quick import quick_pass
from coordinator.warden.story import Story
from coordinator.warden.ward import LOG_FILE
from tests.unit.warden.owing import LATER_RUN, RUN, FakeEngine, row, stored, undo, ward, write


def put_back(folder: Path, engine: FakeEngine) -> None:
    """One quick pass over what a folder's ledger holds."""
    ledger = Ledger(str(folder))
    quick_pass(ledger.debts(), engine, ledger, Story(ward(folder)))


def test_many_are_put_back_by_few_commands(tmp_path: Path) -> None:
    """All that is paused by one command, all that is down by at most four, side by side."""
    down = [f"d{number}" for number in range(6)]
    write(
        tmp_path, row(1, undo("unpause", "a")), row(2, undo("unpause", "b")), row(3, *(undo("start", d) for d in down))
    )
    engine = FakeEngine({"a": Seen("paused", RUN), "b": Seen("paused", RUN)} | {d: Seen("exited", RUN) for d in down})
    put_back(tmp_path, engine)
    assert {seen.state for seen in engine.containers.values()} == {"running"}
    assert [argv[0] for argv in engine.ran] == ["unpause", "start", "start", "start", "start"]
    assert set(engine.ran[0]) == {"unpause", "a", "b"}


def test_what_is_not_ours_is_left(tmp_path: Path) -> None:
    """A later run, another state, a container that is gone, another engine's fault, one only armed: untouched."""
    write(
        tmp_path,
        row(1, undo("unpause", "later")),
        row(2, undo("unpause", "down")),
        row(3, undo("unpause", "gone")),
        row(4, undo("unpause", "foreign"), engine_id="ANOTHER"),
        row(5, undo("unpause", "armed"), state=FaultState.ARMED, fired=False),
    )
    engine = FakeEngine({
        "later": Seen("paused", LATER_RUN), "down": Seen("exited", RUN), "foreign": Seen("paused", RUN),
        "armed": Seen("paused", RUN),
    })  # fmt: skip
    put_back(tmp_path, engine)
    assert engine.ran == []
    assert not (tmp_path / LOG_FILE).exists()


def test_a_later_run_that_the_engine_lost_is_started(tmp_path: Path) -> None:
    """Whoever began that run wanted the container up; a later run that somebody ended is theirs."""
    write(tmp_path, row(1, undo("start", "lost")), row(2, undo("start", "ended")))
    engine = FakeEngine({"lost": Seen("exited", LATER_RUN, lost=True), "ended": Seen("exited", LATER_RUN)})
    put_back(tmp_path, engine)
    assert engine.ran == [("start", "lost")]


def test_the_last_fired_is_undone_first(tmp_path: Path) -> None:
    """Two faults on one container: paused, then killed. It is started, and only then looked at for the pause."""
    write(tmp_path, row(1, undo("unpause", "a")), row(2, undo("start", "a")))
    engine = FakeEngine({"a": Seen("exited", RUN)})
    put_back(tmp_path, engine)
    assert engine.ran == [("start", "a")]


@pytest.mark.parametrize("newer", ["start", "exec"])
def test_what_holds_a_container_hinders_what_was_fired_before(tmp_path: Path, newer: str) -> None:
    """Where the newer undo does not show, or is not quick, the older waits for recovery; other containers do not."""
    write(tmp_path, row(1, undo("unpause", "a")), row(2, undo("unpause", "b")), row(3, undo(newer, "a")))
    engine = FakeEngine({"a": Seen("paused", RUN), "b": Seen("paused", RUN)}, stubborn=["a"])
    if newer == "start":
        engine.containers["a"] = Seen("exited", RUN)
    put_back(tmp_path, engine)
    assert ("unpause", "b") in engine.ran
    assert not any(argv[0] == "unpause" and "a" in argv for argv in engine.ran)


def test_a_start_is_on_disk_before_it_runs(tmp_path: Path) -> None:
    """The run that it makes must be known as ours, whatever becomes of the warden; an unpause makes none."""
    write(tmp_path, row(1, undo("start", "a")), row(2, undo("unpause", "b")))

    class Looking(FakeEngine):
        def run(self, commands: Sequence[tuple[str, ...]]) -> list[Ran]:
            self.attempted = [stored(tmp_path, f"fault-{number}").attempted for number in (1, 2)]
            return super().run(commands)

    engine = Looking({"a": Seen("exited", RUN), "b": Seen("paused", RUN)})
    put_back(tmp_path, engine)
    assert engine.attempted == [("a",), ()]


def test_it_tells_what_it_ran_and_what_came_of_it(tmp_path: Path) -> None:
    """Each fault's own task has the command and whether it is put back."""
    write(tmp_path, row(1, undo("unpause", "a")), row(2, undo("unpause", "b")))
    put_back(tmp_path, FakeEngine({"a": Seen("paused", RUN), "b": Seen("paused", RUN)}, stubborn=["b"]))
    told = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    outcomes = {message["task_uuid"]: message["outcome"] for message in told if "outcome" in message}
    assert outcomes == {"task-1": "put back", "task-2": "left to recovery"}
    commands = [message["argv"] for message in told if message.get("message_type") == "docker:command"]
    assert commands == ["docker unpause b a"] * 2


def test_an_engine_that_is_away_is_said(tmp_path: Path) -> None:
    """Nothing is run, nothing is written."""
    write(tmp_path, row(1, undo("start", "a")))
    engine = FakeEngine({"a": Seen("exited", RUN)})
    engine.away = True
    with pytest.raises(EngineAway):
        put_back(tmp_path, engine)
    assert stored(tmp_path, "fault-1").attempted == ()


def test_what_nobody_saw_is_left_to_the_recovery(tmp_path: Path) -> None:
    """Whether it was ours at all takes a closer look; unless an undo of it was tried already."""
    expected: tuple[tuple[tuple[str, ...], list[tuple[str, ...]]], ...] = (((), []), (("a",), [("unpause", "a")]))
    for tried, ran in expected:
        folder = tmp_path / str(len(tried))
        folder.mkdir()
        unseen = row(1, undo("unpause", "a"), state=FaultState.FIRED)
        targets = tuple(each.model_copy(update={"effective_at": None}) for each in unseen.fault.targets)
        fault = unseen.fault.model_copy(update={"targets": targets})
        write(folder, unseen.model_copy(update={"fault": fault, "attempted": tried}))
        engine = FakeEngine({"a": Seen("paused", RUN)})
        put_back(folder, engine)
        assert engine.ran == ran
