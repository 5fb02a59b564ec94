"""What happens around a coordinator that dies: containers, scenarios, people and outages at times drawn from a seed
before anything runs, so that the same happens whenever it dies. Knows what people did, and so what may be left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

import anyio

from actors.docker.simulated import ExecResult, SimulatedEngine
from actors.docker.simulated_state import EngineError, SimulatedContainer
from coordinator.faults.facts import ContainerState
from coordinator.faults.locks import parse_lock
from tests.fleet import HEAD

REMOVED: Final = "removed"
PERSONS: Final = ("stop", "pause", "restart", "remove")
FAULTS: Final = (
    "type: container_kill",
    "type: container_kill, signal: SIGTERM",
    "type: container_crash",
    "type: container_pause",
    "type: container_pause",
    "type: container_stop, grace: 2s",
    "type: container_restart, grace: 1s",
    "type: exec, command: [do], undo_command: [undo]",
)
CUT: Final = "type: network_partition"
FROZEN_CRASH: Final = (
    "{{name: {name}, duration: 15s, faults: [{{type: container_pause, target: {target}}},"
    " {{type: container_crash, target: {target}, at: 1s, for: 1s}}]}}"
)
"""It comes about when the container goes on, long after its own time."""

INSIDE: Final = (
    "type: network_disconnect, network: front",
    "type: network_disconnect, network: front",
    "type: network_disconnect, network: back",
    "type: cpu_limit, cpus: 0.2",
    "type: memory_limit, limit: 32m",
    "type: pid_exhaustion, leave: 1",
    "type: cpu_stress, workers: 1",
    "type: process_freeze, name: sleep",
    "type: clock_skew, offset: -1h",
    "type: network_latency, latency: 50ms",
    "type: network_loss, percent: 20%",
    "type: network_bandwidth, rate: 1mbit",
    "type: dns_failure, names: [db.shop]",
)
"""What leaves a container's run as it is."""

NETWORKS: Final = ("back", "front")


HEARD_S: Final = 0.3
"""By then a coordinator has written down how its command ended, and what a person has undone."""


@dataclass(slots=True)
class Deed:
    """What a person did to a container: when it began, what the container was afterwards, whether a lock was on it."""

    name: str
    began: float
    state: str
    ours: bool
    last_word: bool = False
    """Whether it stays so for certain, as the engine took it for a change and ours is over or was refused."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """What a person does to the container that is the first to be paused by us: pauses it just before us, or unpauses
    it `undone_s` later, and after another `again_s` pauses it.
    """

    before: bool
    undone_s: float
    again_s: float


@dataclass(slots=True)
class CrashWorld:
    """One seed's world."""

    seed: int
    names: tuple[str, ...] = ()
    ends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    scenarios: tuple[tuple[float, str], ...] = ()
    persons: tuple[tuple[float, str, str], ...] = ()
    outages: tuple[tuple[float, str, float], ...] = ()
    meeting: Meeting | None = None
    trace: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    touched: dict[str, float] = field(default_factory=dict)
    """When a command of ours last named a container, by id."""
    ended: set[str] = field(default_factory=set)
    """Ids of containers that a command of ours was to end: what it takes effect on is not certain."""
    died_at: float | None = None
    """When a coordinator died first."""
    altered: dict[str, int] = field(default_factory=dict)
    """Names of containers in which `do` has worked and `undo` has not, with the run in which it did."""
    inexact: set[str] = field(default_factory=set)
    """Ids of containers of which it was told that not all would be put back: no helper could read what there was."""

    def __post_init__(self) -> None:
        """Draw all of it."""
        dice = Random(self.seed)
        self.names = tuple(f"c{number}" for number in range(dice.randint(2, 3)))
        self.ends_on = {name: dice.choice(((), ("SIGTERM",), ("SIGTERM", "SIGINT"))) for name in self.names}
        self.policies = {name: dice.choice(("no", "no", "always")) for name in self.names}
        self.scenarios = tuple((dice.uniform(0, 4), self._scenario(dice)) for _ in range(dice.choice((1, 1, 2))))
        if dice.random() < 0.4:
            deeds = range(dice.randint(1, 2))
            self.persons = tuple((dice.uniform(0, 8), dice.choice(PERSONS), dice.choice(self.names)) for _ in deeds)
        if dice.random() < 0.4:
            self.outages = ((dice.uniform(0, 8), dice.choice(("down", "hang")), dice.uniform(0.1, 6)),)
        if dice.random() < 0.5:
            self.meeting = Meeting(dice.random() < 0.5, dice.uniform(0.05, 0.4), dice.uniform(HEARD_S, 1))

    def note(self, text: str) -> None:
        """Something happened."""
        self.trace.append(f"{anyio.current_time():.6f} {text}")

    def violated(self, text: str) -> None:
        """An invariant did not hold."""
        self.note(f"VIOLATED {text}")
        self.violations.append(text)

    def furnish(self, engine: SimulatedEngine) -> None:
        """Start the containers, in which `do` breaks something that `undo` mends."""
        for number, name in enumerate(self.names, 2):
            networks = {each: f"10.{place}.0.{number}" for place, each in enumerate(NETWORKS)}
            engine.add(name, ends_on=self.ends_on[name], restart_policy=self.policies[name], networks=networks)

            def alter(name: str = name) -> None:
                self.altered[name] = engine.state.find(name).runs

            def mend(name: str = name) -> None:
                self.altered.pop(name, None)

            engine.script(["do"], ExecResult(then=alter), name)
            engine.script(["undo"], ExecResult(then=mend), name)

    # ------------------------------------------------------------ scenarios

    def _scenario(self, dice: Random) -> str:
        targets = {name: f"{{names: [{name}], allow_empty: true}}" for name in self.names}
        targets["some"] = f"{{name_regex: '^c', pick: {dice.randint(1, len(self.names))}, allow_empty: true}}"
        lines = [HEAD + "targets: {" + ", ".join(f"{name}: {how}" for name, how in targets.items()) + "}"]
        lines.append(f"probes: {{up: {{type: container, target: {dice.choice(self.names)}, every: 1s}}}}")
        if dice.random() < 0.2:
            lines.append("abort_if: [{probe: up, unavailable_for: 2s}]")
        if dice.random() < 0.2:
            lines.append(f"limits: {{timeout: {dice.randint(1, 6)}s}}")
        phases = [self._phase(dice, f"p{number}", list(targets)) for number in range(dice.randint(1, 2))]
        lines.append("phases: [" + ", ".join(phases) + "]")
        return "\n".join(lines) + "\n"

    def _phase(self, dice: Random, name: str, targets: list[str]) -> str:
        if dice.random() < 1 / 8:
            return FROZEN_CRASH.format(name=name, target=dice.choice(targets))
        duration = dice.choice((1, 2, 4))
        faults = [self._fault(dice, duration, dice.choice(targets)) for _ in range(dice.randint(1, 3))]
        parts = [f"name: {name}", f"duration: {duration}s", "faults: [" + ", ".join(faults) + "]"]
        if dice.random() < 0.2:
            parts.append("repeat: {times: 2, every: 3s}")
        return "{" + ", ".join(parts) + "}"

    def _fault(self, dice: Random, duration: int, target: str) -> str:
        at = dice.randint(0, duration)
        kind = dice.choice((*FAULTS, CUT)) if dice.random() < 1 / 2 else dice.choice(INSIDE)
        if kind == CUT:
            parts = [CUT, f"between: [{', '.join(dice.sample(self.names, 2))}]", f"at: {at}s"]
        else:
            parts = [kind, f"target: {target}", f"at: {at}s"]
        if "container_restart" not in kind and dice.random() < 0.3:
            parts.append("on_target_restart: reapply")
        if dice.random() < 0.3 and at < duration:
            parts.append(f"for: {dice.randint(1, duration - at)}s")
        return "{" + ", ".join(parts) + "}"

    # ------------------------------------------------------------ people and outages

    async def happen(self, engine: SimulatedEngine) -> None:
        """All that people do and all that breaks, at its time, whether a coordinator lives or not."""
        async with anyio.create_task_group() as group:
            for at, deed, name in self.persons:
                group.start_soon(self._do, engine, at, deed, name)
            for at, kind, lasts in self.outages:
                group.start_soon(self._break, engine, at, kind, lasts)

    async def _do(self, engine: SimulatedEngine, at: float, deed: str, name: str) -> None:
        await anyio.sleep(at)
        if not engine.reachable or not engine.answering.is_set():
            return
        with suppress(EngineError):
            container = engine.state.find(name)
            began, locked = anyio.current_time(), self._locked(engine, container)
            self.note(f"somebody: {deed} {name}")
            match deed:
                case "stop":
                    await engine.stop(name, 1.0, 0.0)
                case "pause":
                    engine.pause(name)
                case "restart":
                    await engine.restart(name, 1.0, 0.0)
                case _:
                    engine.remove(name)
            ours = locked or self._locked(engine, container)
            self.deeds.append(Deed(name, began, state_of(engine, name), ours))

    async def meet(self, engine: SimulatedEngine, name: str) -> None:
        """We are about to pause this container: what a person does just then, and later. Once."""
        meeting, self.meeting = self.meeting, None
        if meeting is None or self.outages:
            return
        if not meeting.before:
            await anyio.sleep(meeting.undone_s)
            if not self._by_hand(engine.unpause, engine, name):
                return
            await anyio.sleep(meeting.again_s)
        self._by_hand(engine.pause, engine, name)

    def _by_hand(self, change: Callable[[str], None], engine: SimulatedEngine, name: str) -> bool:
        """Whether the engine did it."""
        try:
            change(name)
        except EngineError:
            return False
        self.note(f"somebody: {change.__name__} {name}")
        self.deeds.append(Deed(name, anyio.current_time(), state_of(engine, name), ours=True, last_word=True))
        return True

    def _locked(self, engine: SimulatedEngine, container: SimulatedContainer) -> bool:
        locks = (parse_lock(name, labels) for name, labels in engine.state.volumes.items())
        return any(lock is not None and lock.container_id == container.id for lock in locks)

    async def _break(self, engine: SimulatedEngine, at: float, kind: str, lasts: float) -> None:
        await anyio.sleep(at)
        self.note(f"engine: {kind}")
        if kind == "down":
            engine.down()
        else:
            engine.hang()
        await anyio.sleep(lasts)
        engine.up()
        self.note("engine: up")

    # ------------------------------------------------------------ judging

    def judge_engine(self, engine: SimulatedEngine) -> None:
        """Every container is as it was, or as a person left it; what a person did where nobody else was stays."""
        for name in self.names:
            state = state_of(engine, name)
            deeds = [deed for deed in self.deeds if deed.name == name]
            allowed = {deed.state for deed in deeds} | {ContainerState.RUNNING.value}
            if state not in allowed:
                self.violated(f"{name} is left {state}")
            elif deeds and state != deeds[-1].state and (self._alone(engine, deeds) or self._stays(engine, deeds[-1])):
                self.violated(f"{name} is {state}: somebody had left it {deeds[-1].state}")
            # What `do` broke ends with its run, and so does what is owed for it.
            if state == ContainerState.RUNNING and self.altered.get(name) == engine.state.find(name).runs:
                self.violated(f"{name} is left altered inside")
            if state != REMOVED:
                self._judge_inside(engine, engine.state.find(name))

    def _judge_inside(self, engine: SimulatedEngine, container: SimulatedContainer) -> None:
        """Its networks with their names, and no rules, limits or loads; a later run has none of ours by itself."""
        if engine.state.rules(container.name):
            self.violated(f"{container.name} is left with rules in its network")
        if container.limits:
            self.violated(f"{container.name} is left with {sorted(container.limits)}")
        if sorted(container.networks) != sorted(NETWORKS):
            self.violated(f"{container.name} is left in networks {sorted(container.networks)}")
        lines = sorted(container.line(network) for network in container.networks)
        if container.up and sorted(container.lines) != lines and container.id not in self.inexact:
            self.violated(f"{container.name} is left with {container.lines} in its /etc/hosts")

    def _alone(self, engine: SimulatedEngine, deeds: list[Deed]) -> bool:
        """Whether nothing of ours was near the container when and after people last did something to it."""
        if any(deed.ours for deed in deeds):
            return False
        known = {container.name: container.id for container in engine.state.containers.values()}
        return self.touched.get(known.get(deeds[-1].name, ""), 0.0) < deeds[-1].began

    def _stays(self, engine: SimulatedEngine, deed: Deed) -> bool:
        """Whether what a person did near a fault of ours is certain to be theirs: who lived has heard how it went."""
        heard = self.died_at is None or self.died_at > deed.began + HEARD_S
        ended = any(
            container.name == deed.name and container.id in self.ended for container in engine.state.containers.values()
        )
        paused = deed.state == ContainerState.PAUSED.value
        return deed.last_word and paused and heard and not ended

    def may_be_stuck(self, engine: SimulatedEngine, name: str) -> bool:
        """Whether a person left it so that a command can no longer be run in it."""
        return state_of(engine, name) != ContainerState.RUNNING and any(deed.name == name for deed in self.deeds)


def state_of(engine: SimulatedEngine, name: str) -> str:
    """A container's state, or that it is removed."""
    try:
        return engine.state.find(name).state.value
    except EngineError:
        return REMOVED
