"""The programs of helpers on the simulated engine: what each does to its containers, as the real ones do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from actors.docker.programs.hosts import packed, unpacked
from actors.docker.simulated_state import EngineError, SimulatedContainer
from coordinator.faults.clock import CLOCK_PROGRAM
from coordinator.faults.commands import (
    HELPER_PROGRAMS,
    HOSTS_PROGRAM,
    LIMITS_PROGRAM,
    MANY,
    NETNS_PROGRAM,
    STRESS_PROGRAM,
)
from coordinator.faults.disk import FILL_PROGRAM
from coordinator.faults.leftovers import SCAN_PROGRAM, Placed, parse_placed
from coordinator.faults.limits import ALL
from coordinator.faults.processes import SIGNALS_PROGRAM
from coordinator.faults.strays import STRAYS_PROGRAM, parse_removed

if TYPE_CHECKING:
    from actors.docker.simulated import SimulatedEngine

CRASH_PROGRAM: Final = f"{HELPER_PROGRAMS}/crash.py"
ONE_AT_A_TIME: Final = frozenset({"cpu", "memory", "pids", "realtime"})
"""Kinds of which a container has one fault at a time."""

Work = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Console:
    """What a process prints, and how it ends."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    exit_code: int = 0

    def fail(self, text: str, exit_code: int = 1) -> None:
        """One line of standard error."""
        self.stderr.append(text)
        self.exit_code = exit_code


def helper_program(
    engine: SimulatedEngine, namespace: str, argv: Sequence[str], console: Console
) -> tuple[str, Work] | None:
    """What the request is about, and what is done at its time; None for a program that is none of ours.

    `namespace` is the container whose network the helper is in.
    """
    path = next((part for part in argv if part.startswith(HELPER_PROGRAMS)), "")
    asked = list(argv[argv.index(path) + 1 :]) if path else []
    programs = _Programs(engine, console, namespace, asked)
    works = {
        NETNS_PROGRAM: (namespace, programs.in_namespace),
        HOSTS_PROGRAM: (namespace, programs.beside_hosts),
        SCAN_PROGRAM: ("helper", programs.scan),
        STRAYS_PROGRAM: ("helper", programs.strays),
        LIMITS_PROGRAM: ("helper", programs.limits),
        STRESS_PROGRAM: ("helper", programs.loads),
        FILL_PROGRAM: ("helper", programs.fills),
        SIGNALS_PROGRAM: ("helper", programs.limits),
        CLOCK_PROGRAM: ("helper", programs.limits),
        CRASH_PROGRAM: ("helper", programs.crash),
    }
    return works.get(path)


@dataclass(slots=True)
class _Programs:
    """One helper."""

    engine: SimulatedEngine
    console: Console
    namespace: str
    asked: list[str]

    async def _begun(self, about: str) -> None:
        await anyio.sleep(self.engine.duration("helper", about))
        await self.engine.answering.wait()

    async def crash(self) -> None:
        """Each is killed behind the engine's back."""
        await self._begun(" ".join(self.asked))
        for reference in (each for each in self.asked if each != MANY):
            container = self.engine.state.containers.get(reference)
            if container is None or not container.up:
                self._not_seen(reference)
            else:
                self.engine.die(reference)

    async def limits(self) -> None:
        """What limits.py, signals.py and clock.py do to a container, whose run holds it."""
        what, fault, *limit, reference = self.asked
        kind = limit[0] if limit and limit[0] in ONE_AT_A_TIME else fault
        await self._begun(reference)
        container = self.engine.state.containers.get(reference)
        if what == "remove":
            if container is not None:
                container.limits = {
                    name: each for name, each in container.limits.items() if fault not in {each[0], ALL}
                }
        elif container is None or not container.up:
            self._not_seen(reference)
        elif what == "kill":
            return
        elif kind in container.limits:
            self.console.fail(f"{reference[:12]}: another fault limits its {kind} already")
        else:
            container.limits[kind] = (fault, limit[1])

    async def loads(self) -> None:
        """What stress.py does: stressors, which add up and live while their lease is renewed."""
        *asked, reference = self.asked
        await self._begun(reference)
        container = self.engine.state.containers.get(reference)
        match asked:
            case ["remove", fault]:
                if container is not None:
                    container.rules.pop(fault, None)
            case ["put", _, kind, value, mark] if container is not None and container.up:
                self.engine.state.put(container, mark, f"{kind} {value}")
            case _:
                self._not_seen(reference)

    async def fills(self) -> None:
        """What fill.py does: files, which the container keeps whatever becomes of its runs."""
        what, fault, *asked, reference = self.asked
        await self._begun(reference)
        container = self.engine.state.containers.get(reference)
        if what == "remove":
            if container is not None:
                container.files.pop(fault, None)
        elif container is not None and container.up:
            container.files[fault] = asked[0]
        else:
            self._not_seen(reference)

    def _not_seen(self, reference: str) -> None:
        self.console.fail(f"{reference[:12]}: no process of this container is seen from here")

    async def scan(self) -> None:
        """The program that looks into network namespaces: it tells, and takes out, what the state holds."""
        state = self.engine.state
        await self._begun(self.asked[0])
        if self.asked[0] == "look":
            self.console.stdout.append(state.sight.model_dump_json())
            return
        asked = parse_placed(self.asked[1])
        kept = [
            each.model_copy(update={"traces": tuple(
                trace for trace in each.traces if Placed(inode=each.inode, trace=trace) not in asked
            )})
            for each in state.sight.namespaces
        ]  # fmt: skip
        state.sight = state.sight.model_copy(update={"namespaces": tuple(each for each in kept if each.traces)})
        self.console.stdout.append(f"[{','.join(each.model_dump_json() for each in asked)}]")

    async def strays(self) -> None:
        """The program that looks into containers, as `scan`."""
        state = self.engine.state
        await self._begun(self.asked[0])
        if self.asked[0] == "look":
            looked = state.strays.looked or tuple(each.id for each in state.containers.values() if each.up)
            self.console.stdout.append(state.strays.model_copy(update={"looked": looked}).model_dump_json())
            return
        asked = parse_removed(self.asked[1])
        kept = tuple(each for each in state.strays.strays if each not in asked)
        state.strays = state.strays.model_copy(update={"strays": kept})
        self.console.stdout.append(f"[{','.join(each.model_dump_json() for each in asked)}]")

    async def in_namespace(self) -> None:
        """What netns.py does in a container's network namespace: the container's run holds it."""
        container = await self._joined()
        match self.asked:
            case ["put", mark, rules]:
                self.engine.state.put(container, mark, rules)
            case ["remove", fault]:
                was_there = container.rules.pop(fault, None) is not None
                if container.packets is not None:
                    self.console.stdout.append(json.dumps({"was_there": was_there, "packets": container.packets}))
            case _:
                raise EngineError(f"netns.py: {self.asked}")

    async def beside_hosts(self) -> None:
        """What hosts.py does to the /etc/hosts of a container's run."""
        container = await self._joined()
        if self.asked[0] == "keep":
            self.console.stdout.append(packed(container.hosts()))
        else:
            container.mend(unpacked(self.asked[1]))

    async def _joined(self) -> SimulatedContainer:
        """The container whose network namespace the helper is in. Raises EngineError."""
        await self._begun(self.namespace)
        container = self.engine.state.containers.get(self.namespace)
        if container is None or not container.up:
            raise EngineError("cannot join network of a non running container")
        return container
