"""What others leave behind who are ended in the middle: Chaos Toolkit, a shell script with traps, and this coordinator,
each in the same experiment on the same stage, ended by the same signals at the same drawn instants.

The experiment pauses one container, takes another out of a network a second later, holds both for two seconds and puts
them back. An instant is drawn from when the pause is seen. Prints the table that the documentation shows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.integration.coordinator_process import PROGRAM, kill
from tests.torture import leftovers
from tests.torture.__main__ import sandbox_image, say
from tests.torture.model import Death
from tests.torture.snapshot import differences, look
from tests.torture.stage import Stage
from tests.torture.victims import SIGNALS
from tests.torture.waiting import happens

CHAOS_TOOLKIT: Final = "chaostoolkit==1.19.0"
FIRST_S: Final = 1.0
"""How long the pause is alone."""
HOLD_S: Final = 2.0
"""How long both are in force."""
SEEN_WITHIN_S: Final = 60.0
PUT_BACK_WITHIN_S: Final = 15.0
"""After the end of the tool."""
TELLS: Final = 0.02
"""Seconds between two looks where a time is told."""


ENDS: Final = (Death.NONE, Death.INT, Death.TERM, Death.HUP, Death.KILL, Death.GROUP, Death.FROZEN)
"""What happens to the tool."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the experiment is done to: the paused container, the cut off one, its network and its address there."""

    paused: str
    cut: str
    network: str
    address: str

    @property
    def faults(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Two docker commands."""
        return ("pause", self.paused), ("network", "disconnect", self.network, self.cut)

    @property
    def undos(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Two docker commands, the last fault's first."""
        return ("network", "connect", "--ip", self.address, self.network, self.cut), ("unpause", self.paused)


Writer = Callable[[Scene, Path], Sequence[str]]
"""Writes what the tool reads into a folder; gives its command line."""


def shell_script(scene: Scene, folder: Path) -> Sequence[str]:
    """As a careful person writes it: every signal that can be caught ends the script, and its end undoes."""
    undo = "\n".join(f"  docker {shlex.join(argv)} || true" for argv in scene.undos)
    first, second = (f"docker {shlex.join(argv)}" for argv in scene.faults)
    # A trap waits for the command in the foreground: `sleep` must not be it.
    text = f"""
undo() {{
{undo}
}}
trap undo EXIT
trap 'exit 1' INT TERM HUP QUIT
{first}
sleep {FIRST_S} & wait $!
{second}
sleep {HOLD_S} & wait $!
"""
    script = folder / "experiment.sh"
    script.write_text(text)
    return "bash", str(script)


def experiment(scene: Scene, folder: Path, *, chaos: Path, options: Sequence[str] = ()) -> Sequence[str]:
    """Chaos Toolkit's: two actions and their rollbacks by its process provider."""
    first, second = (_activity(argv) for argv in scene.faults)
    content = {
        "title": "pause and cut off",
        "description": "what is left",
        "method": [
            {**first, "pauses": {"after": FIRST_S}},
            {**second, "pauses": {"after": HOLD_S}},
        ],
        "rollbacks": [_activity(argv) for argv in scene.undos],
    }
    (folder / "experiment.json").write_text(json.dumps(content))
    return str(chaos), "--no-version-check", "run", *options, "experiment.json"


def _activity(argv: Sequence[str]) -> dict[str, object]:
    provider = {"type": "process", "path": "docker", "arguments": list(argv)}
    return {"type": "action", "name": f"docker {' '.join(argv)}", "provider": provider}


def scenario(scene: Scene, folder: Path) -> Sequence[str]:
    """Ours: `run` of a scenario file."""
    content = {
        "apiVersion": "test-coordinator/v1",
        "kind": "Scenario",
        "metadata": {"name": "peers"},
        "targets": {"paused": {"names": [scene.paused]}, "cut": {"names": [scene.cut]}},
        "phases": [
            {
                "name": "both",
                "duration": f"{FIRST_S + HOLD_S:g}s",
                "faults": [
                    {"type": "container_pause", "target": "paused"},
                    {"type": "network_disconnect", "target": "cut", "network": scene.network, "at": f"{FIRST_S:g}s"},
                ],
            }
        ],
    }
    (folder / "experiment.yaml").write_text(json.dumps(content))
    return *PROGRAM, "run", "experiment.yaml"


@dataclass(frozen=True, slots=True)
class Result:
    """How a round ended. `broken` is what is not up or not connected, `other` whatever else is not as before."""

    end: Death
    broken: tuple[str, ...]
    other: tuple[str, ...]
    undone_s: float | None
    """From the blow to the moment when nothing was broken any more."""


def play(write: Writer, end: Death, after_s: float, stage: Stage) -> Result:
    """One round. Raises AssertionError where the experiment does not begin."""
    names = stage.names
    front = names["front"]
    scene = Scene(paused=names["old"], cut=names["web"], network=front, address=stage.address(front, 12))
    before = look(stage, ["web"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        own = {"DATA_DIR": str(folder / "data"), "SERVICE_INSTANCE_NAME": f"peers-{stage.tag}", "HTTP_PORT": "0"}
        tool = subprocess.Popen(
            write(scene, folder), cwd=folder, env=os.environ | own, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            assert happens(lambda: bool(broken(stage)), SEEN_WITHIN_S, TELLS), "the pause was never seen"
            blow = _struck(tool, end, after_s)
            whole = happens(lambda: not broken(stage), PUT_BACK_WITHIN_S, TELLS)
            undone_s = time.monotonic() - blow if whole else None
            happens(lambda: not differences(before, look(stage, ["web"])), 2.0)
            left = tuple(broken(stage))
            other = () if left else tuple(differences(before, look(stage, ["web"])))
            happens(lambda: not leftovers.processes(folder / "data"), PUT_BACK_WITHIN_S)
        finally:
            _ended(tool, folder / "data")
    return Result(end, left, other, undone_s)


def _struck(tool: subprocess.Popen[bytes], end: Death, after_s: float) -> float:
    """When the tool was hit, as time.monotonic; for one that is left alone, when it ended."""
    if end is Death.NONE:
        tool.wait(SEEN_WITHIN_S)
        return time.monotonic()
    time.sleep(after_s)
    blow = time.monotonic()
    if end is Death.GROUP:
        os.killpg(tool.pid, signal.SIGKILL)
    elif end is Death.FROZEN:
        tool.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        blow = time.monotonic()
        tool.kill()
    else:
        tool.send_signal(SIGNALS.get(end, signal.SIGKILL))
    return blow


def _ended(tool: subprocess.Popen[bytes], data_dir: Path) -> None:
    """Nothing of it runs any more: what it put back until now is what counts."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(tool.pid, signal.SIGKILL)
    tool.wait()
    for pid in leftovers.processes(data_dir):
        kill(pid)


def broken(stage: Stage) -> list[str]:
    """What the experiment did and is still in force."""
    found = []
    if stage.api.inspect_container(stage.ids["old"])["State"]["Paused"]:
        found.append("paused")
    if stage.names["front"] not in stage.api.inspect_container(stage.ids["web"])["NetworkSettings"]["Networks"]:
        found.append("cut off")
    return found


def contest(write: Writer, rounds: int, image: str) -> list[Result]:
    """Every end as often; the instants of all contenders are the same. The stage is made anew after what was left."""
    results: list[Result] = []
    stage: Stage | None = None
    try:
        for end in ENDS:
            dice = random.Random(end.value)
            for _ in range(rounds):
                if stage is None:
                    stage = Stage(image)
                    stage.build()
                result = play(write, end, dice.uniform(0, FIRST_S + HOLD_S), stage)
                results.append(result)
                if result.broken or result.other:
                    stage.close()
                    stage = None
    finally:
        if stage is not None:
            stage.close()
    return results


def row(name: str, results: Sequence[Result]) -> str:
    """A line of the table."""
    cells = []
    for end in ENDS:
        mine = [result for result in results if result.end is end]
        cells.append(f"{sum(bool(result.broken) for result in mine)} of {len(mine)}")
    times = [result.undone_s for result in results if result.undone_s is not None and result.end is not Death.NONE]
    took = f"{statistics.median(times) * 1000:.0f} ms" if times else "-"
    other = sum(bool(result.other) for result in results)
    return f"| {name} | {' | '.join(cells)} | {other} | {took} |"


def chaos_toolkit(folder: Path) -> Path:
    """Its program, in an environment of its own."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, CHAOS_TOOLKIT], check=True)
    return folder / "bin" / "chaos"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="tests.torture.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6, help="of each end of each contender (default 6)")
    parser.add_argument("--only", default="", help="contenders whose name holds this")
    options = parser.parse_args(argv)
    # What was ignored, as SIGINT is in the background of a script, would be ignored by the tools too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as place:
        chaos = chaos_toolkit(Path(place))
        contenders: Mapping[str, Writer] = {
            "Chaos Toolkit": partial(experiment, chaos=chaos),
            "Chaos Toolkit, `--rollback-strategy always`": partial(
                experiment, chaos=chaos, options=("--rollback-strategy", "always")
            ),
            "shell script with `trap`": shell_script,
            "test-coordinator run": scenario,
        }
        image = sandbox_image()
        say(f"| left broken after | {' | '.join(ENDS)} | back, but not as before | median to undone |")
        say(f"| --- |{' --- |' * (len(ENDS) + 2)}")
        for name in (name for name in contenders if options.only in name):
            write = contenders[name]
            say(row(name, contest(write, options.rounds, image)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
