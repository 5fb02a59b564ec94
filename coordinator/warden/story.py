"""What the warden tells, as Eliot lines that continue the task of each fault. Standard library only, so it writes the
lines itself, in the form of `coordinator.logging`.
"""

from __future__ import annotations

import json
import os
import time
import traceback
import uuid
from pathlib import Path
from types import TracebackType
from typing import Final

from coordinator.warden.ward import LOG_FILE, Ward

SPEAKER: Final = "warden"
_OWNER_ONLY: Final = 0o700


class Story:
    """The log of one warden. Never raises for a disk: what cannot be told must still be put back."""

    def __init__(self, ward: Ward) -> None:
        """Touch nothing yet."""
        self._path = Path(ward.data_dir) / LOG_FILE
        self._speaker = {
            "service": ward.service, "instance": ward.instance, "environment": ward.environment, "actor": SPEAKER,
        }  # fmt: skip

    def log(self, message_type: str, level: str = "INFO", **fields: object) -> None:
        """One message, a task of its own."""
        self.write(str(uuid.uuid4()), [1], {"message_type": message_type, "level": level, **fields})

    def crashed(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """A fault of the warden itself, as `sys.excepthook` has it: standard error leads nowhere."""
        told = "".join(traceback.format_exception(kind, error, trace))
        self.log("warden:crashed", "CRITICAL", reason=f"{kind.__name__}: {error}", traceback=told)

    def continuing(self, task: str, action_type: str, **fields: object) -> Chapter:
        """Go on with a serialized task, beside whatever stands at its place already, in order of time."""
        return Chapter(self, task, action_type, fields)

    def write(self, task_uuid: str, level: list[int], fields: dict[str, object]) -> None:
        """Append one line, whole."""
        said = {"task_uuid": task_uuid, "task_level": level, "timestamp": time.time(), **fields, **self._speaker}
        line = json.dumps(said, ensure_ascii=False, default=str).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.write(descriptor, line)
        except OSError:
            return
        finally:
            os.close(descriptor)


class Chapter:
    """An action within a task."""

    def __init__(self, story: Story, task: str, action_type: str, fields: dict[str, object]) -> None:
        """Say that it begins."""
        self._story = story
        self._type = action_type
        self._uuid, _, place = task.partition("@")
        around = [int(step) for step in place.rpartition("/")[0].split("/") if step]
        self._place = [*around, time.time_ns() // 1000]
        self._told = 0
        self._tell({"action_type": action_type, "action_status": "started", "level": "INFO", **fields})

    def log(self, message_type: str, level: str = "INFO", **fields: object) -> None:
        """One message in it."""
        self._tell({"message_type": message_type, "level": level, **fields})

    def end(self, **fields: object) -> None:
        """Say that it is over."""
        self._tell({"action_type": self._type, "action_status": "succeeded", "level": "INFO", **fields})

    def _tell(self, fields: dict[str, object]) -> None:
        self._told += 1
        self._story.write(self._uuid, [*self._place, self._told], fields)
