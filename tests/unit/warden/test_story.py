import json
from pathlib import Path

from coordinator.log_tree import tree_lines
from coordinator.warden.story import Story
from coordinator.warden.ward import LOG_FILE
from tests.unit.warden.owing import ward


def test_it_goes_on_with_the_task_of_the_fault(tmp_path: Path) -> None:
    """A chapter stands in the tree at the place that the fault's task reserved, with who speaks, and ends."""
    story = Story(ward(tmp_path))
    chapter = story.continuing("a-task@/2/3", "warden", fault="f")
    chapter.log("docker:command", argv="docker unpause c", exit_code=0)
    chapter.end(outcome="put back")
    told = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert {tuple(message["task_level"][:1]) for message in told} == {(2,)}
    assert len({message["task_level"][1] for message in told}) == 1
    assert [message["task_level"][2] for message in told] == [1, 2, 3]
    assert {(m["task_uuid"], m["actor"], m["instance"]) for m in told} == {
        ("a-task", "warden", "test-coordinator-Chaos1")
    }
    tree = "\n".join(tree_lines(tmp_path / LOG_FILE.parent, "a-task"))
    assert "docker unpause c" in tree
    assert "put back" in tree


def test_each_other_message_is_a_task_of_its_own(tmp_path: Path) -> None:
    """Two messages share no task."""
    story = Story(ward(tmp_path))
    story.log("warden:one")
    story.log("warden:two", "ERROR", reason="é")
    one, two = (json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines())
    assert one["task_uuid"] != two["task_uuid"]
    assert (two["level"], two["reason"]) == ("ERROR", "é")


def test_a_crash_of_its_own_is_told_with_its_traceback(tmp_path: Path) -> None:
    """What would be lost with standard error is in the log."""
    story = Story(ward(tmp_path))
    story.crashed(ValueError, ValueError("odd"), None)
    (told,) = (json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines())
    assert (told["message_type"], told["reason"]) == ("warden:crashed", "ValueError: odd")


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    """Where no log can be written, telling returns all the same."""
    (tmp_path / "logs").write_text("a file in the way")
    Story(ward(tmp_path)).log("warden:one")
