"""A made-up fleet: containers, scenarios, people and breakdowns, all drawn from one seed."""

from __future__ import annotations

import random
from contextlib import suppress

import anyio

from actors.docker.simulated import SimulatedEngine
from actors.docker.simulated_state import EngineError
from coordinator.errors import CoordinatorError
from coordinator.supervision import ChildRefused, ChildState
from tests.fleet import FailingLedger
from tests.life import Life

LONGEST_OUTAGE_S = 15.0


class FleetWorld:
    """What happens to a fleet from outside, noted, so that a run can be compared with its replay."""

    def __init__(self, seed: int) -> None:
        """Draw the names."""
        self.dice = random.Random(seed)
        self.names = tuple(f"c{number}" for number in range(self.dice.randint(2, 4)))
        self.trace: list[str] = []
        self.violations: list[str] = []
        self.submitted = 0
        self.accepted: list[str] = []

    def note(self, text: str) -> None:
        """Something happened."""
        self.trace.append(f"{anyio.current_time():.6f} {text}")

    def violated(self, text: str) -> None:
        """An invariant did not hold."""
        self.note(f"VIOLATED {text}")
        self.violations.append(text)

    def furnish(self, engine: SimulatedEngine) -> None:
        """Start the containers; some ignore TERM, some are restarted by their policy."""
        for name in self.names:
            engine.add(
                name,
                ends_on=self.dice.choice(((), ("SIGTERM",), ("SIGTERM", "SIGINT"))),
                restart_policy=self.dice.choice(("no", "no", "always")),
            )

    # ------------------------------------------------------------ scenarios

    def scenario(self) -> str:
        """A small scenario without its head."""
        targets = {name: f"{{names: [{name}]}}" for name in self.names}
        targets["some"] = f"{{name_regex: '^c', pick: {self.dice.randint(1, len(self.names))}}}"
        lines = ["targets: {" + ", ".join(f"{name}: {how}" for name, how in targets.items()) + "}"]
        lines.append("probes: {up: {type: container, target: " + self.dice.choice(self.names) + ", every: 500ms}}")
        if self.dice.random() < 0.3:
            lines.append("steady_state: [{probe: up, availability: '>= 1%', for: 1s}]")
        if self.dice.random() < 0.2:
            lines.append("abort_if: [{probe: up, unavailable_for: 2s}]")
        if self.dice.random() < 0.2:
            lines.append(f"limits: {{timeout: {self.dice.randint(1, 12)}s}}")
        phases = [self._phase(f"p{number}", targets) for number in range(self.dice.randint(1, 3))]
        lines.append("phases: [" + ", ".join(phases) + "]")
        return "\n".join(lines) + "\n"

    def _phase(self, name: str, targets: dict[str, str]) -> str:
        duration = self.dice.choice((1, 4, 9))
        faults = [self._fault(duration, self.dice.choice(list(targets))) for _ in range(self.dice.randint(0, 3))]
        parts = [f"name: {name}", f"duration: {duration}s", "faults: [" + ", ".join(faults) + "]"]
        if self.dice.random() < 0.2:
            parts.append("repeat: {times: 2, every: 5s}")
        if self.dice.random() < 0.2:
            parts.append("wait_until: {probe: up, steady_for: 1s, timeout: 5s}")
        return "{" + ", ".join(parts) + "}"

    def _fault(self, duration: int, target: str) -> str:
        kind = self.dice.choice(
            (
                "type: container_kill",
                "type: container_kill, signal: SIGTERM",
                "type: container_pause",
                "type: container_stop, grace: 3s",
                "type: container_restart, grace: 2s",
                "type: exec, command: [do], undo_command: [undo]",
            )
        )
        at = self.dice.randint(0, duration)
        parts = [kind, f"target: {target}", f"at: {at}s"]
        if self.dice.random() < 0.3 and at < duration:
            parts.append(f"for: {self.dice.randint(1, duration - at)}s")
        return "{" + ", ".join(parts) + "}"

    async def submit(self, life: Life) -> None:
        """Ask for executions now and then."""
        while True:
            await anyio.sleep(self.dice.uniform(0, 12))
            self.submitted += 1
            try:
                execution = await life.submit(self.scenario())
            except CoordinatorError as error:
                self.note(f"refused: {error}")
            else:
                self.accepted.append(execution.id)
                self.note(f"accepted {self.submitted}")

    async def interfere(self, life: Life, disk: FailingLedger) -> None:
        """Stop executions, undo faults, crash actors, restart containers, take the engine or the disk away."""
        while True:
            await anyio.sleep(self.dice.expovariate(0.2))
            deed = self.dice.choice((self._stop, self._undo, self._crash, self._restart, self._restart, self._outage))
            await deed(life, disk)

    async def _stop(self, life: Life, _disk: FailingLedger) -> None:
        active = [one for one in self.accepted if life.executions.playing(one)]
        if active:
            self.note("stop")
            await life.executions.stop(self.dice.choice(active), "somebody asked")

    async def _undo(self, life: Life, _disk: FailingLedger) -> None:
        for execution_id in self.accepted:
            if life.executions.playing(execution_id):
                faults = (await life.executions.execution(execution_id)).faults
                if faults:
                    self.note("undo one")
                    await life.executions.undo(self.dice.choice(faults).id)
                    return

    async def _crash(self, life: Life, _disk: FailingLedger) -> None:
        actor = self.dice.choice(("executions", "recovery", "chaos"))
        view = life.supervisor.snapshot.find(actor)
        # A critical child that does not even start ends the process, which is another story.
        if view is not None and view.state is ChildState.RUNNING:
            self.note(f"crash {actor}")
            with suppress(ChildRefused):
                await life.supervisor.crash_child(actor)

    async def _restart(self, life: Life, _disk: FailingLedger) -> None:
        name = self.dice.choice(self.names)
        self.note(f"somebody restarts {name}")
        # To its end: what a person leaves half done is not ours to mend.
        with anyio.CancelScope(shield=True), suppress(EngineError):
            await life.engine.restart(name, 1.0, 0.0)

    async def _outage(self, life: Life, disk: FailingLedger) -> None:
        kind = self.dice.choice(("engine down", "engine hangs", "disk full"))
        self.note(kind)
        try:
            match kind:
                case "engine down":
                    life.engine.down()
                case "engine hangs":
                    life.engine.hang()
                case _:
                    disk.away = True
            await anyio.sleep(self.dice.uniform(0, LONGEST_OUTAGE_S))
        finally:
            disk.away = False
            life.engine.up()
        self.note("over")
