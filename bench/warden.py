"""From SIGKILL of a coordinator to what it had broken being whole again, beside the bare docker command that mends it.

Each round starts a `run` of its own, waits for its fault and kills it; with `--image` a `serve` in a container of the
image, which is killed there below its warden. Prints medians and their ratio, and the memory of the warden while it
waits. Bare: one `docker unpause ID` or `docker start ID` process from start to end. Needs Docker; `--image` root too.
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
from functools import partial
from pathlib import Path
from uuid import uuid4

import httpx
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
    parser.add_argument("--image", action="store_true", help="in containers of the image of this tree")
    options = parser.parse_args()
    rounds = options.rounds
    print(f"{'fault':<18}{'ours ms':>10}{'bare ms':>10}{'ratio':>8}{'slowest ms':>12}{'warden MB':>12}")
    image = built("sandbox_image.py")
    one = partial(killed_inside, image=built("image.py")) if options.image else killed
    container = f"tc-bench-{uuid4().hex[:8]}"
    docker("run", "--detach", "--label", f"{LABEL}=warden", "--name", container, image)
    try:
        for fault, verb in MENDED_BY.items():
            found = [one(fault, container) for _ in range(rounds)]
            ours, memory = [took for took, _ in found], max(size for _, size in found)
            bare = statistics.median(by_hand(verb, container) for _ in range(rounds))
            median = statistics.median(ours)
            print(f"{fault:<18}{median:>10.0f}{bare:>10.0f}{median / bare:>8.2f}{max(ours):>12.0f}{memory:>12.1f}")
    finally:
        docker("rm", "--force", container)
    return 0


def killed(fault: str, container: str) -> tuple[float, float]:
    """Milliseconds from the kill to the container running, and the warden's megabytes before it."""
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder, "scenario.json"), Path(folder, "logs", "test-coordinator.jsonl")
        file.write_text(json.dumps(scenario(fault, container)))
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
        took = mended_after(run.kill, container)
        run.communicate()
        until(lambda: not warden.is_running())
    return took, memory


def killed_inside(fault: str, container: str, *, image: str) -> tuple[float, float]:
    """The same of a `serve` in a container of this image."""
    socket = "/var/run/docker.sock"
    options = ("--label", f"{LABEL}=warden", "--volume", f"{socket}:{socket}", "--publish", "127.0.0.1::8080")
    served = docker("run", "--detach", *options, image)
    try:
        until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", served) == "healthy")
        token = docker("exec", served, "cat", "/var/lib/test-coordinator/api-token")
        url = f"http://{docker('port', served, '8080').splitlines()[0]}/api/v1/executions"
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
            execution = http.post(url, json={"definition": scenario(fault, container)}).raise_for_status().json()["id"]
            until(lambda: [each["state"] for each in http.get(f"{url}/{execution}").json()["faults"]] == ["active"])
        first = psutil.Process(int(docker("inspect", "--format", "{{.State.Pid}}", served)))
        # Its parents have the word in their own command lines.
        serving = (each for each in first.children(recursive=True) if each.cmdline()[-1:] == ["serve"])
        serve = max(serving, key=psutil.Process.create_time)
        parent = serve.parent()
        assert parent is not None
        memory = parent.memory_info().rss / 1e6
        took = mended_after(serve.kill, container)
        until(lambda: state(served) == "exited")
        return took, memory
    finally:
        docker("rm", "--force", "--volumes", served)


def scenario(fault: str, container: str) -> dict[str, object]:
    """One that breaks the container, for longer than anybody waits."""
    phase = {"name": "p", "duration": "300s", "faults": [{"type": fault, "target": "t"}]}
    return {
        "apiVersion": "test-coordinator/v1", "kind": "Scenario", "metadata": {"name": "bench"},
        "targets": {"t": {"names": [container]}}, "phases": [phase],
    }  # fmt: skip


def mended_after(kill: Callable[[], None], container: str) -> float:
    """Milliseconds from the kill until the container runs."""
    begun = time.perf_counter()
    kill()
    until(lambda: state(container) == "running")
    return (time.perf_counter() - begun) * 1000


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


def built(tool: str) -> str:
    """The image that this tool of ours builds, or has built."""
    build = [sys.executable, str(ROOT / "tools" / tool)]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
