"""Runs docker commands as processes that can always be killed: bounded in number, in time and in what they may print.

Judges nothing: an exit code is an outcome. What a killed command began in the engine goes on there (a stop in its grace
period, the process of an exec); only a look at the engine tells.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, Process

from actors.docker.helper_image import HelperImage
from actors.docker.host_namespaces import HostNamespaces
from actors.docker.processes import dispose, start
from coordinator.errors import AbilityMissing
from coordinator.faults.commands import HELPER_IMAGE, HOLD, Command, DockerCommand, HttpCommand, Outcome
from coordinator.identity import LABEL_INSTANCE
from coordinator.logging import action

KEPT_BYTES: Final = 1 << 20
"""What is kept of each stream, from its beginning; the rest is read and dropped, so that the process never blocks. What
a scan finds must fit: a few hundred bytes for each thing, of other instances too.
"""

TRAILING_S: Final = 1.0
"""How long the streams may stay open after the process has ended (a child of it may hold them)."""

REMOVE_S: Final = 5.0
"""How long removing the helper of a killed command may take."""

WAITING: Final = 32
"""How many processes may wait for containers at once."""

MASK: Final = "***"

NOT_RUN: Final = 125
"""Exit code of `docker run` where no container of it came to run."""


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
    What waits for a container has places of its own, so that no undo waits for somebody's grace period.

    `secrets` gives the value of a secret by name, or raises MissingSecret. Helpers run `helper_image`, labelled with
    `instance`. Every deadline is `slowness` times as long as the command says.
    """

    def __init__(
        self,
        endpoint: str,
        secrets: Callable[[str], str],
        limit: int = 4,
        environ: Mapping[str, str] = os.environ,
        *,
        helper_image: HelperImage | None = None,
        host: HostNamespaces | None = None,
        instance: str = "",
        http: Callable[[HttpCommand], Awaitable[Outcome]] | None = None,
        slowness: float = 1.0,
    ) -> None:
        self.slowness = slowness
        self._endpoint = endpoint
        self._secrets = secrets
        self._limiter = anyio.CapacityLimiter(limit)
        self._waiting = anyio.CapacityLimiter(WAITING)
        self._helper_image = helper_image
        self._host = host
        self._instance = instance
        self._http = http
        # A context or host of the user's shell would send some commands to another engine than the facts come from.
        self._environ = {
            name: value for name, value in environ.items() if name not in {"DOCKER_HOST", "DOCKER_CONTEXT"}
        }
        self._environ["DOCKER_CLI_HINTS"] = "false"

    async def run(self, command: Command) -> Outcome:
        """Run to the end or the deadline; waiting for a free place does not count. `http` sends what is a request.

        Raises MissingSecret, and EngineUnreachable where the docker CLI cannot be started. A helper without an image is
        a command that never started. Cancelling kills the process, and removes the helper that it ran.
        """
        if isinstance(command, HttpCommand):
            return await self._call(command)
        if command.of_helper:
            return await self._run_helper(command)
        return await self._run(command)

    def check(self, command: Command) -> None:
        """Whether the secrets it needs are there. Raises MissingSecret."""
        for name in command.secrets:
            self._secrets(name)

    async def _call(self, command: HttpCommand) -> Outcome:
        if self._http is None:
            return Outcome(exit_code=None, stderr="no requests from here: this part of the program sends none")
        with action("http:command", argv=command.shown()) as log:
            outcome = await self._http(command)
            log.add_success_fields(
                exit_code=outcome.exit_code, duration=round(outcome.duration_s, 4), timed_out=outcome.timed_out
            )
        return outcome

    async def prepare_helper(self) -> None:
        """Have the helper image ready, so that no command waits for it. Raises AbilityMissing, EngineUnreachable."""
        await self._image().ready(self)

    def _image(self) -> HelperImage:
        if self._helper_image is None:
            raise AbilityMissing("no helper containers here: this part of the program has no image for them")
        return self._helper_image

    async def run_here(self, argv: Sequence[str], deadline_s: float) -> Outcome:
        """A program of this machine, to the end or the deadline in seconds. Raises EngineUnreachable where it cannot
        be started.
        """
        return await self._run(DockerCommand(argv=(), deadline_s=deadline_s), argv)

    async def _on_host(self, command: DockerCommand, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return () if self._host is None else await self._host.argv(command, arguments)

    def _docker(self, command: DockerCommand) -> tuple[str, ...]:
        return ("docker", "-H", self._endpoint, *command.argv)

    async def hold(self, command: DockerCommand) -> tuple[Process, str]:
        """Start what serves a network namespace as long as its input lasts: the process, and the name of its container
        (empty on the host). Raises AbilityMissing, EngineUnreachable.
        """
        on_host = await self._on_host(command, HOLD)
        if on_host:
            return await start(on_host, self._environ, fed=True), ""
        name = f"tc-helper-{uuid.uuid4().hex[:12]}"
        opened = command.held(name).labelled({LABEL_INSTANCE: self._instance})
        image = await self._image().known(self)
        argv = tuple(image if part == HELPER_IMAGE else part for part in self._docker(opened))
        return await start(argv, self._environ, fed=True), name

    async def _run_helper(self, command: DockerCommand) -> Outcome:
        """On the host where its namespace can be entered from here; else with the image in its place, under a name of
        its own.
        """
        on_host = await self._on_host(command, command.inside) if command.namespace else ()
        if on_host:
            return await self._run(command, on_host)
        try:
            image = await self._image().known(self)
        except AbilityMissing as error:
            return Outcome(exit_code=None, stderr=str(error))
        outcome = await self._run_image(command, image)
        if outcome.exit_code == NOT_RUN:
            # Somebody may have removed the image since it was looked for.
            with contextlib.suppress(AbilityMissing):
                another = await self._image().ready(self)
                return outcome if another == image else await self._run_image(command, another)
        return outcome

    async def _run_image(self, command: DockerCommand, image: str) -> Outcome:
        """As a container, which is gone afterwards whatever happens."""
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
                with anyio.move_on_after(REMOVE_S * self.slowness, shield=True):
                    await self._run(DockerCommand(argv=("rm", "--force", name), deadline_s=REMOVE_S))
        return outcome

    async def _run(self, command: DockerCommand, on_host: Sequence[str] = ()) -> Outcome:
        """Through docker, or `on_host`: the program that does the same from here."""
        environ, values = self._environment(command)
        async with self._waiting if command.waits else self._limiter:
            with action("docker:command", argv=command.shown() if command.argv else shlex.join(on_host)) as log:
                started = anyio.current_time()
                exit_code, streams, timed_out = await self._run_process(
                    on_host or self._docker(command), command.deadline_s * self.slowness, environ
                )
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
        self, argv: Sequence[str], deadline_s: float, environ: Mapping[str, str]
    ) -> tuple[int | None, tuple[_Kept, _Kept], bool]:
        """The exit code, or None when the deadline passed; standard output and error; whether the deadline passed."""
        kept = (_Kept(), _Kept())
        process = await start(argv, environ)
        ended = False
        try:
            with anyio.move_on_after(deadline_s):
                await _to_end(process, kept)
                ended = True
        finally:
            await dispose(process, kill=not ended)
        return process.returncode if ended else None, kept, not ended


async def _to_end(process: Process, kept: tuple[_Kept, _Kept]) -> None:
    """Wait until the process has ended and both streams are read."""
    async with anyio.create_task_group() as readers:
        for stream, beginning in zip((process.stdout, process.stderr), kept, strict=True):
            if stream is not None:
                readers.start_soon(beginning.drain, stream)
        await process.wait()
        readers.cancel_scope.deadline = anyio.current_time() + TRAILING_S
