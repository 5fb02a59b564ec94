"""Supervision trees in made-up worlds keep their invariants, whatever happens in them."""

from __future__ import annotations

import pytest

from tests.simulation.supervision import main, simulate

SEEDS = 200
SHARE = 25


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_invariants_hold(first: int) -> None:
    """In every seeded world all invariants hold after every event; a failing seed is told with its replay command."""
    failed = [result for seed in range(first, first + SHARE) if (result := simulate(seed)).violations]
    told = "\n".join(f"{result.command}\n  {result.violations}" for result in failed)
    assert not failed, told


@pytest.mark.parametrize("seed", [3, 14, 1592])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same seed gives the same events at the same moments, another seed others."""
    first, again, other = simulate(seed), simulate(seed), simulate(seed + 1)
    assert first.trace == again.trace
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.events > 0


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The command that a failing seed prints runs exactly that seed."""
    command = simulate(5).command
    assert command == "python -m tests.simulation.supervision --seed 5"
    assert main(["--seed", "5"]) == 0
    assert capsys.readouterr().out.startswith("1 seeds, 0 failed")
