"""The demo: a small real system, one of its replicas killed by the product, and what came of it.

Brings up a front end and two replicas, runs the built-in scenario kill-one-replica against them through the ordinary
command line, prints verdict, recovery time, report and causal tree, removes all it made, and exits as `run` does.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "coordinator"]
UP_WITHIN_S = 20
UNDO_WITHIN_S = 30
SCENARIO = "kill-one-replica"


class Interrupted(Exception):
    """A signal asked the demo to end."""


def main() -> int:
    """Up, run, tell, down."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)
    tag = uuid4().hex[:6]
    reports = ROOT / "reports" / datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")
    # A folder of its own: the demo neither joins a coordinator that runs here nor leaves traces in its ledger.
    data = Path(".cache", "demo", tag)
    environment = os.environ | {"DATA_DIR": str(ROOT / data)}
    try:
        with system(tag) as url:
            tell(f"the front end answers at {url}; now {SCENARIO}")
            variables = {"label": f"test-coordinator.demo-run={tag}", "url": url}
            options = [part for name, value in variables.items() for part in ("--var", f"{name}={value}")]
            status = play([*PROGRAM, "run", SCENARIO, *options, "--report-dir", str(reports)], environment)
            show(reports, data, environment)
        return status
    except Interrupted:
        tell("interrupted; everything was removed")
        return 130


@contextlib.contextmanager
def system(tag: str) -> Iterator[str]:
    """The front end's address while front end and replicas run; all of it is removed at the end."""
    tell("bringing up a front end and two replicas")
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    built = subprocess.run(build, check=False, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("demo: the image could not be built")
    image = built.stdout.strip()
    made: list[list[str]] = []
    try:
        network = docker("network", "create", "--label", f"test-coordinator.demo-network={tag}", f"tc-demo-{tag}")
        made.append(["network", "rm", network])
        replicas = [f"tc-demo-{tag}-replica-{number}" for number in (1, 2)]
        for name in replicas:
            labels = ["test-coordinator.demo=replica", f"test-coordinator.demo-run={tag}"]
            start(made, image, network, name, labels, ["replica", name])
        front = f"tc-demo-{tag}-front"
        identity = start(made, image, network, front, ["test-coordinator.demo=front"], ["front", *replicas])
        address = docker("port", identity, "8000/tcp").splitlines()[0]
        wait_until_it_answers(address)
        yield f"http://{address}/"
    finally:
        # A second Ctrl-C must not leave half of it standing.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        tell("removing the demo's containers and network")
        for argv in reversed(made):
            subprocess.run(["docker", *argv], check=False, stdout=subprocess.DEVNULL, start_new_session=True)


def start(made: list[list[str]], image: str, network: str, name: str, labels: list[str], role: list[str]) -> str:
    """A container of the demo, noted in `made` before it starts; its id."""
    # The label lets the demo run where only containers that opt in are targets.
    marks = [part for label in [*labels, "test-coordinator.target=true"] for part in ("--label", label)]
    published = ["--publish", "127.0.0.1::8000"] if role[0] == "front" else []
    options = ["--name", name, "--network", network, *marks, *published]
    identity = docker("create", *options, image, "python3", "/srv/service.py", *role)
    made.append(["rm", "--force", "--volumes", identity])
    docker("start", identity)
    return identity


def wait_until_it_answers(address: str) -> None:
    """Return when the front end answers 200, which takes one replica; exits with a message if it does not."""
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            if connection.getresponse().status == http.client.OK:
                return
        connection.close()
        time.sleep(0.1)
    sys.exit(f"demo: the front end at {address} did not answer within {UP_WITHIN_S} s")


def play(argv: list[str], environment: dict[str, str]) -> int:
    """The exit status of `run`, which talks to this terminal; interrupted, it gets the time to undo what it did."""
    tell("$ test-coordinator " + " ".join(argv[len(PROGRAM) :]))
    # A session of its own: Ctrl-C reaches it once, from here, and not twice.
    process = subprocess.Popen(argv, env=environment, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(UNDO_WITHIN_S)
            process.kill()


def show(reports: Path, data: Path, environment: dict[str, str]) -> None:
    """Verdict, recovery time, the report's path and the causal tree."""
    written = sorted(reports.glob("*.json"))
    if not written:
        return
    report = json.loads(written[0].read_text())
    claims = [item for item in report["assertions"] if item["metric"] == "recovers_within"]
    recovery = [f"{item['on']} {item['actual']}" for item in claims]
    print(f"\nverdict:   {report['verdict']}")
    print(f"recovery:  {', '.join(str(value) for value in recovery) or 'not measured'}")
    for path in sorted(reports.iterdir()):
        print(f"report:    {path.relative_to(ROOT)}")
    print(f"\nwhat happened, as a tree (DATA_DIR={data} test-coordinator logs {report['id']}):\n", flush=True)
    subprocess.run([*PROGRAM, "logs", report["id"]], env=environment, check=False)


def docker(*argv: str) -> str:
    """Standard output of a docker command. Exits with the command's own words if it fails."""
    done = subprocess.run(["docker", *argv], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"demo: docker {argv[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def interrupt(number: int, _frame: FrameType | None) -> None:
    """The signal handler."""
    raise Interrupted(signal.Signals(number).name)


def tell(text: str) -> None:
    """A line of the demo's own, apart from what the product says."""
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
