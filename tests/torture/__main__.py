"""The torture: real coordinators break real containers and die at random instants; afterwards nothing may be left.

Prints a line for each round, and at the end counts and times. A round that failed keeps its folder. Needs root, Docker,
nft, tc and nsenter; 10% of the rounds have a Docker engine of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.private_engine import PrivateEngine
from tests.torture.draw import draw
from tests.torture.model import Place, Round
from tests.torture.rounds import Result, play
from tests.torture.stage import Stage


def sandbox_image() -> str:
    """The image of the containers that are broken."""
    build = [sys.executable, str(ROOT / "tools" / "sandbox_image.py")]
    return subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Theatre:
    """The stages of one run: one for each worker on the machine's engine, one for all on an engine of their own."""

    folder: Path
    image: str
    results: list[Result] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when no further round is to begin."""
    _own: tuple[PrivateEngine, Stage] | None = None
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)
    _printing: threading.Lock = field(default_factory=threading.Lock)

    def work(self, rounds: queue.SimpleQueue[Round], until: float) -> None:
        """Play rounds until there is none left or the time (as time.monotonic) is over."""
        stage: Stage | None = None
        try:
            while time.monotonic() < until and not self.stopping.is_set():
                try:
                    drawn = rounds.get_nowait()
                except queue.Empty:
                    return
                if drawn.place is Place.ENGINE:
                    self.tell(self._on_its_own_engine(drawn))
                    continue
                if stage is None:
                    stage = Stage(self.image)
                    stage.build()
                result = play(drawn, stage, self._folder(drawn))
                self.tell(result)
                if result.violations or result.void:
                    stage.close()
                    stage = None
        finally:
            if stage is not None:
                stage.close()

    def _on_its_own_engine(self, drawn: Round) -> Result:
        with self._one_at_a_time:
            if self._own is None:
                engine = PrivateEngine(Path(tempfile.mkdtemp(dir=self.folder, prefix="engine-")))
                engine.start()
                engine.load(self.image)
                stage = Stage(self.image, f"unix://{engine.socket}")
                stage.build()
                self._own = (engine, stage)
            engine, stage = self._own
            result = play(drawn, stage, self._folder(drawn), engine)
            if result.violations or result.void:
                self._end_own()
            return result

    def _end_own(self) -> None:
        if self._own is not None:
            engine, stage = self._own
            self._own = None
            stage.close()
            engine.close()

    def _folder(self, drawn: Round) -> Path:
        return self.folder / f"{drawn.place.value}-{drawn.seed}"

    def tell(self, result: Result) -> None:
        """A line for a round, and more where it failed."""
        drawn = result.drawn
        next_one = "start, killed, start" if drawn.again_s is not None else "start" if drawn.restarted else "-"
        line = (
            f"seed {drawn.seed:<6} {drawn.place.value:<7}{drawn.death.value:<32}{next_one:<22}{result.took_s:6.1f} s  "
        )
        with self._printing:
            self.results.append(result)
            if result.violations:
                say(f"{line}FAILED{by_hand(result)}; kept: {self._folder(drawn)}; replay: {result.command}")
                say(*(f"    {violation}" for violation in result.violations))
            else:
                say(f"{line}{f'void: {result.void}' if result.void else 'ok'}{by_hand(result)}")
                shutil.rmtree(self._folder(drawn), ignore_errors=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """What is shared is ended at the end, and the folder removed where no round is kept in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            self._end_own()
            with contextlib.suppress(OSError):
                self.folder.rmdir()


def by_hand(result: Result) -> str:
    """What a person did meanwhile, for the end of a line."""
    act = result.drawn.act
    refused = " (refused)" if result.refused else ""
    return "" if act is None else f"; by hand, {act.kind.value}: {', '.join(act.verbs)} {act.letter}{refused}"


def say(*lines: str) -> None:
    """On standard output, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


@contextlib.contextmanager
def stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM let the rounds that are being played end, and what they made be removed."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopping.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def torture(seeds: Sequence[int], *, place: Place | None, jobs: int, folder: Path, minutes: float) -> list[Result]:
    """Play the rounds of these seeds, `jobs` side by side; those not begun within `minutes` are left out."""
    # One that was ignored, as by `nohup`, would be ignored by the coordinators too.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    rounds: queue.SimpleQueue[Round] = queue.SimpleQueue()
    for seed in seeds:
        rounds.put(draw(seed, place))
    theatre = Theatre(folder, sandbox_image())
    until = time.monotonic() + minutes * 60
    with theatre.open(), stopped_by_signals(theatre.stopping):
        workers = [threading.Thread(target=theatre.work, args=(rounds, until)) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return theatre.results


def summary(results: Sequence[Result]) -> str:
    """Counts by place and death, and how long rounds took."""
    failed = [result for result in results if result.violations]
    rounds = Counter((result.drawn.place.value, result.drawn.death.value) for result in results)
    bad = Counter((result.drawn.place.value, result.drawn.death.value) for result in failed)
    lines = [
        f"{place:<8}{death:<34}{count:>5} rounds {bad[place, death]:>4} failed"
        for (place, death), count in sorted(rounds.items())
    ]
    kinds = Counter(str(fault["type"]) for each in results for faults in each.drawn.executions for fault in faults)
    lines.append("faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    acts = Counter(each.drawn.act.kind.value for each in results if each.drawn.act is not None)
    lines.append("by hand: " + ", ".join(f"{kind} {count}" for kind, count in sorted(acts.items())))
    if results:
        times = sorted(result.took_s for result in results)
        late = times[min(len(times) - 1, len(times) * 95 // 100)]
        lines.append(f"seconds a round: median {statistics.median(times):.1f}, 95% {late:.1f}, longest {times[-1]:.1f}")
    executions = sum(len(result.drawn.executions) for result in results)
    void = sum(1 for result in results if result.void)
    lines.append(f"{len(results)} rounds, {len(failed)} failed, {void} void, {executions} executions")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """0 when nothing was left by any round, else 1."""
    parser = argparse.ArgumentParser(
        prog="tests.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="how many, of the seeds from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument(
        "--place", type=Place, choices=list(Place), help="where the coordinator runs; else the seed says"
    )
    parser.add_argument("--jobs", type=int, default=2, help="rounds side by side (default 2)")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no round after so many")
    parser.add_argument("--folder", type=Path, help="where rounds that failed are kept")
    options = parser.parse_args(argv)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.rounds)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    results = torture(seeds, place=options.place, jobs=options.jobs, folder=folder, minutes=options.minutes)
    say(summary(results))
    return 1 if any(result.violations for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
