"""Samples probes at a fixed pace and remembers every sample: one task per probe in the execution's own task group.
Knows when a sample is due and what was missed; refuses to know what a sample means.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import anyio

from coordinator.errors import LedgerUnavailable
from coordinator.faults.facts import ContainerFacts
from coordinator.ports import Clock, Sampler
from coordinator.record import ProbeProgress, Reading, Sample, Series
from coordinator.samples import Samples
from coordinator.scenarios.probes import Probe

CHUNK: Final = 500
"""Samples of one probe that are handed on at once; so many waiting hand on early."""

FLUSH_EVERY_S: Final = 2.0
FLUSH_DEADLINE_S: Final = 5.0
RATE_WINDOW_S: Final = 5.0

CHANGES_AT_ONCE: Final = 20.0
CHANGE_EVERY_S: Final = 5.0
"""Of a probe that turns good and bad again and again so many changes are told at once, and then one so often: each is a
write to the ledger, and stays in memory.
"""

DUST_S: Final = 1e-6
"""Seconds within which two times are the same, for sums of binary fractions."""

UNANSWERED: Final = "no answer when the next sample was due"
STILL_BUSY: Final = "missed: the sample before it was still running"
OVERSLEPT: Final = "missed: the coordinator was too busy to take it"

Flush = Callable[[Series, str], Awaitable[None]]
OnSample = Callable[[str], None]
OnChange = Callable[[str, Sample, str], None]


@dataclass(slots=True)
class _Track:
    """One probe on its way."""

    name: str
    probe: Probe
    samples: Samples
    good: int = 0
    bad: int = 0
    late: int = 0
    last_error: str = ""
    told_ok: bool = True
    """What whoever is told of changes was told last."""
    may_tell: float = CHANGES_AT_ONCE
    may_tell_at: float = -math.inf
    flushed: int = 0
    handing: tuple[str, int] | None = None
    """The id and the end of a chunk that was handed on and is not known to be taken."""
    running: bool = False
    pending: int | None = None
    """The row of the sample that still runs although the next came due."""
    answered: deque[float] = field(default_factory=deque)
    next_sample: anyio.Event | None = None

    @property
    def settled(self) -> int:
        """Rows that will not change any more."""
        return len(self.samples) if self.pending is None else self.pending


class Samplers:
    """The samplers of one execution. A sample is due at every multiple of its probe's `every` from the start.

    A sample that still runs when the next is due makes that one missed: not ok, and counted late. A slow sample shifts
    no later one, and no probe is ever asked twice at once.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        *,
        prober: Sampler,
        clock: Clock,
        started: float,
        targets: Mapping[str, tuple[ContainerFacts, ...]],
        flush: Flush,
        on_sample: OnSample = lambda _name: None,
        on_change: OnChange = lambda _name, _sample, _error: None,
    ) -> None:
        """`started` is the execution's start on the clock; `targets` is read at every sample, so it may be renewed.

        `flush` is given the settled chunks of each probe in order; one it failed to take (LedgerUnavailable, or
        FLUSH_DEADLINE_S passed) is given again under its id. `on_sample` is called when a probe has a new or amended
        row, `on_change` with the sample and error when good turns bad and with an empty error when bad turns good, if
        it was not told too often.
        """
        self._prober = prober
        self._clock = clock
        self._started = started
        self._targets = targets
        self._flush_chunk = flush
        self._on_sample = on_sample
        self._on_change = on_change
        self._tracks = {name: _Track(name, probe, Samples(probe.every)) for name, probe in probes.items()}
        self._began = started
        self._scope: anyio.CancelScope | None = None
        self._stopped = False
        self._chunk_full = anyio.Event()
        self.flush_error = ""
        """Why samples are kept in memory only, or empty."""

    async def run(self) -> None:
        """Sample until `stop` or cancelled, then hand on the rest. Only what a callback raises comes out."""
        self._began = self._clock.monotonic()
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                if self._stopped:
                    self._scope.cancel()
                group.start_soon(self._flush_as_they_come)
                for track in self._tracks.values():
                    since = (self._began - self._started - DUST_S) / track.probe.every
                    track.samples.begin(max(0, math.ceil(since)))
                    group.start_soon(self._sample, track, name=f"probe {track.name}")
                    if track.probe.timeout > track.probe.every:
                        group.start_soon(self._watch, track, name=f"probe {track.name}: missed samples")
        finally:
            for track in self._tracks.values():
                track.pending = None
            await self._flush()

    def stop(self) -> None:
        """End `run`. A sample under way is given up; it counts only if the next was already due."""
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()

    def samples(self, name: str) -> Samples:
        """All samples of a probe, in order, growing. At most one row, with missed ones after it, may yet be amended."""
        return self._tracks[name].samples

    def progress(self, name: str) -> ProbeProgress:
        """How a probe fares. `late` counts missed samples, which `bad` counts too; `rate` is answers per second."""
        track = self._tracks[name]
        now = self._clock.monotonic()
        self._forget_old(track, now)
        window = min(RATE_WINDOW_S, now - self._began)
        return ProbeProgress(
            good=track.good,
            bad=track.bad,
            late=track.late,
            rate=round(len(track.answered) / window, 2) if window > 0 else 0.0,
            last_error=track.last_error,
        )

    def late(self, name: str) -> int:
        """How many samples of a probe were missed so far."""
        return self._tracks[name].late

    async def wait_sample(self, name: str) -> None:
        """Wait until a probe has a new or amended row, while `run` runs."""
        track = self._tracks[name]
        if track.next_sample is None:
            track.next_sample = anyio.Event()
        await track.next_sample.wait()

    # ------------------------------------------------------------ pace

    def _due(self, track: _Track, index: int) -> float:
        return self._started + track.samples.offset(index)

    async def _sample(self, track: _Track) -> None:
        """Take the samples of one probe for ever, each at its due time."""
        samples, every = track.samples, track.probe.every
        while True:
            await anyio.sleep(max(0.0, self._due(track, samples.upcoming) - self._clock.monotonic()))
            # Whoever wakes late takes the sample that is due now; the ones before it are missed.
            now_due = math.floor((self._clock.monotonic() - self._started + DUST_S) / every)
            while samples.upcoming < now_due:
                self._miss(track, OVERSLEPT)
            track.running = True
            reading = await self._prober.sample(track.probe, self._targets)
            track.running = False
            self._answer(track, reading)
            self._miss_overdue(track)

    async def _watch(self, track: _Track) -> None:
        """Record missed samples when they are missed, not when a slow answer comes at last: aborting must not wait."""
        # A hair after the due time, so that an answer at that very moment comes first.
        grace = min(track.probe.every / 10, 0.01)
        while True:
            upcoming = track.samples.upcoming + (track.running and track.pending is None)
            await anyio.sleep(max(0.0, self._due(track, upcoming) - self._clock.monotonic()) + grace)
            if track.running:
                self._miss_overdue(track)

    def _miss_overdue(self, track: _Track) -> None:
        """Record as missed what came due while a sample was running; its own row comes first, to be amended."""
        now = self._clock.monotonic() - DUST_S
        if track.running and track.pending is None:
            if self._due(track, track.samples.upcoming + 1) >= now:
                return
            track.pending = len(track.samples)
            self._add(track, Reading(ok=False, error=UNANSWERED))
        while self._due(track, track.samples.upcoming) < now:
            self._miss(track, STILL_BUSY)

    # ------------------------------------------------------------ rows

    def _answer(self, track: _Track, reading: Reading) -> None:
        now = self._clock.monotonic()
        track.answered.append(now)
        self._forget_old(track, now)
        if track.pending is None:
            self._add(track, reading)
            return
        track.samples.amend(track.pending, reading)
        track.pending = None
        if reading.ok:
            track.good, track.bad = track.good + 1, track.bad - 1
        else:
            track.last_error = reading.error
        self._tell(track)

    def _miss(self, track: _Track, why: str) -> None:
        track.late += 1
        self._add(track, Reading(ok=False, error=why))

    def _add(self, track: _Track, reading: Reading) -> None:
        track.samples.add(reading)
        if reading.ok:
            track.good += 1
        else:
            track.bad += 1
            track.last_error = reading.error
        if reading.ok != track.told_ok and self._has_room(track):
            track.told_ok = reading.ok
            self._on_change(track.name, track.samples[-1], reading.error)
        self._tell(track)

    def _has_room(self, track: _Track) -> bool:
        """Whether one more change may be told; counts it if so."""
        now = self._clock.monotonic()
        gained = (now - track.may_tell_at) / CHANGE_EVERY_S
        track.may_tell, track.may_tell_at = min(CHANGES_AT_ONCE, track.may_tell + gained), now
        if track.may_tell < 1:
            return False
        track.may_tell -= 1
        return True

    def _tell(self, track: _Track) -> None:
        if track.next_sample is not None:
            track.next_sample.set()
            track.next_sample = None
        if track.settled - track.flushed >= CHUNK:
            self._chunk_full.set()
        self._on_sample(track.name)

    def _forget_old(self, track: _Track, now: float) -> None:
        while track.answered and track.answered[0] < now - RATE_WINDOW_S:
            track.answered.popleft()

    # ------------------------------------------------------------ handing on

    async def _flush_as_they_come(self) -> None:
        while True:
            with anyio.move_on_after(FLUSH_EVERY_S):
                await self._chunk_full.wait()
            self._chunk_full = anyio.Event()
            await self._flush()

    async def _flush(self) -> None:
        """Hand on every settled row, of all probes side by side, so that the ledger writes them in few transactions.

        Shielded, so that what is counted as handed on is what was.
        """
        failed: list[str] = []
        with anyio.move_on_after(FLUSH_DEADLINE_S, shield=True) as deadline:
            async with anyio.create_task_group() as group:
                for track in self._tracks.values():
                    if track.flushed < track.settled:
                        group.start_soon(self._flush_one, track, failed)
        if deadline.cancelled_caught:
            failed.append(f"the ledger took no samples within {FLUSH_DEADLINE_S:g} s")
        self.flush_error = failed[0] if failed else ""

    async def _flush_one(self, track: _Track, failed: list[str]) -> None:
        """Hand on what one probe has; why that failed is added to `failed`."""
        try:
            while track.flushed < track.settled:
                # The same chunk once more where it is not known to be taken: it may be by now.
                track.handing = track.handing or (uuid4().hex, min(track.settled, track.flushed + CHUNK))
                uid, end = track.handing
                samples = tuple(track.samples[track.flushed : end])
                await self._flush_chunk(Series(probe=track.name, samples=samples), uid)
                track.flushed, track.handing = end, None
        except LedgerUnavailable as error:
            failed.append(str(error))
