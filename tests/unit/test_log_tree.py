from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.identity import Identity
from coordinator.log_output import rotated
from coordinator.log_tree import tree_lines
from coordinator.logging import action, bind, configure, log, task

IDENTITY = Identity("test-coordinator", "test-coordinator", "testing", "1", "test", "test")


def write_log(file: Path, *, max_bytes: int = 10**6) -> str:
    """Log two tasks; the uuid of the first."""
    with configure(IDENTITY, file=file, max_bytes=max_bytes, keep=100), bind(actor="root/executions"):
        with task("http:request", path="/x") as request, action("execution"):
            for number in range(5):
                with action("docker:command", argv=f"docker kill {number}") as command:
                    log("note", "WARNING", text="something")
                    command.add_success_fields(exit_code=0)
        with task("other"):
            pass
    return request.task_uuid


def names(lines: tuple[str, ...]) -> list[str]:
    """What the nodes of the tree are called."""
    return [line.strip("│├└─ ").split("/")[0] for line in lines if "started" in line]


def test_tree_shows_one_task(tmp_path: Path) -> None:
    """The tree nests request, execution and commands, and nothing of another task; who speaks is not repeated."""
    uuid = write_log(tmp_path / "log.jsonl")
    lines = tree_lines(tmp_path / "log.jsonl", uuid)
    assert lines[0] == uuid
    assert names(lines) == ["http:request", "execution", *["docker:command"] * 5]
    text = "\n".join(lines)
    assert "exit_code: 0" in text
    assert "level: WARNING" in text
    assert not any(word in text for word in ("other", "service:", "instance:", "environment:", "level: INFO"))


def test_tree_is_what_eliot_tree_prints(tmp_path: Path) -> None:
    """The same nodes in the same order as the eliot-tree command shows, given the complete lines of the task."""
    uuid = write_log(tmp_path / "log.jsonl")
    hidden = "service instance environment action_status action_type task_level task_uuid message_type"
    ignored = [option for field in hidden.split() for option in ("-i", field)]
    program = str(Path(sys.executable).with_name("eliot-tree"))
    command = [program, "--color", "never", *ignored, "--task-uuid", uuid, str(tmp_path / "log.jsonl")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout.splitlines()
    repeated = ("level: INFO", "actor: root/executions")
    assert [
        line.strip("│├└─ ") for line in tree_lines(tmp_path / "log.jsonl", uuid) if not line.endswith(repeated)
    ] == [line.strip("│├└─ ") for line in shown if line.strip() and not line.endswith(repeated)]


def test_rotated_parts_are_one_log(tmp_path: Path) -> None:
    """A task that was spread over rotated files is whole, and a folder is read like its files."""
    uuid = write_log(tmp_path / "log.jsonl", max_bytes=700)
    assert len(rotated(tmp_path / "log.jsonl")) > 3
    lines = tree_lines(tmp_path / "log.jsonl", uuid)
    assert names(lines) == ["http:request", "execution", *["docker:command"] * 5]
    assert tree_lines(tmp_path, uuid) == lines


@pytest.mark.parametrize(
    "damage",
    [
        "not JSON at all {uuid}",
        '{{"task_uuid": "{uuid}", "task_le',
        '["{uuid}"]',
        '{{"task_uuid": "{uuid}", "task_level": "x", "timestamp": 1}}',
        '{{"task_uuid": "{uuid}", "task_level": [9], "timestamp": null}}',
        '{{"task_uuid": "{uuid}", "task_level": [9, 1], "timestamp": 1, "action_type": "x", "action_status": "?"}}',
        '{{"task_uuid": "{uuid}", "task_level": [4], "timestamp": 1, "action_type": "x", "action_status": "failed"}}',
    ],
)
def test_damaged_lines_are_passed_over(tmp_path: Path, damage: str) -> None:
    """A torn or foreign line, wherever it stands, costs nothing but itself."""
    file = tmp_path / "log.jsonl"
    uuid = write_log(file)
    whole = tree_lines(file, uuid)
    file.write_text(file.read_text() + damage.format(uuid=uuid))
    assert tree_lines(file, uuid) == whole


def test_place_that_was_written_twice_shows_its_first(tmp_path: Path) -> None:
    """Two messages in one place of the tree do not end in an error: the first stands."""
    file = tmp_path / "log.jsonl"
    uuid = write_log(file)
    whole = tree_lines(file, uuid)
    doubled = [json.loads(line) | {"action_type": "impostor"} for line in file.read_text().splitlines()]
    file.write_text(file.read_text() + "".join(f"{json.dumps(message)}\n" for message in doubled))
    assert tree_lines(file, uuid) == whole


def test_unfinished_task_is_shown(tmp_path: Path) -> None:
    """What a killed coordinator began is in the tree, without an end."""
    file = tmp_path / "log.jsonl"
    uuid = write_log(file)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))
    assert names(tree_lines(file, uuid)) == ["http:request", "execution", "docker:command"]


def test_unknown_task_has_no_tree(tmp_path: Path) -> None:
    """Of a task that the log does not know there is nothing, nor of a log that does not exist."""
    write_log(tmp_path / "log.jsonl")
    assert tree_lines(tmp_path / "log.jsonl", "no-such-task") == ()
    assert tree_lines(tmp_path / "nothing.jsonl", "no-such-task") == ()


def test_an_actor_is_named_where_it_changes(tmp_path: Path) -> None:
    """In a task that goes from one actor to another, each is named once, where it takes over."""
    log_file = configure(IDENTITY, file=tmp_path / "log.jsonl")
    with log_file, bind(actor="root/http_api"), task("http:request") as request:
        with action("parse"), bind(actor="root/running/1"), action("execution"), action("docker:command"):
            log("note")
        log("answered")
    lines = [line.strip("│├└─ ") for line in tree_lines(tmp_path / "log.jsonl", request.task_uuid)]
    assert [line for line in lines if line.startswith("actor:")] == ["actor: root/http_api", "actor: root/running/1"]
