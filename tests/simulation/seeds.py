"""The command line of the simulations: run seeds, tell the failing ones, each with the command that replays it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar


class SeedResult(Protocol):
    """What a simulation tells of one seed."""

    @property
    def violations(self) -> Sequence[str]:
        """The invariants that did not hold."""
        ...

    @property
    def trace(self) -> Sequence[str]:
        """All that happened, line by line."""
        ...

    @property
    def virtual_s(self) -> float:
        """Seconds that passed inside."""
        ...

    @property
    def command(self) -> str:
        """What replays it."""
        ...


R = TypeVar("R", bound=SeedResult)


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted over all seeds, for the last line."""

    what: str
    default_seeds: int


def run_seeds(
    about: str | None, counted: Counted, simulate: Callable[[int], R], count: Callable[[R], int],
    argv: Sequence[str] | None,
) -> int:  # fmt: skip
    """Run seeds; 0 when nothing was violated, else 1."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=counted.default_seeds, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print all that happened")
    options = parser.parse_args(argv)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    began, failed, total, virtual_s = time.monotonic(), 0, 0, 0.0
    for seed in seeds:
        result = simulate(seed)
        total += count(result)
        virtual_s += result.virtual_s
        if options.trace:
            _say(*result.trace)
        if result.violations:
            failed += 1
            _say(f"seed {seed} FAILED; replay: {result.command}", *(f"  {line}" for line in result.violations))
    took = time.monotonic() - began
    _say(f"{len(seeds)} seeds, {failed} failed, {total} {counted.what}, {virtual_s:.0f} virtual s in {took:.1f} s")
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
