from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from coordinator.identity import Identity
from coordinator.logging import (
    Level,
    LogHandle,
    _StdlibHandler,
    action,
    bind,
    configure,
    continuing,
    log,
    serialized_task,
    task,
    task_uuid,
    tree_lines,
)
from tests.conftest import ROOT

IDENTITY = Identity("test-coordinator", "test-coordinator-Chaos1", "testing", "1", "schema", "namespace")
SPEAKER = {"service": "test-coordinator", "instance": "test-coordinator-Chaos1", "environment": "testing"}


class Captured(list[dict[str, Any]]):
    """The messages that were written, as their sink got them."""

    def types(self) -> list[str]:
        """What each message is, with its status where it has one."""
        return [str(said.get("message_type") or f"{said['action_type']} {said['action_status']}") for said in self]


def capture(level: Level = "DEBUG") -> tuple[LogHandle, Captured]:
    """Log into a list."""
    captured = Captured()
    return configure(IDENTITY, level=level, sinks=[lambda message: captured.append(dict(message))]), captured


@pytest.fixture
def captured() -> Iterator[Captured]:
    """All messages of a test."""
    handle, messages = capture()
    with handle:
        yield messages


class TestWhoSpeaks:
    def test_every_message_says_who(self, captured: Captured) -> None:
        """Messages and both ends of actions carry service, instance, environment, actor and level."""
        with bind(actor="root/chaos"), action("work"):
            log("note", "WARNING")
        assert captured.types() == ["work started", "note", "work succeeded"]
        assert all(SPEAKER.items() <= said.items() for said in captured)
        assert {said["actor"] for said in captured} == {"root/chaos"}
        assert [said["level"] for said in captured] == ["INFO", "WARNING", "INFO"]

    def test_outside_an_actor_the_root_speaks(self, captured: Captured) -> None:
        """A message that no actor logs is the process' own; after a binding ends it is so again."""
        log("before")
        with bind(actor="root/chaos", execution="x"), bind(actor="root/other"):
            log("within")
        log("after")
        assert [said["actor"] for said in captured] == ["root", "root/other", "root"]
        assert [said.get("execution") for said in captured] == [None, "x", None]

    def test_fields_never_displace_the_speaker(self, captured: Captured) -> None:
        """A field called like a speaker's is kept under another name."""
        log("note", service="web", actor="me")
        assert captured[0]["service"] == "test-coordinator"
        assert captured[0]["own_service"] == "web"
        assert captured[0]["own_actor"] == "me"

    @pytest.mark.anyio
    async def test_tasks_and_threads_inherit_the_binding(self, captured: Captured) -> None:
        """Tasks started in a binding speak as their starter, threads too; siblings do not mix."""

        async def speak(name: str) -> None:
            with bind(actor=name):
                await anyio.lowlevel.checkpoint()
                await anyio.to_thread.run_sync(log, name)

        async with anyio.create_task_group() as group:
            for name in ("root/a", "root/b"):
                group.start_soon(speak, name)
        assert {(said["message_type"], said["actor"]) for said in captured} == {
            ("root/a", "root/a"),
            ("root/b", "root/b"),
        }

    def test_standard_logging_is_routed(self, captured: Captured) -> None:
        """Libraries' own records become messages of their level, in the current action, with their exception."""
        with action("work") as work:
            logging.getLogger("hypercorn.error").warning("port %d", 1)
            logging.getLogger("lib").error("failed", exc_info=ValueError("inner"))
        records = [said for said in captured if said.get("message_type") == "eliot:stdlib"]
        assert [(said["level"], said["logger"], said["task_uuid"]) for said in records] == [
            ("WARNING", "hypercorn.error", work.task_uuid),
            ("ERROR", "lib", work.task_uuid),
        ]
        assert records[0]["message"] == "port 1"
        assert records[1]["exception"] == ["builtins.ValueError: inner"]

    def test_record_with_wrong_arguments_is_kept(self, captured: Captured) -> None:
        """A library's mistake in its own logging raises nothing here, and what it had to say is told as it is."""
        record = logging.LogRecord("lib", logging.ERROR, "lib.py", 1, "port %d", ("http",), None)
        _StdlibHandler().handle(record)
        assert captured[0]["message"] == "port %d ('http',)"

    def test_last_log_takes_standard_records(self, captured: Captured) -> None:
        """Of two logs side by side each record is told once; the first takes over again when the second is closed."""
        handle, messages = capture()
        with handle:
            logging.getLogger("lib").warning("one")
        logging.getLogger("lib").warning("two")
        assert [said["message"] for said in messages] == ["one"]
        assert [said["message"] for said in captured] == ["one", "two"]

    def test_closed_log_leaves_standard_logging_as_it_was(self) -> None:
        """Closing gives the root logger its handlers and level back, and may be repeated."""
        root = logging.getLogger()
        before = (root.handlers[:], root.level)
        handle, messages = capture()
        handle.close()
        handle.close()
        log("after")
        assert (root.handlers, root.level) == before
        assert messages == []


class TestActions:
    def test_failure_is_an_error(self, captured: Captured) -> None:
        """An action that raises ends as failed, at level ERROR, and the error goes on."""
        with pytest.raises(ValueError, match="x"), action("work"):
            raise ValueError("x")
        assert captured.types() == ["work started", "work failed"]
        assert captured[1]["level"] == "ERROR"
        assert captured[1]["reason"] == "x"

    def test_group_is_told_by_its_leaves(self, captured: Captured) -> None:
        """Of a group of errors each leaf is named, however deep."""
        with pytest.raises(ExceptionGroup), action("work"):
            raise ExceptionGroup("outer", [ValueError("one"), ExceptionGroup("inner", [OSError("two")])])
        assert captured[1]["leaves"] == ["builtins.ValueError: one", "builtins.OSError: two"]

    @pytest.mark.anyio
    async def test_clean_stop_is_no_failure(self, captured: Captured) -> None:
        """An action left by cancellation, alone or in a group, has succeeded and says that it was cancelled."""
        with anyio.CancelScope() as scope:
            with action("outer"):
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep_forever)
                    scope.cancel()
                    with action("inner"):
                        await anyio.sleep_forever()
        ends = [said for said in captured if said["action_status"] != "started"]
        assert [(said["action_type"], said["action_status"], said["cancelled"]) for said in ends] == [
            ("inner", "succeeded", True),
            ("outer", "succeeded", True),
        ]

    @pytest.mark.anyio
    async def test_error_beside_a_cancellation_is_a_failure(self, captured: Captured) -> None:
        """A group that holds a real error beside cancellations has failed."""

        async def fail() -> None:
            raise ValueError("real")

        async def work() -> None:
            with action("work"):
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep_forever)
                    group.start_soon(fail)

        with pytest.raises(ExceptionGroup):
            await work()
        assert captured[-1]["action_status"] == "failed"
        assert captured[-1]["leaves"] == ["builtins.ValueError: real"]

    def test_success_fields_and_level_are_on_the_end(self, captured: Captured) -> None:
        """What is known at the end is on the last message; a given level is on both."""
        with action("work", "DEBUG", name="x") as work:
            work.add_success_fields(exit_code=0)
        assert [said["level"] for said in captured] == ["DEBUG", "DEBUG"]
        assert (captured[0]["name"], captured[1]["exit_code"]) == ("x", 0)

    def test_task_is_never_a_child(self, captured: Captured) -> None:
        """A unit of work is its own tree, whatever surrounds it."""
        with action("outer") as outer, task("request") as request, action("inner") as inner:
            pass
        assert request.task_uuid != outer.task_uuid
        assert inner.task_uuid == request.task_uuid


class TestContinuing:
    def test_work_goes_on_in_the_same_task(self, captured: Captured) -> None:
        """What continues a task stands where its place was reserved."""
        with task("request") as request:
            place = serialized_task()
        with continuing(place, "execution", name="x") as execution:
            pass
        assert task_uuid(place) == execution.task_uuid == request.task_uuid
        assert captured[2]["task_level"][:-1] == [2]

    def test_without_a_task_one_is_minted(self, captured: Captured) -> None:
        """Outside of any task the place is the root of a new one."""
        place = serialized_task()
        with continuing(place, "execution") as execution:
            pass
        assert execution.task_uuid == task_uuid(place)
        assert [said["task_level"] for said in captured] == [[1], [2]]

    @pytest.mark.parametrize("nested", [True, False])
    def test_second_to_continue_stands_beside(self, captured: Captured, nested: bool) -> None:
        """A place that was taken is not taken again: two incarnations never write the same place of a tree."""
        with task("request"):
            place = serialized_task()
        if not nested:
            place = serialized_task()
        for name in ("first", "second", "third"):
            with continuing(place, name):
                pass
        places = [(said["task_uuid"], tuple(said["task_level"])) for said in captured]
        assert len(set(places)) == len(places)
        own = [said["task_level"] for said in captured if said["action_type"] != "request"]
        assert own == sorted(own)
        assert {said["task_uuid"] for said in captured[2:]} == {task_uuid(place)}

    def test_recovery_of_another_process_is_in_the_same_tree(self, tmp_path: Path) -> None:
        """A task that one process began and another goes on with, twice, is one tree without a gap."""
        file = tmp_path / "log.jsonl"
        with configure(IDENTITY, file=file), task("request") as request, action("fault"):
            place = serialized_task()
        code = (
            "import sys; from pathlib import Path; from coordinator.identity import Identity\n"
            "from coordinator.logging import configure, continuing\n"
            "with configure(Identity('s', 'i', 'e', '1', 's', 'n'), file=Path(sys.argv[1])):\n"
            "    with continuing(sys.argv[2], 'recovery'): pass\n"
        )
        for _ in range(2):
            subprocess.run([sys.executable, "-c", code, str(file), place], check=True, cwd=ROOT)
        lines = tree_lines(file, request.task_uuid)
        depths = [line.index(name) for name in ("request", "fault") for line in lines if f"{name}/" in line][::2]
        recoveries = [line for line in lines if "recovery/" in line and "started" in line]
        assert len(recoveries) == 2
        assert {line.index("recovery") for line in recoveries} == {depths[1] + 4}
        assert "<unnamed>" not in "\n".join(lines)


class TestLevels:
    def test_lower_levels_are_dropped(self) -> None:
        """What is below the level is not written."""
        handle, messages = capture("WARNING")
        with handle:
            log("quiet")
            log("loud", "WARNING")
        assert messages.types() == ["loud"]

    def test_trees_stay_whole(self) -> None:
        """Actions below the level are written exactly when something in them is, start before it and end after."""
        handle, messages = capture("WARNING")
        with handle:
            with action("silent"), action("within"):
                log("quiet")
            with action("outer"):
                with action("silent child"):
                    pass
                with action("inner"):
                    log("loud", "ERROR")
                with action("silent too"):
                    pass
        assert messages.types() == ["outer started", "inner started", "loud", "inner succeeded", "outer succeeded"]

    def test_failed_action_is_written_with_its_start(self) -> None:
        """A failure is an ERROR and brings its start along."""
        handle, messages = capture("ERROR")
        with handle, pytest.raises(ValueError, match="x"), action("work"):
            raise ValueError("x")
        assert messages.types() == ["work started", "work failed"]


class TestFile:
    def test_lines_are_complete_json(self, tmp_path: Path) -> None:
        """Each message is one JSON line in a file of the owner's alone, whatever it holds."""
        file = tmp_path / "logs" / "log.jsonl"
        with configure(IDENTITY, file=file):
            log("note", text="line\nbreak", odd={1: 2**70, "undecodable": "\udc80"})
        (line,) = file.read_bytes().splitlines()
        said = json.loads(line)
        assert (said["text"], said["odd"]) == ("line\nbreak", {"1": str(2**70), "undecodable": "\udc80"})
        assert file.stat().st_mode & 0o777 == 0o600

    def test_lost_messages_are_counted(self, tmp_path: Path) -> None:
        """A message that cannot be written raises nothing; it is counted, and other sinks still get it."""
        (tmp_path / "logs").touch()
        captured = Captured()
        with configure(
            IDENTITY, file=tmp_path / "logs" / "log.jsonl", sinks=[lambda message: captured.append(dict(message))]
        ) as handle:
            log("one")
            log("two")
            assert handle.lost == 2
            (tmp_path / "logs").unlink()
            log("three")
            assert handle.lost == 2
        assert captured.types()[::2] == ["one", "two", "three"]
        assert json.loads((tmp_path / "logs" / "log.jsonl").read_bytes())["message_type"] == "three"

    def test_json_on_a_stream(self) -> None:
        """A stream gets the same JSON lines."""
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with configure(IDENTITY, stream=stream):
            log("note", text="é")
        stream.seek(0)
        assert json.loads(stream.read())["text"] == "é"

    def test_lines_for_a_person_on_a_stream(self) -> None:
        """The readable form is one line per message with time, level, actor and fields, in the stream's encoding."""
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with configure(IDENTITY, stream=stream, stream_format="console"), bind(actor="root/chaos"):
            log("note", "WARNING", text="two\nlines é", count=3)
        stream.seek(0)
        (line,) = stream.read().splitlines()
        assert line[12:].split() == ["WARNING", "root/chaos", "note", 'text="two\\nlines', '\\u00e9"', "count=3"]
