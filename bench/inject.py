"""From a fault's due time to its effect, beside the bare docker command line doing the same in the same run.

Prints medians and their ratio for pause and kill of 1 and of 20 containers, and the time arming took, which is spent
before the due time. Bare: one `docker pause ID…` process from start to end, which proves nothing about the effect.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import anyio

from coordinator.assembly import embedded
from coordinator.logging import task
from coordinator.ports import Control
from coordinator.record import Execution, FaultState, Submission
from coordinator.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
LABEL = "test-coordinator.bench"
LIMIT = 1.3
UNDO = {"pause": "unpause", "kill": "start"}


@dataclass(slots=True)
class Times:
    """Milliseconds, one entry per round."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    arming: list[float] = field(default_factory=list)

    def row(self, verb: str, count: int) -> tuple[str, float]:
        """One line of the table, and the ratio."""
        ours, bare = statistics.median(self.ours), statistics.median(self.bare)
        ratio = ours / bare
        armed = statistics.median(self.arming)
        return f"{verb:<6}{count:>4}{ours:>12.1f}{bare:>12.1f}{ratio:>9.2f}{armed:>12.1f}", ratio


def main() -> int:
    """Measure all four and print the table; 1 if a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds for 1 container; a third of it for 20")
    rounds = parser.parse_args().rounds
    logging.disable()
    print(f"{'verb':<6}{'n':>4}{'ours ms':>12}{'bare ms':>12}{'ratio':>9}{'arming ms':>12}")
    worst = 0.0
    for count in (1, 20):
        with containers(count) as (ids, tag):
            for verb in ("pause", "kill"):
                times = anyio.run(measure, verb, ids, tag, rounds if count == 1 else max(3, rounds // 3))
                row, ratio = times.row(verb, count)
                print(row, flush=True)
                worst = max(worst, ratio)
    print(f"worst ratio {worst:.2f}, limit {LIMIT}")
    return int(worst > LIMIT)


async def measure(verb: str, ids: list[str], tag: str, rounds: int) -> Times:
    """Ours and bare, one after the other in each round, so that a busy moment hits both."""
    times = Times()
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(data_dir=Path(data), service_instance_name=f"bench-{tag}", log_level="WARNING")
        async with embedded(settings) as control:
            for _ in range(rounds):
                await ours(control, verb, tag, times)
                await anyio.to_thread.run_sync(bare, verb, ids, times)
    return times


async def ours(control: Control, verb: str, tag: str, times: Times) -> None:
    """One execution with one fault over all containers, undone at the end of its phase."""
    with task("bench"):
        accepted = await control.submit(Submission(source=scenario(verb, tag)))
    execution = await control.finished(accepted.id)
    fault = execution.faults[0]
    if fault.state is not FaultState.UNDONE or fault.due_at is None or fault.armed_at is None:
        sys.exit(f"bench: {verb} was not injected: {execution.reason}")
    effects = [target.effective_at for target in fault.targets if target.effective_at is not None]
    times.ours.append((max(effects) - fault.due_at).total_seconds() * 1000)
    times.arming.append(arming_ms(execution))


def arming_ms(execution: Execution) -> float:
    """From the end of resolving the targets to the last fault armed."""
    resolved = max(entry.at for entry in execution.timeline if entry.event == "target_resolved")
    armed = max(entry.at for entry in execution.timeline if entry.event == "fault_armed")
    return (armed - resolved).total_seconds() * 1000


def bare(verb: str, ids: list[str], times: Times) -> None:
    """The docker command line alone."""
    begun = time.perf_counter()
    subprocess.run(["docker", verb, *ids], check=True, stdout=subprocess.DEVNULL)
    times.bare.append((time.perf_counter() - begun) * 1000)
    subprocess.run(["docker", UNDO[verb], *ids], check=True, stdout=subprocess.DEVNULL)


def scenario(verb: str, tag: str) -> str:
    """JSON is YAML."""
    fault = {"type": f"container_{verb}", "target": "all", "at": "500ms"}
    return json.dumps(
        {
            "apiVersion": "test-coordinator/v1",
            "kind": "Scenario",
            "metadata": {"name": f"bench-{verb}"},
            "targets": {"all": {"labels": {LABEL: tag}}},
            "phases": [{"name": "fault", "duration": "700ms", "faults": [fault]}],
        }
    )


@contextmanager
def containers(count: int) -> Iterator[tuple[list[str], str]]:
    """Idle containers, removed by id at the end."""
    tag = uuid4().hex[:8]
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    image = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    ids: list[str] = []
    try:
        for number in range(count):
            argv = [
                "docker",
                "run",
                "--detach",
                "--label",
                f"{LABEL}={tag}",
                "--name",
                f"tc-bench-{tag}-{number}",
                image,
            ]
            ids.append(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip())
        yield ids, tag
    finally:
        if ids:
            subprocess.run(["docker", "rm", "--force", *ids], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
