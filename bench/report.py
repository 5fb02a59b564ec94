"""Measures reports of an hour at 10 Hz: 20 probes, 720,000 samples, in every format.

    python -m bench.report [--probes 20] [--samples 36000] [--rounds 3] [--check]

Seconds are the processor's, so that a machine that is busy with other things says nearly the same. `--check` fails when
the page takes 3 or more. Also told: what it takes to read the report object back, as the command
line does with a coordinator's.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from coordinator.record import (
    Execution,
    ExecutionState,
    Fault,
    FaultClass,
    FaultState,
    Report,
    Sample,
    Series,
    TargetOutcome,
    TimelineEntry,
    UndoState,
    Verdict,
)
from coordinator.reports import FORMATS, parse_report

BEGIN: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVERY_S: Final = 0.1
MOST_S: Final = 3.0
FAULT_EVERY_S: Final = 60.0
FAULT_FOR_S: Final = 10.0
NOTICED: Final = 0.8
"""The part of the samples that is bad while a fault is in force."""


def main() -> int:
    """Measure and print; 1 when `--check` finds the page too slow."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=20)
    parser.add_argument("--samples", type=int, default=36_000, help="of each probe")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    report = made(options.probes, options.samples)
    print(f"{options.probes} probes, {options.probes * options.samples} samples; the best of {options.rounds} rounds")
    took = {}
    for name, form in FORMATS.items():
        took[name], text = best(partial(form.render, report), options.rounds)
        print(f"{name:10} {took[name]:7.3f} s {len(text.encode()) / 1e6:8.2f} MB")
    text = FORMATS["json"].render(report)
    print(f"{'read back':10} {best(partial(parse_report, text), options.rounds)[0]:7.3f} s")
    return int(options.check and took["html"] >= MOST_S)


def best(work: Callable[[], object], rounds: int) -> tuple[float, str]:
    """Seconds of the quickest round, and what it made."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        outcome = work()
        found.append((time.process_time() - begun, outcome))
    quickest, outcome = min(found, key=lambda one: one[0])
    return quickest, str(outcome) if isinstance(outcome, str) else ""


def made(probes: int, samples: int) -> Report:
    """A report with a fault every minute, and failures while it is in force."""
    dice = random.Random(7)  # noqa: S311  # samples, not secrets
    length_s = samples * EVERY_S
    rounds = range(1, int(length_s // FAULT_EVERY_S) + 1)
    execution = Execution(
        id="00000000-0000-4000-8000-000000000000", scenario="an-hour", state=ExecutionState.FINISHED,
        verdict=Verdict.PASSED, undo=UndoState.COMPLETE, seed=7, plan_hash="0123456789abcdef", created_at=BEGIN,
        started_at=BEGIN, finished_at=after(length_s), faults=tuple(fault(number) for number in rounds),
        timeline=tuple(event(number, name) for number in rounds for name in ("phase_started", "phase_ended")),
    )  # fmt: skip
    return Report(
        execution=execution, probes={f"probe-{number}": series(number, samples, dice) for number in range(probes)}
    )


def event(number: int, name: str) -> TimelineEntry:
    """Something told of minute `number`."""
    begun = FAULT_EVERY_S * number
    return TimelineEntry(at=after(begun), offset_s=begun, phase=f"outage[{number}]", event=name)


def fault(number: int) -> Fault:
    """A pause of ten seconds in minute `number`."""
    due = FAULT_EVERY_S * number
    target = TargetOutcome(
        container_id="c0ffee",
        name="web-1",
        effective_at=after(due + 0.05),
        undone_at=after(due + FAULT_FOR_S),
        outcome="effective",
    )
    return Fault(
        id=str(number), execution_id="0", phase=f"outage[{number}]", type="container_pause", target="web",
        fault_class=FaultClass.JOURNAL, mechanism="docker pause", state=FaultState.UNDONE, due_at=after(due),
        undone_at=after(due + FAULT_FOR_S), targets=(target,), inject_commands=("docker pause c0ffee",),
        undo_commands=("docker unpause c0ffee",),
    )  # fmt: skip


def series(number: int, samples: int, dice: random.Random) -> Series:
    """The samples of one probe; every third does not notice the faults."""
    rows = []
    for index in range(samples):
        at = round(index * EVERY_S, 6)
        in_force = at >= FAULT_EVERY_S and at % FAULT_EVERY_S < FAULT_FOR_S
        bad = number % 3 != 0 and in_force and dice.random() < NOTICED
        rows.append(Sample(at, not bad, None if bad else dice.lognormvariate(-4, 0.5), 200.0))
    return Series(probe=f"probe-{number}", samples=tuple(rows))


def after(seconds: float) -> datetime:
    """A moment of the execution."""
    return BEGIN + timedelta(seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
