"""One open helper: lines of JSON to `netns.py hold` and back, and a sign of life every second."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from actors.docker.processes import dispose
from coordinator.faults.commands import DockerCommand, Outcome

BEAT_S: Final = 1.0
LONGEST_LINE: Final = 1 << 20
END_S: Final = 5.0
"""How long a helper may take to end once its input has ended."""


def _unheard(event: str, container_id: str, text: str) -> None:
    """Nobody listens."""


class Session:
    """Opened by whoever started the process; `serve` is its life. `name` is its container's, empty on the host. An
    answer may take `slowness` times as long as its command says.
    """

    def __init__(self, process: Process, name: str, *, slowness: float = 1.0) -> None:
        """Nothing is read yet."""
        self._slowness = slowness
        self._process = process
        self._asked = 0
        self._answers: dict[int, Mapping[str, object]] = {}
        self._news = anyio.Event()
        self._writing = anyio.Lock()
        self._errors = bytearray()
        self.name = name
        self.through = "helper" if name else "nsenter"
        self.news: Callable[[str, str, str], None] = _unheard
        """Is told what nobody asked for, as `lost` or `remade`, the container where one is named, and a text."""
        self.opened = anyio.Event()
        """Set when it is ready, or will never be."""
        self.ready = False
        self.ended = anyio.Event()

    async def serve(self) -> None:
        """Read answers and give signs of life until it ends."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._beat)
                group.start_soon(self._read_errors)
                await self._read()
                group.cancel_scope.cancel(reason="the helper has ended")
        finally:
            self.ended.set()
            self.opened.set()
            self._tell()
            await dispose(self._process, kill=True)

    async def ask(self, command: DockerCommand) -> Outcome:
        """What the helper makes of a command's arguments; no exit code when it did not answer in time, or is gone."""
        self._asked += 1
        number, started = self._asked, anyio.current_time()
        with anyio.move_on_after(command.deadline_s * self._slowness) as deadline:
            await self._write({"id": number, "ask": list(command.inside)})
            while number not in self._answers and not self.ended.is_set():
                await self._news.wait()
        duration = anyio.current_time() - started
        told = self._answers.pop(number, None)
        if told is None:
            why = "the helper did not answer" if deadline.cancelled_caught else f"the helper has ended: {self.why()}"
            return Outcome(exit_code=None, stderr=why, duration_s=duration, timed_out=deadline.cancelled_caught)
        exit_code = told["exit"] if isinstance(told["exit"], int) else None
        return Outcome(exit_code=exit_code, stdout=str(told["out"]), stderr=str(told["error"]), duration_s=duration)

    async def close(self) -> None:
        """End its input, whereupon it takes out what it put and ends; kill it where it does not."""
        if self._process.stdin is not None:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._process.stdin.aclose()
        with anyio.move_on_after(END_S):
            await self._process.wait()
            await self.ended.wait()
        if not self.ended.is_set():
            await dispose(self._process, kill=True)

    def why(self) -> str:
        """The last it said on standard error."""
        lines = self._errors.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {self._process.returncode}"

    # ------------------------------------------------------------ the pipe

    async def _read(self) -> None:
        if self._process.stdout is None:
            return
        lines = BufferedByteReceiveStream(self._process.stdout)
        with contextlib.suppress(
            anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.DelimiterNotFound
        ):
            while True:
                self._take(await lines.receive_until(b"\n", LONGEST_LINE))

    def _take(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            self._errors += line
            return
        if told.get("ready"):
            self.ready = True
            self.opened.set()
        elif "news" in told:
            self.news(str(told["news"]), str(told.get("container", "")), str(told.get("text", "")))
        elif isinstance(told.get("id"), int):
            self._answers[told["id"]] = told
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def _read_errors(self) -> None:
        if self._process.stderr is None:
            return
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                self._errors = (self._errors + await self._process.stderr.receive())[-4096:]

    async def _beat(self) -> None:
        while True:
            await self._write({})
            await anyio.sleep(BEAT_S)

    async def _write(self, told: Mapping[str, object]) -> None:
        if self._process.stdin is None:
            return
        # A line cut in two by a cancellation would spoil all that follow.
        async with self._writing:
            with (
                anyio.move_on_after(END_S, shield=True),
                contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError),
            ):
                await self._process.stdin.send(json.dumps(told).encode() + b"\n")
