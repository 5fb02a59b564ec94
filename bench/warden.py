"""From SIGKILL of a coordinator to what it had broken being whole again, beside the bare docker command that mends it.

Each round starts a `run` of its own, waits for its fault and kills it. Prints medians and their ratio, and the memory
of the warden while it waits. Bare: one `docker unpause ID` or `docker start ID` process from start to end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psutil

ROOT = Path(__file__).resolve().parent.parent
LABEL = "test-coordinator.bench"
WITHIN_S = 60.0
MENDED_BY = {"container_pause": "unpause", "container_stop": "start", "container_kill": "start"}
BROKEN_BY = {"unpause": ("pause",), "start": ("stop", "-t", "0")}


def main() -> int:
    """Measure each fault and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"{'fault':<18}{'ours ms':>10}{'bare ms':>10}{'ratio':>8}{'slowest ms':>12}{'warden MB':>12}")
    image = docker_image()
    container = f"tc-bench-{uuid4().hex[:8]}"
    docker("run", "--detach", "--label", f"{LABEL}=warden", "--name", container, image)
    try:
        for fault, verb in MENDED_BY.items():
            found = [killed(fault, container) for _ in range(rounds)]
            ours, memory = [took for took, _ in found], max(size for _, size in found)
            bare = statistics.median(by_hand(verb, container) for _ in range(rounds))
            median = statistics.median(ours)
            print(f"{fault:<18}{median:>10.0f}{bare:>10.0f}{median / bare:>8.2f}{max(ours):>12.0f}{memory:>12.1f}")
    finally:
        docker("rm", "--force", container)
    return 0


def killed(fault: str, container: str) -> tuple[float, float]:
    """Milliseconds from the kill to the container running, and the warden's megabytes before it."""
    phase = {"name": "p", "duration": "300s", "faults": [{"type": fault, "target": "t"}]}
    scenario = {
        "apiVersion": "test-coordinator/v1", "kind": "Scenario", "metadata": {"name": "bench"},
        "targets": {"t": {"names": [container]}}, "phases": [phase],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder, "scenario.json"), Path(folder, "logs", "test-coordinator.jsonl")
        file.write_text(json.dumps(scenario))
        run = subprocess.Popen(
            [sys.executable, "-m", "coordinator", "run", str(file)], env=os.environ | {"DATA_DIR": folder}, cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        until(lambda: said(log, "execution:fault_effective") is not None or run.poll() is not None)
        watching, effective = said(log, "warden:watches"), said(log, "execution:fault_effective")
        if watching is None or effective is None:
            raise RuntimeError(run.communicate()[1].decode())
        warden = psutil.Process(watching["pid"])
        memory = warden.memory_info().rss / 1e6
        begun = time.perf_counter()
        run.kill()
        until(lambda: state(container) == "running")
        took = (time.perf_counter() - begun) * 1000
        run.communicate()
        until(lambda: not warden.is_running())
    return took, memory


def by_hand(verb: str, container: str) -> float:
    """Milliseconds of the command that mends it."""
    docker(*BROKEN_BY[verb], container)
    begun = time.perf_counter()
    docker(verb, container)
    return (time.perf_counter() - begun) * 1000


def said(log: Path, message_type: str) -> dict[str, int] | None:
    """A message of that type."""
    lines = log.read_text().splitlines() if log.exists() else []
    found = [line for line in lines if f'"{message_type}"' in line]
    return json.loads(found[0]) if found else None


def state(container: str) -> str:
    """`State.Status`."""
    return docker("inspect", "--format", "{{.State.Status}}", container)


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def docker(*argv: str) -> str:
    """Standard output of a docker command."""
    return subprocess.run(["docker", *argv], check=True, capture_output=True, text=True).stdout.strip()


def docker_image() -> str:
    """The sandbox image, which idles."""
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
