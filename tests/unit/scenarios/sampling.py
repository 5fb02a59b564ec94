"""Samplers on a stage: what is asked takes as long and reads as a test says, and what is told is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import anyio.lowlevel

from coordinator.errors import LedgerUnavailable
from coordinator.faults.facts import ContainerFacts
from coordinator.record import Reading, Sample, Series
from coordinator.samples import Samples
from coordinator.scenarios.probes import HttpProbe, Probe
from coordinator.scenarios.sample import Samplers

GOOD = Reading(ok=True, latency_s=0.01, value=200.0)


@dataclass
class LoopClock:
    """The event loop's clock, which a machine that slept finds `ahead`."""

    ahead: float = 0.0

    def monotonic(self) -> float:
        return anyio.current_time() + self.ahead

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Script:
    """Satisfies Prober: sample n takes `takes(n)` seconds and reads `reads(n)`; watches that none overlap."""

    reads: Callable[[int], Reading] = lambda _n: GOOD
    takes: Callable[[int], float] = lambda _n: 0.0
    asked_at: list[float] = field(default_factory=list)
    busy: dict[int, int] = field(default_factory=dict)
    most_at_once: int = 0

    async def sample(self, probe: Probe, targets: Mapping[str, tuple[ContainerFacts, ...]]) -> Reading:
        number = len(self.asked_at)
        self.asked_at.append(anyio.current_time())
        self.busy[id(probe)] = self.busy.get(id(probe), 0) + 1
        self.most_at_once = max(self.most_at_once, self.busy[id(probe)])
        try:
            await anyio.sleep(self.takes(number))
        finally:
            self.busy[id(probe)] -= 1
        return self.reads(number)


@dataclass
class Story:
    """Samplers with everything they call written down."""

    script: Script
    every: str = "100ms"
    timeout: str = "50ms"
    names: Sequence[str] = ("api",)
    chunks: list[Series] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    changes: list[tuple[float, bool, str]] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)
    refuse: bool = False
    clock: LoopClock = field(default_factory=LoopClock)
    on_sample: Callable[[str], None] = lambda _name: None
    samplers: Samplers = field(init=False)
    started: float = field(init=False)

    async def flush(self, series: Series, uid: str) -> None:
        await anyio.lowlevel.checkpoint()
        if self.refuse:
            raise LedgerUnavailable("the disk is full")
        self.chunks.append(series)
        self.uids.append(uid)

    def sampled(self, name: str) -> None:
        self.told.append((name, len(self.samplers.samples(name))))
        self.on_sample(name)

    def start(self, *, ago: float = 0.0) -> Samplers:
        """Samplers of an execution that started `ago` seconds ago."""
        fields = {"url": "http://127.0.0.1/", "every": self.every, "timeout": self.timeout}
        self.started = anyio.current_time() - ago
        self.samplers = Samplers(
            {name: HttpProbe.model_validate(fields) for name in self.names},
            prober=self.script,
            clock=self.clock,
            started=self.started,
            targets={},
            flush=self.flush,
            on_sample=self.sampled,
            on_change=lambda _name, sample, error: self.changes.append((sample.offset_s, sample.ok, error)),
        )
        return self.samplers

    async def play(self, seconds: float, *, ago: float = 0.0) -> Samples:
        """Sample for so long; the end lies between two due times."""
        samplers = self.start(ago=ago)
        async with anyio.create_task_group() as group:
            group.start_soon(samplers.run)
            await anyio.sleep(seconds)
            samplers.stop()
        return samplers.samples(self.names[0])

    def flushed(self, name: str = "api") -> list[Sample]:
        """All that was handed on for a probe."""
        return [sample for series in self.chunks if series.probe == name for sample in series.samples]
