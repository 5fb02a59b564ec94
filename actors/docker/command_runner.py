"""Runs docker commands as processes that can always be killed: bounded in number, in time and in what they may print.

Judges nothing: an exit code is an outcome. What a killed command began in the engine goes on there (a stop in its grace
period, the process of an exec); only a look at the engine tells.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, Process

from actors.docker.helper_image import HelperImage
from coordinator.errors import AbilityMissing, EngineUnreachable
from coordinator.faults.commands import HELPER_IMAGE, DockerCommand, Outcome
from coordinator.identity import LABEL_INSTANCE
from coordinator.logging import action

KEPT_BYTES: Final = 64 * 1024
"""What is kept of each stream, from its beginning; the rest is read and dropped, so that the process never blocks."""

REAP_S: Final = 5.0
"""How long a killed process may take to be gone before it is left to the operating system."""

TRAILING_S: Final = 1.0
"""How long the streams may stay open after the process has ended (a child of it may hold them)."""

REMOVE_S: Final = 5.0
"""How long removing the helper of a killed command may take."""

MASK: Final = "***"
CLI_MISSING: Final = (
    "docker CLI not found on PATH: install it (`apt-get install docker-cli`, or docker.io on Debian 12 and Ubuntu)"
)


@dataclass(slots=True)
class _Kept:
    """The beginning of a stream."""

    data: bytearray = field(default_factory=bytearray)

    async def drain(self, stream: ByteReceiveStream) -> None:
        """Read to the end."""
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                chunk = await stream.receive()
                self.data += chunk[: KEPT_BYTES - len(self.data)]

    def text(self, secrets: list[str]) -> str:
        """What was kept, with the values of secrets masked."""
        text = self.data.decode(errors="replace")
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text


class DockerCommandRunner:
    """The CommandRunner of a real engine. `limit` processes run at once: more stall the event loop and gain nothing.

    `secrets` gives the value of a secret by name, or raises MissingSecret. Helpers run `helper_image`, labelled with
    `instance`.
    """

    def __init__(
        self,
        endpoint: str,
        secrets: Callable[[str], str],
        limit: int = 4,
        environ: Mapping[str, str] = os.environ,
        *,
        helper_image: HelperImage | None = None,
        instance: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._secrets = secrets
        self._limiter = anyio.CapacityLimiter(limit)
        self._helper_image = helper_image
        self._instance = instance
        # A context or host of the user's shell would send some commands to another engine than the facts come from.
        self._environ = {
            name: value for name, value in environ.items() if name not in {"DOCKER_HOST", "DOCKER_CONTEXT"}
        }
        self._environ["DOCKER_CLI_HINTS"] = "false"

    async def run(self, command: DockerCommand) -> Outcome:
        """Run to the end or the deadline; waiting for a free place does not count.

        Raises MissingSecret, and EngineUnreachable where the docker CLI cannot be started. A helper without an image is
        a command that never started. Cancelling kills the process, and removes the helper that it ran.
        """
        if command.of_helper:
            return await self._run_helper(command)
        return await self._run(command)

    async def prepare_helper(self) -> None:
        """Have the helper image ready, so that no command waits for it. Raises AbilityMissing, EngineUnreachable."""
        await self._image().ready(self)

    def _image(self) -> HelperImage:
        if self._helper_image is None:
            raise AbilityMissing("no helper containers here: this part of the program has no image for them")
        return self._helper_image

    async def _run_helper(self, command: DockerCommand) -> Outcome:
        """With the image in its place, under a name of its own."""
        try:
            image = await self._image().known(self)
        except AbilityMissing as error:
            return Outcome(exit_code=None, stderr=str(error))
        name = f"tc-helper-{uuid.uuid4().hex[:12]}"
        labelled = command.labelled({LABEL_INSTANCE: self._instance})
        options = [image if part == HELPER_IMAGE else part for part in labelled.argv[1:]]
        ended = False
        try:
            outcome = await self._run(command.model_copy(update={"argv": (command.argv[0], "--name", name, *options)}))
            ended = not outcome.timed_out
        finally:
            if not ended:
                # Killed between create and start, it would stay: the engine removes by itself only what has run.
                with anyio.move_on_after(REMOVE_S, shield=True):
                    await self._run(DockerCommand(argv=("rm", "--force", name), deadline_s=REMOVE_S))
        return outcome

    async def _run(self, command: DockerCommand) -> Outcome:
        environ, values = self._environment(command)
        async with self._limiter:
            with action("docker:command", argv=command.shown()) as log:
                started = anyio.current_time()
                exit_code, streams, timed_out = await self._run_process(command, environ)
                duration = anyio.current_time() - started
                log.add_success_fields(exit_code=exit_code, duration=round(duration, 4), timed_out=timed_out)
        stdout, stderr = (stream.text(values) for stream in streams)
        return Outcome(exit_code=exit_code, stdout=stdout, stderr=stderr, duration_s=duration, timed_out=timed_out)

    def _environment(self, command: DockerCommand) -> tuple[dict[str, str], list[str]]:
        """The child's environment, and the secret values in it."""
        own = {entry.name: self._secrets(entry.secret) if entry.secret else entry.value for entry in command.env}
        values = [own[entry.name] for entry in command.env if entry.secret and own[entry.name]]
        return self._environ | own, values

    async def _run_process(
        self, command: DockerCommand, environ: Mapping[str, str]
    ) -> tuple[int | None, tuple[_Kept, _Kept], bool]:
        """The exit code, or None when the deadline passed; standard output and error; whether the deadline passed."""
        kept = (_Kept(), _Kept())
        process = await self._spawn(command, environ)
        ended = False
        try:
            with anyio.move_on_after(command.deadline_s):
                await _to_end(process, kept)
                ended = True
        finally:
            await _dispose(process, kill=not ended)
        return process.returncode if ended else None, kept, not ended

    async def _spawn(self, command: DockerCommand, environ: Mapping[str, str]) -> Process:
        argv = ["docker", "-H", self._endpoint, *command.argv]
        try:
            # Shielded: cancelled half-way it would leave a process that nobody knows.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=environ,
                    start_new_session=True,
                )
        except (FileNotFoundError, PermissionError) as error:
            raise EngineUnreachable(CLI_MISSING) from error
        except (OSError, ValueError) as error:
            # Too many open files, or an argument that no process can be given: too long, or with a NUL in it.
            why = error.strerror if isinstance(error, OSError) else error
            raise EngineUnreachable(f"docker could not be started: {why}") from error
        return process


async def _to_end(process: Process, kept: tuple[_Kept, _Kept]) -> None:
    """Wait until the process has ended and both streams are read."""
    async with anyio.create_task_group() as readers:
        for stream, beginning in zip((process.stdout, process.stderr), kept, strict=True):
            if stream is not None:
                readers.start_soon(beginning.drain, stream)
        await process.wait()
        readers.cancel_scope.deadline = anyio.current_time() + TRAILING_S


async def _dispose(process: Process, *, kill: bool) -> None:
    """Leave neither process nor pipe behind."""
    if kill and process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(REAP_S, shield=True):
        await process.aclose()
