"""The commands of one execution: those inside a network namespace, and those that load containers, go to one helper per
place, which is kept open, fed with signs of life, and ends with the execution. It takes a few ms there, where a helper
of its own takes 150.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.session import Session
from coordinator.errors import AbilityMissing, CoordinatorError, EngineUnreachable
from coordinator.faults.commands import Command, DockerCommand, HttpCommand, Outcome
from coordinator.identity import LABEL_EXECUTION
from coordinator.logging import action, log
from coordinator.ports import Tell

OPEN_DEADLINE_S: Final = 30.0
CLOSE_DEADLINE_S: Final = 10.0
LOOK_DEADLINE_S: Final = 15.0
RUN_WORDS: Final = 2
"""An id, and when its run began."""

REOPEN_PAUSE_S: Final = 0.5


NEWS: Final = {
    "lost": "fault_interrupted", "remade": "fault_reapplied", "not_remade": "fault_not_reapplied",
    "ended": "fault_interrupted", "out_of_memory": "target_out_of_memory",
}  # fmt: skip
"""What helpers tell, as the timeline has it."""

OVER: Final = "over"
"""A helper's word that a fault, which it names, has nothing left that runs: its container's run is over."""


def unheard(event: str, container_id: str, text: str) -> None:
    """Nobody listens: the log has it."""


class NamespaceHands:
    """Satisfies `ports.Hands` for one execution."""

    def __init__(self, runner: DockerCommandRunner, execution_id: str, group: TaskGroup) -> None:
        """Hold nothing yet. `group` runs what keeps the sessions alive."""
        self._runner = runner
        self._execution_id = execution_id
        self._group = group
        self._sessions: dict[str, Session] = {}
        self._put: dict[str, dict[str, DockerCommand]] = {}
        """What is put, by place and what bears its name: put once more when a helper is lost and replaced."""
        self._anew: set[tuple[str, str]] = set()
        """What another helper has put once more: what was counted for the lost one may be gone with it."""
        self._taken_out: set[tuple[str, str]] = set()
        """What was asked to be taken out since it was put: a put that is answered only then is not put once more."""
        self._runs: dict[str, str] = {}
        """When the run of a container began that was up at the last look, by its id."""
        self._joined: dict[str, str] = {}
        """The same of the run whose network a helper is in, by place."""
        self._opening: dict[str, anyio.Lock] = {}
        self._names: list[str] = []
        """Of every helper container that was opened: the engine keeps those that have ended."""
        self._closed = False
        self._tell: Tell = unheard

    def listen(self, tell: Tell) -> None:
        """See `ports.Hands`."""
        self._tell = tell

    async def ready(self, commands: Collection[Command]) -> None:
        """See `ports.Hands`."""
        for each in commands:
            self._runner.check(each)
        if any(command.of_helper and not command.namespace for command in commands):
            await self._runner.prepare_helper()
        places = {
            command.place: command for command in commands if isinstance(command, DockerCommand) and command.place
        }
        await self._look({command.namespace for command in places.values() if command.namespace})
        failed: list[CoordinatorError] = []

        async def opened(command: DockerCommand) -> None:
            try:
                await self._session(command)
            except (AbilityMissing, EngineUnreachable) as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            for command in places.values():
                group.start_soon(opened, command)
        if failed:
            raise failed[0]

    async def _look(self, containers: Collection[str]) -> None:
        """See which run of each is up: a helper stays in the network of the run that it joined, whatever comes after.

        Raises EngineUnreachable.
        """
        if containers:
            argv = ("inspect", "--type", "container", "--format", "{{.Id}} {{.State.StartedAt}}", *sorted(containers))
            outcome = await self._runner.run(DockerCommand(argv=argv, deadline_s=LOOK_DEADLINE_S))
            lines = (line.split() for line in outcome.stdout.splitlines())
            self._runs |= {words[0]: words[1] for words in lines if len(words) == RUN_WORDS}

    async def run(self, command: Command) -> Outcome:
        """Through the open helper of its place where there is one, else by itself. Raises as the runner does."""
        if isinstance(command, HttpCommand):
            return await self._runner.run(command)
        place = command.place
        verb = command.inside[0] if place else ""
        whose = (place, _name(command) if verb in {"put", "remove"} else "")
        if verb == "put":
            self._taken_out.discard(whose)
        elif verb == "remove":
            # First of all: a helper that is being replaced must not put it once more.
            self._taken_out.add(whose)
            self._put.get(place, {}).pop(whose[1], None)
        session = self._sessions.get(place) if place else None
        if verb == "put" and session is not None and session.ended.is_set():
            # By itself it would be put as well, and be gone again before long: nobody would keep it.
            try:
                await self._session(command)
            except AbilityMissing as error:
                return Outcome(exit_code=1, stderr=str(error))
            session = self._sessions[place]
        if session is None or session.ended.is_set():
            return await self._runner.run(command)
        with action("docker:command", argv=command.shown(), through=session.through) as told:
            outcome = await session.ask(command)
            told.add_success_fields(exit_code=outcome.exit_code, duration=round(outcome.duration_s, 4))
        if outcome.ok and verb == "put" and whose not in self._taken_out:
            self._put.setdefault(place, {})[whose[1]] = command
        if outcome.exit_code is None and verb == "remove":
            # The helper is gone or hangs: its leases end by themselves, but the look has to be somebody's.
            return await self._runner.run(command)
        if verb == "remove" and command.namespace and whose in self._anew:
            return outcome.model_copy(update={"stdout": ""})
        return outcome

    async def _session(self, command: DockerCommand) -> None:
        """Open the helper of a place, unless it is open. Raises AbilityMissing, EngineUnreachable."""
        place = command.place
        async with self._opening.setdefault(place, anyio.Lock()):
            session, up = self._sessions.get(place), self._runs.get(command.namespace, "")
            if session is not None and not session.ended.is_set():
                if up == self._joined.get(place):
                    return
                # What was put into the network of a run that is over is gone with it.
                self._put.pop(place, None)
                await session.close()
            self._joined[place] = up
            held = await self._runner.hold(command.labelled({LABEL_EXECUTION: self._execution_id}))
            session = Session(*held, slowness=self._runner.slowness)
            if session.name:
                self._names.append(session.name)
            session.news = partial(self._heard, command)
            self._group.start_soon(self._keep, session, command)
            kept = False
            try:
                with anyio.move_on_after(OPEN_DEADLINE_S * self._runner.slowness):
                    await session.opened.wait()
                kept = session.ready and not self._closed
            finally:
                if not kept:
                    # Nobody else would end it, and it would be waited for without end.
                    with anyio.CancelScope(shield=True):
                        await session.close()
            if not kept:
                where = f"in the network of {command.namespace[:12]}" if command.namespace else "beside the cgroups"
                raise AbilityMissing(f"no helper {where}: {session.why()}")
            self._sessions[place] = session

    async def _keep(self, session: Session, command: DockerCommand) -> None:
        """Read its answers and give signs of life while it lasts, whoever is cancelled; replace it when it is lost."""
        with anyio.CancelScope(shield=True):
            await session.serve()
        put = self._put.get(command.place, {})
        if self._closed or not session.ready or not put:
            return
        log("helper:lost", "WARNING", place=command.place, reason=session.why())
        ended = [each for each in put.values() if not each.outlasts_helper]
        self._tell_all(ended, "fault_interrupted", f"its helper was lost: {session.why()}")
        await anyio.sleep(REOPEN_PAUSE_S)
        try:
            await self._look([command.namespace] if command.namespace else [])
            await self._session(command)
        except (AbilityMissing, EngineUnreachable) as error:
            # Its target is gone or down; whoever puts it there again opens another.
            log("helper:not_replaced", "WARNING", place=command.place, reason=str(error))
            return
        self._anew |= {(command.place, name) for name in put}
        outcomes = [(each, await self.run(each)) for name, each in list(put.items()) if name in put]
        for each, outcome in outcomes:
            if not outcome.ok:
                self._tell("fault_not_reapplied", each.container, f"by another helper: {outcome.stderr.strip()}")
        back = [each for each, outcome in outcomes if outcome.ok and not each.outlasts_helper]
        self._tell_all(back, "fault_reapplied", "by another helper")

    def _tell_all(self, puts: Iterable[DockerCommand], event: str, text: str) -> None:
        """Once for each container."""
        for container_id in dict.fromkeys(put.container for put in puts):
            self._tell(event, container_id, text)

    def _heard(self, command: DockerCommand, event: str, container_id: str, text: str) -> None:
        """What a helper tells unasked; one in a network namespace knows no container."""
        if event == OVER:
            self._put.get(command.place, {}).pop(f"{text} {container_id}", None)
            return
        whose = container_id or command.namespace
        log(f"helper:fault_{event}", "WARNING", container_id=whose, reason=text)
        if event in NEWS:
            self._tell(NEWS[event], whose, text)

    async def close(self) -> None:
        """End all helpers; each takes out what is left of this execution in its namespace."""
        self._closed = True
        async with anyio.create_task_group() as group:
            for session in self._sessions.values():
                group.start_soon(session.close)
        if self._names:
            await self._runner.run(DockerCommand(argv=("rm", "--force", *self._names), deadline_s=CLOSE_DEADLINE_S))


@asynccontextmanager
async def namespace_hands(runner: DockerCommandRunner, execution_id: str) -> AsyncIterator[NamespaceHands]:
    """The hands of one execution, as long as it lasts."""
    async with anyio.create_task_group() as group:
        hands = NamespaceHands(runner, execution_id, group)
        try:
            yield hands
        finally:
            with anyio.move_on_after(CLOSE_DEADLINE_S, shield=True):
                await hands.close()
            group.cancel_scope.cancel(reason="the execution has ended")


def _name(command: DockerCommand) -> str:
    """What is put or taken out: in a network namespace a fault, as its tables are named; else one in a container."""
    if not command.namespace:
        return f"{command.inside[1]} {command.container}"
    # A mark begins with `fault=`.
    return command.inside[1].split()[0].removeprefix("fault=").replace("-", "")
